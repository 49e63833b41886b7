"""The classic Swarm manager is one row, and its faults are no node's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.model.inventory import Inventory, SwarmManager
from runbook_lib.model.parameters import Parameters, Timeouts
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.members import ASIDE, SWARM_MANAGER, check_manager
from runbook_lib.verify.nodes import CONTROL_PLANE, ENGINE, check_nodes
from tests.unit.transport.docker.classic_swarm_server import ManagerServer, endpoint, node, recorded
from tests.unit.transport.docker.engine_server import EngineServer, make_authority, reply

NAMES = ("node1", "node2", "node3")
PARAMETERS = Parameters(control_plane="classic-swarm")


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return make_authority(tmp_path / "tls")


@pytest.fixture
def manager(tls: Path) -> Iterator[ManagerServer]:
    with contextlib.closing(ManagerServer(tls)) as server:
        yield server


@pytest.fixture
def own(tls: Path) -> Iterator[EngineServer]:
    """Every node's own engine."""
    info = {"ID": "AAAA", "ServerVersion": "20.10.24", "Driver": "overlay2", "ClusterStore": "etcd://10.0.0.1:2379"}
    with contextlib.closing(EngineServer(tls)) as server:
        server.answers["/info"] = reply(200, info)
        yield server


def cluster_of(where: SwarmManager | None, tls: Path, own: EngineServer) -> Cluster:
    nodes = [node(name, tls, own.server_port, f"10.0.0.{number}") for number, name in enumerate(NAMES, 1)]
    inventory = {"network": {"subnet": "10.0.0.0/24"}, "nodes": nodes, "swarm_manager": where}
    return Cluster(Inventory.model_validate(inventory), Timeouts(connect=60, command=60, reboot=1))


def checked(where: SwarmManager | None, tls: Path, own: EngineServer) -> list[Check]:
    """What is asked of engines and of the manager: nothing is behind these nodes' SSH."""
    with cluster_of(where, tls, own) as cluster:
        return [row for row in check_nodes(cluster, PARAMETERS) if row.check in (SWARM_MANAGER, ENGINE, CONTROL_PLANE)]


def test_a_manager_that_lists_nodes_passes_with_their_names(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    with cluster_of(endpoint(manager, tls), tls, own) as cluster:
        (row,) = check_manager(cluster)
    assert (row.node, row.verdict) == ("all", Verdict.PASS)
    assert row.found.startswith("node1 (10.213.23.11:2376, healthy), node2 (")


def test_a_manager_that_lists_nobody_is_a_warning_and_the_nodes_pass(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    manager.replace("info", json={"SystemStatus": [["Role", "primary"], ["Nodes", "0"]]})
    first, *others = checked(endpoint(manager, tls), tls, own)
    assert (first.check, first.node, first.verdict, first.found) == (SWARM_MANAGER, "all", Verdict.WARN, ASIDE)
    assert "notebook 02_autostart_etcd" in first.remedy
    assert {(row.check, row.verdict) for row in others} == {(ENGINE, Verdict.PASS), (CONTROL_PLANE, Verdict.PASS)}


def test_a_cluster_without_a_manager_has_no_row_of_one(own: EngineServer, tls: Path) -> None:
    assert [row.check for row in checked(None, tls, own)] == [ENGINE, CONTROL_PLANE] * 3


@pytest.mark.parametrize(
    ("fault", "found", "remedy"),
    [
        ("down", "does not answer at", "check the manager's container"),
        ("other authority", "certificate verify failed", "set swarm_manager.ca to the CA"),
        ("other client", "refuses the client certificate", "set swarm_manager.cert and key to a valid pair"),
        ("too old", "is too old: it speaks API 1.22", "swarm:1.2.9"),
        ("an engine", "is not a classic Swarm manager but one engine", "docker-machine env --swarm"),
    ],
)
def test_a_fault_of_the_manager_is_told_once_with_its_own_remedy_and_the_nodes_are_looked_at(
    tmp_path: Path, manager: ManagerServer, own: EngineServer, tls: Path, fault: str, found: str, remedy: str
) -> None:
    other, where = make_authority(tmp_path / "other"), endpoint(manager, tls)
    if fault == "down":
        manager.close()
    elif fault == "other authority":
        where = where.model_copy(update={"ca": str(other / "ca.pem")})
    elif fault == "other client":
        files = {"cert": str(other / "client.pem"), "key": str(other / "client-key.pem")}
        where = where.model_copy(update=files)
    elif fault == "too old":
        manager.replace("version", json=recorded()["version"].json | {"ApiVersion": "1.22"})
    else:
        manager.replace("info", json={"ServerVersion": "20.10.24"})
    first, *others = checked(where, tls, own)
    assert (first.check, first.node, first.verdict) == (SWARM_MANAGER, "all", Verdict.FAIL)
    assert found in first.found
    assert remedy in first.remedy
    assert [(row.node, row.check, row.verdict) for row in others] == [
        (name, check, Verdict.PASS) for name in NAMES for check in (ENGINE, CONTROL_PLANE)
    ]


def test_what_the_manager_says_of_one_node_keeps_its_remedy(
    manager: ManagerServer, own: EngineServer, tls: Path
) -> None:
    pairs = [[" node3", "10.0.0.3:2376"], ["  └ Status", "Unhealthy"], ["  └ Error", "no route to host"]]
    manager.replace("info", json={"SystemStatus": pairs})
    with cluster_of(endpoint(manager, tls), tls, own) as cluster:
        rows = {(row.node, row.check): row for row in check_nodes(cluster, PARAMETERS)}
    row = rows["node3", ENGINE]
    assert row.verdict is Verdict.FAIL
    assert "does not reach this node at 10.0.0.3:2376 (Unhealthy: no route to host)" in row.found
    assert "the manager reaches it" in row.remedy
