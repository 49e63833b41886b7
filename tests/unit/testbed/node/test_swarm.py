from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.node import swarm
from runbook_lib.transport.docker.engine import Role

CAPTURED = Path(__file__).parents[1] / "captured"
INFOS: dict[str, dict[str, Any]] = json.loads((CAPTURED / "swarm_info.json").read_text())
MEMBERS: list[dict[str, Any]] = json.loads((CAPTURED / "swarm_nodes.json").read_text())


@pytest.mark.parametrize(
    ("count", "managers"),
    [(1, ["node1"]), (2, ["node1"]), (3, ["node1", "node2", "node3"]), (5, ["node1", "node2", "node3"])],
)
def test_three_nodes_manage_or_one_where_three_would_be_no_majority_apart(count: int, managers: list[str]) -> None:
    layout = Layout("tests", count, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"))
    roles = {node.name: swarm.role_of(layout, node) for node in layout.nodes}
    assert [name for name, role in roles.items() if role == "manager"] == managers
    assert set(roles.values()) <= {"manager", "worker"}


@pytest.mark.parametrize(
    ("node", "role", "expected"), [("node1", "manager", "leader"), ("node2", "manager", "manager")]
)
def test_one_manager_leads_and_the_others_manage(node: str, role: Role, expected: str) -> None:
    assert swarm.describe(role, INFOS[node], MEMBERS) == expected


def test_a_worker_is_one_whatever_it_does_not_know() -> None:
    assert swarm.describe("worker", INFOS["node4"], []) == "worker"


def test_managers_without_a_leader_have_no_quorum() -> None:
    # As engines of 26.1 answer while every address of their managers is another node's.
    alone = INFOS["node1"] | {"LocalNodeState": "pending", "Error": "rpc error: The swarm does not have a leader."}
    assert swarm.describe("manager", alone, []) == "manager, no quorum"


def test_a_member_that_finds_no_manager_says_what_it_waits_for() -> None:
    assert swarm.describe("worker", INFOS["node4"] | {"LocalNodeState": "pending"}, []) == "worker, pending"
    assert swarm.describe("manager", {"LocalNodeState": "locked", "ControlAvailable": False}, []) == "manager, locked"


def test_an_engine_outside_of_any_swarm_is_no_member() -> None:
    assert swarm.describe("worker", {"LocalNodeState": "inactive"}, []) == "no member"
    assert swarm.describe("worker", {}, []) == "no member"
