"""One node behind a classic Swarm manager: cut down to the node, pinned to it, and what goes wrong is told of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import (
    EngineConflict,
    EngineError,
    EngineNotFound,
    InputError,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.inventory import Inventory
from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from tests.unit.transport.docker.classic_swarm_server import (
    TIMEOUTS,
    ManagerServer,
    endpoint,
    listed,
    node,
    recorded,
)
from tests.unit.transport.docker.engine_server import EngineServer, reply

NODES = listed()
NETWORKS = {item["Name"]: item for item in recorded()["networks"].json}
ALPINE1 = recorded()["container"].json["Id"]


def test_a_cluster_takes_the_managers_endpoint_from_its_inventory(manager: ManagerServer, tls: Path) -> None:
    specs = tuple(node(f"node{index}", tls, address=f"10.0.0.{index}") for index in range(1, 5))
    inventory = Inventory.model_validate(
        {"network": {"subnet": "10.0.0.0/24"}, "nodes": specs, "swarm_manager": endpoint(manager, tls)}
    )
    with Cluster(inventory, TIMEOUTS) as cluster:
        outcomes = cluster.each(lambda item: [name for box in item.engine.containers() for name in box["Names"]])
    assert [sorted(outcome.result) for outcome in outcomes] == [
        ["/etcd1"],
        ["/etcd2"],
        ["/alpine1", "/etcd3"],
        ["/alpine2"],
    ]


def test_info_is_the_own_engines_with_what_the_manager_tells_of_the_node(engine: SwarmEngine) -> None:
    engine.ping()
    info = engine.info()
    assert info["ServerVersion"] == "20.10.24"
    assert info["ClusterStore"] == "etcd://10.0.0.1:2379"
    assert ["Status", "Healthy"] in info["SystemStatus"]
    assert engine.version()["ApiVersion"] == "1.41"


def test_a_node_whose_own_engine_is_another_is_told(engine: SwarmEngine, own: EngineServer) -> None:
    own.answers["/info"] = reply(200, {"ID": "ANOTHER", "ServerVersion": "20.10.24"})
    with pytest.raises(InputError, match=r"node3 of the Swarm manager \(.*:2376\) is another engine"):
        engine.info()


def test_a_pattern_of_the_managers_filter_lets_no_other_node_in(engine: SwarmEngine, manager: ManagerServer) -> None:
    other = copy.deepcopy(recorded()["containers"].json[0]) | {"Names": ["/node30/web", "/node30/alpine1/db"]}
    manager.replace("containers", json=[other, *recorded()["containers"].json])
    names = [name for item in engine.containers(labels={"a": "b"}) for name in item["Names"]]
    assert sorted(names) == ["/alpine1", "/etcd3"]
    (asked,) = manager.asked("/containers/json")
    assert "node3" in asked
    assert "a%3Db" in asked


def test_a_container_of_another_node_is_not_found(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.recorded["alpine2"] = _request("GET", "/containers/node3/alpine2/json", 404, text="No such container\n")
    with pytest.raises(EngineNotFound, match="No such container"):
        engine.container("alpine2")
    found = recorded()["container"].json
    assert engine.container(ALPINE1)["Name"] == "/alpine1"
    manager.replace("container", json=found | {"Node": {"Name": "node4"}})
    with pytest.raises(EngineNotFound, match="it is on node4"):
        engine.container(ALPINE1)


def _request(method: str, path: str, status: int = 200, **answer: Any) -> Any:
    return type(recorded()["ping"])("", "", method, path, status, **answer)


def test_placement_is_pinned_and_the_own_environment_kept(engine: SwarmEngine, manager: ManagerServer) -> None:
    created = engine.create_container("new", "alpine:latest", network="ovr0", environment={"A": "1"})
    assert created == recorded()["container_created"].json["Id"]
    body = manager.bodies["POST /containers/create"]
    assert body["Env"] == ["A=1", "constraint:node==node3"]
    assert body["HostConfig"]["NetworkMode"] == "ovr0"


def test_a_name_that_another_node_has_is_a_conflict_that_says_where(engine: SwarmEngine) -> None:
    with pytest.raises(EngineConflict, match="unique in the whole cluster of a Swarm manager: node3/alpine1 has it"):
        engine.create_container("alpine1", "alpine:latest")


def test_a_conflict_whose_holder_is_gone_keeps_the_managers_words(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("containers", json=[])
    with pytest.raises(EngineConflict, match="The name alpine1 is already assigned"):
        engine.create_container("alpine1", "alpine:latest")


def test_calls_about_a_container_name_its_node(engine: SwarmEngine, manager: ManagerServer) -> None:
    engine.start("new")
    engine.stop("new", grace=0)
    engine.remove_container("new", force=True)
    assert manager.asked("/node3/new") == [
        "POST /v1.30/containers/node3/new/start",
        "POST /v1.30/containers/node3/new/stop?t=0",
        "DELETE /v1.30/containers/node3/new?v=True&link=False&force=True",
    ]


def test_an_exec_that_the_manager_forgot_is_asked_of_the_own_engine(
    engine: SwarmEngine, manager: ManagerServer, own: EngineServer
) -> None:
    exec_id = recorded()["exec_created"].json["Id"]
    assert engine.execute("alpine1", ["hostname"])[0] == 0
    assert own.requests == []
    manager.replace("exec", 404, text=f"Exec {exec_id} not found\n")
    own.answers[f"/exec/{exec_id}/json"] = reply(200, {"ExitCode": 7})
    assert engine.execute("alpine1", ["hostname"]) == (7, f"{ALPINE1[:12]}\n")


def test_what_networks_a_node_sees_its_own_engine_tells(engine: SwarmEngine, own: EngineServer) -> None:
    overlay = NETWORKS["ovr0"] | {"Containers": {"ep-1": {"Name": "ep-1"}}}
    own.answers["/networks/ovr0"] = reply(200, overlay)
    assert sorted(item["Name"] for item in engine.networks()) == ["bridge", "docker_gwbridge", "host", "none", "ovr0"]
    assert [item["Name"] for item in engine.networks(names=["ovr0"])] == ["ovr0"]
    assert engine.network("ovr0")["Containers"] == overlay["Containers"]
    own.answers["/networks"] = reply(200, [])
    assert engine.networks() == []


def test_a_network_is_made_from_the_node_and_removed_by_its_id(engine: SwarmEngine, manager: ManagerServer) -> None:
    engine.create_network("loc", driver="bridge")
    assert manager.bodies["POST /networks/create"]["Name"] == "node3/loc"
    gateway = NETWORKS["node3/docker_gwbridge"]["Id"]
    manager.recorded["removed"] = _request("DELETE", f"/networks/{gateway}", 204)
    engine.remove_network("docker_gwbridge")
    with pytest.raises(EngineNotFound, match="lists no network node4/docker_gwbridge of this node"):
        engine.remove_network("node4/docker_gwbridge")


def test_a_network_that_is_there_already_is_a_conflict(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("network_created", 500, text=recorded()["network_exists"].text)
    with pytest.raises(EngineConflict, match="network with name loc already exists"):
        engine.create_network("loc", driver="bridge")


def test_a_container_is_connected_by_its_id_which_its_engine_knows_as_well(
    engine: SwarmEngine, manager: ManagerServer
) -> None:
    overlay = NETWORKS["ovr0"]["Id"]
    engine.connect("alpine1", "ovr0")
    engine.disconnect("alpine1", "ovr0")
    assert manager.bodies[f"POST /networks/{overlay}/connect"]["Container"] == ALPINE1
    assert manager.bodies[f"POST /networks/{overlay}/disconnect"]["Container"] == ALPINE1


def test_a_forced_disconnect_is_not_left_to_a_node_of_the_managers_choice(
    engine: SwarmEngine, manager: ManagerServer, own: EngineServer
) -> None:
    own.answers["/networks/ovr0/disconnect"] = reply(200, {})
    engine.disconnect("gone", "ovr0", force=True)
    assert ("POST", "/v1.41/networks/ovr0/disconnect") in own.requests
    assert manager.asked("disconnect") == []


def test_images_are_the_nodes_and_inspected_there(
    engine: SwarmEngine, manager: ManagerServer, own: EngineServer
) -> None:
    image = recorded()["image"].json
    own.answers["/images/alpine/json"] = reply(200, image)
    assert [item["Id"] for item in engine.images() if "alpine:latest" in item["RepoTags"]] == [image["Id"]]
    assert all("node3" in item for item in manager.asked("/images/json"))
    assert engine.image("alpine") == image
    with pytest.raises(EngineNotFound):
        engine.image("nginx")


def test_a_container_on_a_node_that_was_just_lost_is_unreachable(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("container", 500, text="Container node3/alpine1 running on unhealthy node node3\n")
    with pytest.raises(UnreachableError, match="does not reach this node"):
        engine.container("alpine1")


def test_other_refusals_keep_the_words_of_the_nodes_engine(engine: SwarmEngine, manager: ManagerServer) -> None:
    manager.replace("container_started", 500, text="Error response from daemon: could not get network sandbox\n")
    with pytest.raises(EngineError, match=r"\(HTTP 500\): Error response from daemon: could not get network sandbox"):
        engine.start("new")
    manager.replace("container_started", 500, text="cluster is unavailable or misconfigured\n")
    with pytest.raises(StoreUnavailable):
        engine.start("new")


def test_what_runs_is_told_by_inspecting_and_not_by_the_managers_list(
    engine: SwarmEngine, manager: ManagerServer
) -> None:
    stale = copy.deepcopy(recorded()["containers"].json)
    for item in stale:
        item |= {"State": "exited", "Status": "Exited (0) 17 minutes ago"}
    manager.replace("containers", json=stale)
    # etcd3 is listed and gone
    assert [item["Names"] for item in engine.containers(every=False)] == [["/alpine1"]]
    (asked,) = manager.asked("/containers/json")
    assert "all=1" in asked
    ended = copy.deepcopy(recorded()["container"].json)
    ended["State"] |= {"Running": False, "Status": "exited"}
    manager.replace("container", json=ended)
    assert engine.containers(every=False) == []
