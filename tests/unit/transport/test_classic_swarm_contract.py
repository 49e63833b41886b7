"""What a classic Swarm manager answers: the recorded answers, or a real manager's where one is named.

``RUNBOOK_CLASSIC_SWARM_ENDPOINT=tcp://HOST:3376 DOCKER_CERT_PATH=FOLDER pytest FILE`` asks a real one. It needs a
running container and an image on one of its nodes; the tests make and remove a container of their own there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from runbook_lib.errors import EngineConflict, EngineNotFound
from runbook_lib.model.inventory import SwarmManager
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.classic_swarm import SwarmEngine
from runbook_lib.transport.classic_swarm_status import parse_system_status
from runbook_lib.transport.ssh import SshConnection
from tests.unit.transport.classic_swarm_server import ManagerServer, Recorded, endpoint, node, of_kind, real_manager

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
    """A manager, one of its healthy nodes, and a container and an image there."""

    manager: SwarmManager
    node: str
    container: str
    image: str
    new: str
    real: bool

    def get(self, path: str, method: str = "GET") -> requests.Response:
        url = f"https://{self.manager.host}:{self.manager.port}/v1.30{path}"
        return requests.request(
            method, url, cert=(self.manager.cert, self.manager.key), verify=self.manager.ca, timeout=30
        )


@pytest.fixture(scope="module")
def contact(stand_in: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contact]:
    manager = real_manager()
    if manager is not None:
        yield explore(manager)
        return
    tls = Path(stand_in.make_authority(tmp_path_factory.mktemp("manager") / "tls"))
    with contextlib.closing(ManagerServer(tls)) as server:
        yield Contact(endpoint(server, tls), "node3", "alpine1", "alpine:latest", "new", False)


def explore(manager: SwarmManager) -> Contact:
    """Find a container on a healthy node of a real manager, by the raw API."""
    blank = Contact(manager, "", "", "", "", True)
    healthy = [
        item.name for item in parse_system_status(blank.get("/info").json()["SystemStatus"]) if item.status == "Healthy"
    ]
    for item in blank.get("/containers/json").json():
        _, name, container = item["Names"][0].split("/", 2)
        if name in healthy:
            return Contact(manager, name, container, item["Image"], f"runbook-{os.getpid()}", True)
    pytest.fail(f"no running container on the healthy nodes {healthy} of the manager")


@pytest.fixture
def engine(contact: Contact) -> Iterator[SwarmEngine]:
    spec, timeouts = node(contact.node), Timeouts(connect=5, command=30)
    with SwarmEngine(spec, contact.manager, SshConnection(spec, timeouts), timeouts) as opened:
        yield opened


@pytest.mark.parametrize("item", list(of_kind("GET")), ids=lambda item: item.name)
def test_a_question_is_answered_as_recorded(contact: Contact, item: Recorded) -> None:
    if contact.real and item.name in ONLY_RECORDED:
        pytest.skip("it names an object of the recorded cluster")
    path = item.path.replace("alpine1", contact.container).replace("alpine:latest", contact.image)
    answer = contact.get(path.replace("node3", contact.node))
    assert answer.status_code == item.status
    if item.name in READ:
        value: Any = answer.json()
        assert READ[item.name] <= set(value[0] if isinstance(value, list) else value)


def test_what_belongs_to_swarm_mode_is_an_unknown_page(contact: Contact) -> None:
    for method, path in [("GET", "/nodes"), ("GET", "/swarm"), ("GET", "/system/df"), ("POST", "/networks/prune")]:
        assert contact.get(path, method).status_code == 404, path


def test_a_node_is_known_by_its_engine_and_version(engine: SwarmEngine, contact: Contact) -> None:
    managed = engine.managed()
    assert managed.name == contact.node
    assert managed.status == "Healthy"
    assert managed.get("ID")
    assert managed.get("ServerVersion")
    assert "/" in managed.get("Reserved CPUs")


def test_the_containers_of_a_node_are_listed_without_its_name(engine: SwarmEngine, contact: Contact) -> None:
    names = [name for item in engine.containers() for name in item["Names"]]
    assert f"/{contact.container}" in names
    assert not any(name.startswith(f"/{contact.node}/") for name in names)


def test_a_container_is_found_by_name_and_by_id(engine: SwarmEngine, contact: Contact) -> None:
    found = engine.container(contact.container)
    assert found["Name"] == f"/{contact.container}"
    assert found["Node"]["Name"] == contact.node
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
        assert found["Node"]["Name"] == contact.node
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
    assert f"{contact.node}/{contact.container} has it" in caught.value.explanation
