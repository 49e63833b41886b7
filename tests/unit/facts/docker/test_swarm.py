"""What engines say of a swarm, as Docker 26.1 answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.facts.docker.engine import NO_SWARM, first_sentence, parse_swarm, parse_swarm_nodes

CapturedJson = Callable[[str], Any]
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online."
)


def test_a_manager_tells_its_swarm_and_the_other_managers(captured_json: CapturedJson) -> None:
    state = parse_swarm(captured_json("swarm_manager.json"))
    assert (state.state, state.manager, state.address, state.data_path_port) == ("active", True, "192.168.99.104", 4789)
    assert state.cluster_id
    assert {address for _, address in state.managers} == {f"192.168.99.{last}:2377" for last in (104, 105, 106)}
    assert state.trouble == ""


def test_a_worker_knows_the_managers_but_not_the_swarms_id(captured_json: CapturedJson) -> None:
    state = parse_swarm(captured_json("swarm_worker.json"))
    assert (state.state, state.manager, state.cluster_id, len(state.managers)) == ("active", False, "", 3)


def test_a_swarm_that_locks_its_managers_says_so_and_a_locked_one_knows_nothing_of_it(
    captured_json: CapturedJson,
) -> None:
    manager = captured_json("swarm_manager.json")
    assert not parse_swarm(manager).autolock
    manager["Cluster"]["Spec"]["EncryptionConfig"]["AutoLockManagers"] = True
    assert parse_swarm(manager).autolock
    locked = parse_swarm(captured_json("swarm_locked.json"))
    assert (locked.state, locked.manager, locked.managers, locked.autolock) == ("locked", False, (), False)
    assert locked.trouble.endswith("enter the unlock key (docker swarm unlock)")


def test_an_engine_in_no_swarm_says_so() -> None:
    assert parse_swarm({"LocalNodeState": "inactive", "NodeID": "", "RemoteManagers": None}) == NO_SWARM
    assert NO_SWARM.trouble == "the engine is not in a swarm"


@pytest.mark.parametrize(
    ("state", "error", "trouble"),
    [
        ("active", NO_LEADER, "The swarm does not have a leader."),
        ("locked", "", "swarm is locked"),
        ("pending", "context deadline exceeded", "not joined its swarm yet (context deadline exceeded)"),
    ],
)
def test_what_keeps_an_engine_out_of_its_swarm_is_one_sentence(state: str, error: str, trouble: str) -> None:
    assert trouble in replace(NO_SWARM, state=state, error=error).trouble


def test_a_manager_lists_every_member_with_its_role_and_who_leads(captured_json: CapturedJson) -> None:
    nodes = parse_swarm_nodes(captured_json("swarm_nodes.json"))
    assert [(node.host_name, node.manager, node.state) for node in nodes] == [
        ("node1", True, "ready"),
        ("node2", True, "ready"),
        ("node3", True, "ready"),
        ("node4", False, "ready"),
    ]
    assert sum(node.leader for node in nodes) == 1
    assert nodes[0].manager_address == "192.168.99.104:2377"
    assert nodes[3].reachability == ""


def test_a_message_without_layers_is_left_as_it_is() -> None:
    assert first_sentence("context deadline exceeded") == "context deadline exceeded"
