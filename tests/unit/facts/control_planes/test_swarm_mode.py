"""What a swarm's answers come to: its managers as members, who is ready, who belongs elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.facts.control_planes.swarm_mode import (
    SwarmMode,
    gossiped_endpoints,
    members,
    why_not_ready,
)
from runbook_lib.facts.docker.engine import NO_SWARM, SwarmNode, SwarmState, parse_swarm, parse_swarm_nodes
from runbook_lib.model.parameters import Parameters
from tests.unit.facts.conftest import CAPTURED

ADDRESSES = {f"node{number}": f"192.168.99.{103 + number}" for number in range(1, 5)}
NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few are online."
PLANE = SwarmMode(Parameters(control_plane="swarm-mode"))


def captured(name: str) -> Any:
    return json.loads((CAPTURED / name).read_text())


@pytest.fixture
def roster() -> tuple[SwarmNode, ...]:
    return parse_swarm_nodes(captured("swarm_nodes.json"))


@pytest.fixture
def states(roster: tuple[SwarmNode, ...]) -> dict[str, SwarmState]:
    manager, worker = parse_swarm(captured("swarm_manager.json")), parse_swarm(captured("swarm_worker.json"))
    return {
        item.host_name: replace(manager if item.manager else worker, node_id=item.node_id, address=item.address)
        for item in roster
    }


def infos(**swarms: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {node: {"ServerVersion": "26.1.5", "Swarm": swarm} for node, swarm in swarms.items()}


def test_managers_are_the_members_and_one_of_them_leads(
    roster: tuple[SwarmNode, ...], states: dict[str, SwarmState]
) -> None:
    rows = members(roster, states, ADDRESSES)
    found = [(row.name, row.node, row.health) for row in rows]
    assert found == [(node, node, "healthy") for node in ("node1", "node2", "node3")]
    assert sum(row.leader for row in rows) == 1
    assert rows[0].client_url == "tcp://192.168.99.104:2377"


def test_a_manager_that_is_off_is_down_and_hides_no_other(
    roster: tuple[SwarmNode, ...], states: dict[str, SwarmState]
) -> None:
    gone = [replace(item, reachability="unreachable") if item.host_name == "node2" else item for item in roster]
    del states["node2"]
    rows = {row.name: row for row in members(gone, states, ADDRESSES)}
    assert (rows["node2"].health, rows["node2"].node, rows["node2"].container_state) == ("down", "node2", "unknown")
    assert rows["node3"].health == "healthy"


def test_without_a_quorum_managers_are_known_by_each_engines_own_word(states: dict[str, SwarmState]) -> None:
    alone = {"node1": replace(states["node1"], error=NO_LEADER), "node4": states["node4"]}
    rows = {row.name: row for row in members((), alone, ADDRESSES)}
    assert set(rows) == {"node1", "node2", "node3"}
    assert (rows["node1"].health, rows["node1"].detail) == ("unhealthy", "The swarm does not have a leader.")
    assert (rows["node2"].health, rows["node3"].health) == ("down", "down")
    assert not any(row.leader for row in rows.values())


def test_an_engine_is_ready_when_it_and_its_managers_say_so(
    roster: tuple[SwarmNode, ...], states: dict[str, SwarmState]
) -> None:
    assert {why_not_ready(state, roster) for state in states.values()} == {""}
    lost = [replace(item, state="down", message="heartbeat failure") for item in roster]
    assert why_not_ready(states["node4"], lost) == "its managers report it as down (heartbeat failure)"
    assert "has no leader" in why_not_ready(states["node4"], ())
    assert "in another swarm" in why_not_ready(replace(states["node4"], node_id="stranger"), roster)
    assert why_not_ready(NO_SWARM, roster) == "the engine is not in a swarm"


def test_endpoints_are_heard_of_with_the_node_that_has_them() -> None:
    found = gossiped_endpoints(captured("swarm_network.json"))
    assert [(item.name, item.locator) for item in found] == [
        ("alpine1", "192.168.99.106"),
        ("alpine2", "192.168.99.107"),
    ]
    assert all(item.address and item.endpoint_id for item in found)


def test_a_swarm_of_managers_and_workers_is_not_refused() -> None:
    assert PLANE.refusal(infos(node1=captured("swarm_manager.json"), node4=captured("swarm_worker.json"))) is None


def test_a_worker_that_has_not_met_its_managers_yet_is_in_no_other_swarm() -> None:
    joining = captured("swarm_worker.json") | {"LocalNodeState": "pending", "NodeID": "", "RemoteManagers": None}
    assert PLANE.refusal(infos(node1=captured("swarm_manager.json"), node4=joining)) is None


@pytest.mark.parametrize(
    ("given", "said", "remedy"),
    [
        pytest.param(
            {"node1": {"ServerVersion": "20.10.24", "ClusterStore": "etcd://x:2379"}},
            "the engine of node1 keeps its networks in a cluster store, not in a swarm",
            "control_plane: etcd",
            id="an engine in etcd mode",
        ),
        pytest.param(
            infos(node1=captured("swarm_manager.json"), node2={"LocalNodeState": "inactive"}),
            "the engine of node2 is not in a swarm",
            "docker swarm join",
            id="an engine in no swarm",
        ),
        pytest.param(
            infos(
                node1=captured("swarm_manager.json"),
                node2=captured("swarm_manager.json"),
                node3=captured("swarm_manager.json") | {"Cluster": {"ID": "other"}, "NodeID": "stranger"},
            ),
            "node3 is not in the same swarm as node1, node2",
            "docker swarm leave",
            id="a manager of another swarm",
        ),
        pytest.param(
            infos(
                node1=captured("swarm_manager.json"),
                node4=captured("swarm_worker.json") | {"RemoteManagers": [{"NodeID": "x", "Addr": "10.9.9.9:2377"}]},
            ),
            "node4 is not in the same swarm as node1",
            "docker swarm leave",
            id="a worker of another swarm",
        ),
        pytest.param(
            infos(node1=captured("swarm_manager.json"), node2=captured("swarm_locked.json")),
            "the engine of node2 waits for its swarm's unlock key (autolock)",
            "docker swarm unlock there",
            id="a locked manager",
        ),
        pytest.param(
            infos(node4=captured("swarm_worker.json")),
            "node4: all are workers, but only a manager can create networks",
            "docker node promote",
            id="workers alone",
        ),
    ],
)
def test_what_is_not_one_swarm_with_a_manager_is_refused(given: Any, said: str, remedy: str) -> None:
    refusal = PLANE.refusal(given)
    assert refusal is not None
    assert refusal.message == said
    assert remedy in refusal.remedy
