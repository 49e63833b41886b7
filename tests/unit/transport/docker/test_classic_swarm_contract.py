"""What a classic Swarm manager answers: the recorded answers, or a real manager's where one is named.

``RUNBOOK_CLASSIC_SWARM_ENDPOINT=tcp://HOST:3376 DOCKER_CERT_PATH=FOLDER pytest FILE`` asks a real one. It needs a
running container and its image on one of its nodes; the tests make and remove a container and a network of their own
there. What is asked is what the notebooks ask.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from runbook_lib.errors import EngineConflict, EngineNotFound
from runbook_lib.model.inventory import NodeSpec, SwarmManager
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from runbook_lib.transport.docker.classic_swarm_manager import ManagedNode, parse_system_status
from runbook_lib.transport.docker.http import TlsAdapter
from runbook_lib.transport.ssh import SshConnection
from tests.unit.transport.docker.classic_swarm_server import (
    ManagerServer,
    Recorded,
    endpoint,
    listed,
    node,
    of_kind,
    own_engine,
    real_engine,
    real_manager,
    recorded,
)

# What this package reads of an answer.
READ = {
    "version": {"ApiVersion"},
    "info": {"SystemStatus", "ServerVersion"},
    "containers": {"Id", "Names"},
    "container": {"Id", "Name", "State", "Config", "NetworkSettings", "HostConfig", "Node"},
    "container_new": {"Id", "Name", "State", "Config", "NetworkSettings", "HostConfig", "Node"},
    "networks": {"Id", "Name", "Scope"},
    "network": {"Id", "Name", "Containers"},
    "images": {"Id", "RepoTags"},
    "image": {"Id"},
}
# Their paths hold IDs or names of the recorded cluster alone.
ONLY_RECORDED = {"exec", "container_new", "network"}


@dataclass(frozen=True)
class Contact:
    """A manager, one of its healthy nodes, and a container and an image there, of which ``elsewhere`` has none."""

    manager: SwarmManager
    node: NodeSpec
    elsewhere: str
    container: str
    image: str
    new: str
    real: bool

    def get(self, path: str, method: str = "GET") -> requests.Response:
        url = f"https://{self.manager.host}:{self.manager.port}/v1.30{path}"
        with requests.Session() as session:
            session.mount(url, TlsAdapter("manager", 30))
            identity = (str(self.manager.cert), str(self.manager.key))
            return session.request(method, url, cert=identity, verify=str(self.manager.ca), timeout=30)


@pytest.fixture(scope="module")
def contact(stand_in: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contact]:
    manager = real_manager()
    if manager is not None:
        yield explore(manager)
        return
    tls = Path(stand_in.make_authority(tmp_path_factory.mktemp("manager") / "tls"))
    with contextlib.closing(ManagerServer(tls)) as server, own_engine(tls) as own:
        spec = node("node3", tls, own.server_port)
        yield Contact(endpoint(server, tls), spec, "node4", "alpine1", "alpine:latest", "new", False)


def nodes(info: dict[str, Any]) -> tuple[ManagedNode, ...]:
    return parse_system_status(info["SystemStatus"])


def explore(manager: SwarmManager) -> Contact:
    """Find a container on a healthy node of a real manager, by the raw API."""
    blank = Contact(manager, node("none"), "", "", "", "", True)
    known = {item.name: item for item in nodes(blank.get("/info").json())}
    # Its list of running ones misses starts; and every node may have one of a name, as of swarm-agent.
    every = {item["Names"][0]: item for item in blank.get("/containers/json?all=1").json()}
    for name, item in every.items():
        _, where, container = name.split("/", 2)
        others = [other for other in known if f"/{other}/{container}" not in every]
        if known[where].status != "Healthy" or item["Image"].startswith("swarm") or not others:
            continue
        if blank.get(f"/containers/{item['Id']}/json").json()["State"]["Running"]:
            spec = real_engine(where, known[where].address)
            return Contact(manager, spec, others[0], container, item["Image"], f"runbook-{os.getpid()}", True)
    pytest.fail(f"no running container on the healthy nodes of the manager: {', '.join(map(str, known.values()))}")


@pytest.fixture
def engine(contact: Contact) -> Iterator[SwarmEngine]:
    timeouts = Timeouts(connect=5, command=30)
    with SwarmEngine(contact.node, contact.manager, SshConnection(contact.node, timeouts), timeouts) as opened:
        yield opened


@pytest.mark.parametrize("item", list(of_kind("GET")), ids=lambda item: item.name)
def test_a_question_is_answered_as_recorded(contact: Contact, item: Recorded) -> None:
    if contact.real and item.name in ONLY_RECORDED:
        pytest.skip("it names an object of the recorded cluster")
    named = {
        "alpine1": contact.container,
        "alpine:latest": contact.image,
        "node3": contact.node.name,
        "node4": contact.elsewhere,
    }

    def here(text: str) -> str:
        return re.sub("|".join(named), lambda found: named[found[0]], text)

    answer = contact.get(here(item.path))
    assert answer.status_code == item.status
    if item.text:
        assert answer.text == here(item.text)
    if item.name in READ:
        value: Any = answer.json()
        assert READ[item.name] <= set(value[0] if isinstance(value, list) else value)


def test_what_is_told_of_a_node_has_the_recorded_form(contact: Contact) -> None:
    known = {item.name: item for item in nodes(contact.get("/info").json())}
    told = {pair[0]: pair[1] for pair in known[contact.node.name].pairs}
    assert set(told) == {pair[0] for pair in listed()["node3"].pairs}
    assert re.fullmatch(r"[0-9]+ \([0-9]+ Running, [0-9]+ Paused, [0-9]+ Stopped\)", told["Containers"])
    inspected = contact.get(f"/containers/{contact.node.name}/{contact.container}/json").json()
    assert set(inspected["Node"]) == set(recorded()["container"].json["Node"])
    assert inspected["Node"]["ID"] == told["ID"]
    assert inspected["Name"] == f"/{contact.container}"


def test_what_belongs_to_swarm_mode_is_an_unknown_page(contact: Contact) -> None:
    for method, path in [("GET", "/nodes"), ("GET", "/swarm"), ("GET", "/system/df"), ("POST", "/networks/prune")]:
        assert contact.get(path, method).status_code == 404, path


def test_a_node_is_known_by_its_engine_and_version(engine: SwarmEngine, contact: Contact) -> None:
    managed = engine.managed()
    assert managed is not None
    assert managed.name == contact.node.name
    assert managed.status == "Healthy"
    assert managed.get("ID") == f"{managed.engine_id}|{managed.address}"
    assert managed.get("ServerVersion")
    assert "/" in managed.get("Reserved CPUs")


def test_a_notebook_starts_with_the_info_of_the_engine_that_the_manager_means(engine: SwarmEngine) -> None:
    engine.ping()
    info = engine.info()
    assert ["Status", "Healthy"] in info["SystemStatus"]
    assert info["ID"] in dict(info["SystemStatus"])["ID"]
    assert engine.version()["ApiVersion"]
    assert {"bridge", "host", "none"} <= {item["Name"] for item in engine.networks()}


def test_a_running_container_is_listed_among_the_running(engine: SwarmEngine, contact: Contact) -> None:
    running = [name for item in engine.containers(every=False) for name in item["Names"]]
    assert f"/{contact.container}" in running


def test_a_container_is_connected_with_a_network_of_its_node(engine: SwarmEngine, contact: Contact) -> None:
    if not contact.real:
        pytest.skip("a network that comes and goes is not recorded")
    engine.create_network(contact.new, driver="bridge")
    try:
        with pytest.raises(EngineConflict):
            engine.create_network(contact.new, driver="bridge")
        engine.connect(contact.container, contact.new)
        try:
            assert contact.new in engine.container(contact.container)["NetworkSettings"]["Networks"]
        finally:
            engine.disconnect(contact.container, contact.new)
        assert not engine.network(contact.new)["Containers"]
    finally:
        engine.remove_network(contact.new)


def test_the_containers_of_a_node_are_listed_without_its_name(engine: SwarmEngine, contact: Contact) -> None:
    names = [name for item in engine.containers() for name in item["Names"]]
    assert f"/{contact.container}" in names
    assert not any(name.startswith(f"/{contact.node.name}/") for name in names)


def test_a_container_is_found_by_name_and_by_id(engine: SwarmEngine, contact: Contact) -> None:
    found = engine.container(contact.container)
    assert found["Name"] == f"/{contact.container}"
    assert found["Node"]["Name"] == contact.node.name
    assert found["Image"] in {item["Id"] for item in engine.images()}
    if contact.real:
        assert engine.container(found["Id"])["Id"] == found["Id"]
    with pytest.raises(EngineNotFound):
        engine.container("no-such-container")


def test_a_container_is_made_where_it_is_pinned_and_lives(engine: SwarmEngine, contact: Contact) -> None:
    identifier = engine.create_container(contact.new, contact.image, command=["sleep", "60"])
    try:
        found = engine.container(contact.new)
        assert found["Id"] == identifier
        assert found["Node"]["Name"] == contact.node.name
        assert not any("constraint" in item for item in found["Config"]["Env"] or ())
        engine.start(contact.new)
        engine.set_restart_policy(contact.new, "always")
        engine.stop(contact.new, grace=0)
    finally:
        engine.remove_container(contact.new, force=True)


def test_a_command_runs_in_a_container(engine: SwarmEngine, contact: Contact) -> None:
    identifier = engine.container(contact.container)["Id"]
    assert engine.execute(contact.container, ["hostname"]) == (0, f"{identifier[:12]}\n")


def test_a_name_is_unique_in_the_whole_cluster(engine: SwarmEngine, contact: Contact) -> None:
    with pytest.raises(EngineConflict, match="names are unique in the whole cluster") as caught:
        engine.create_container(contact.container, contact.image)
    assert f"{contact.node.name}/{contact.container} has it" in caught.value.explanation
