from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runbook_lib.errors import CheckFailed
from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model.results import Verdict
from runbook_lib.session.expectations import report
from runbook_lib.session.questions.store_wait import Milestone, Outage, StoreState

NODES = ("node1", "node2", "node3")


def member(number: int, health: Any = "healthy", state: str = "running", *, leader: bool = False) -> Member:
    url = f"http://192.168.99.10{number}:2379"
    return Member(f"etcd{number}", f"node{number}", state, "no", health, leader, url)


READY = StoreState(
    member_facts=(member(1, leader=True), member(2), member(3)),
    registration_facts=tuple(Registration(node, f"{node}:2376", True, 3.0) for node in NODES),
    gossip_facts=tuple(Gossip(node, f"192.168.99.10{node[-1]}") for node in NODES),
)
DOWN = replace(
    READY,
    member_facts=tuple(member(number, "down", "exited") for number in (1, 2, 3)),
    registration_facts=tuple(Registration(node, f"{node}:2376", False, detail="refused") for node in NODES),
    gossip_facts=tuple(map(Gossip, NODES)),
)


def test_a_store_is_ready_when_all_are_healthy_one_leads_and_every_engine_is_connected() -> None:
    assert READY.ready
    assert (READY.healthy, READY.leaders, READY.connected) == (3, 1, 3)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(replace(READY, member_facts=(member(1), member(2), member(3))), id="nobody leads"),
        pytest.param(
            replace(READY, member_facts=(member(1, leader=True), member(2, leader=True), member(3))), id="two lead"
        ),
        pytest.param(
            replace(READY, member_facts=(member(1, leader=True), member(2), member(3, "unhealthy"))), id="one is ill"
        ),
        pytest.param(
            replace(
                READY,
                registration_facts=(*READY.registration_facts[:2], Registration("node3", "", False)),
            ),
            id="an engine is not connected",
        ),
        pytest.param(replace(READY, gossip_facts=READY.gossip_facts[:2]), id="an engine does not gossip"),
        pytest.param(DOWN, id="all is down"),
    ],
)
def test_it_is_not_ready_when_anything_is_missing(state: StoreState) -> None:
    assert not state.ready


def test_the_tables_have_a_row_for_each_member_and_each_engine() -> None:
    assert list(READY.members["member"]) == ["etcd1", "etcd2", "etcd3"]
    table = replace(READY, gossip_facts=(READY.gossip_facts[1], Gossip("node3"))).registrations
    assert list(table.columns) == ["node", "advertises", "connected", "gossips", "last heartbeat (s ago)", "detail"]
    assert list(table["gossips"]) == [False, True, False]


def test_the_timing_tells_what_was_measured_and_what_is_only_an_upper_bound() -> None:
    state = replace(READY, became_healthy=Milestone(4.2), became_connected=Milestone(6.5, awaited=True))
    assert list(state.timing["time (s)"]) == [4.2, 6.5]
    assert list(state.timing["measured"]) == ["at most", "while waiting"]
    assert list(DOWN.timing["measured"]) == ["not yet", "not yet"]


def test_after_a_power_cycle_a_store_is_expected_only_if_every_member_starts_by_itself() -> None:
    assert Outage(READY, dict.fromkeys(NODES, True), restarted=True).should_connect
    assert not Outage(DOWN, dict.fromkeys(NODES, False), restarted=True).should_connect
    assert not Outage(DOWN, {"node1": True, "node2": True, "node3": False}, restarted=True).should_connect


def test_an_outage_shows_which_members_run() -> None:
    table = Outage(replace(READY, member_facts=(member(1), member(2, "down", "exited"))), {"node1": True}).table
    assert list(table.columns) == ["member", "node", "container", "restart policy", "runs", "health"]
    assert list(table["runs"]) == [True, False]


def test_without_a_restart_what_starts_by_itself_runs_and_every_engine_is_connected_all_the_same() -> None:
    starts = {"node1": True, "node2": True, "node3": False}
    assert Outage(READY, starts, restarted=True).expected == starts
    left_alone = Outage(DOWN, starts)
    assert left_alone.expected == {"node1": True, "node2": True}
    assert left_alone.should_connect
    assert not left_alone.connected


def test_a_member_that_is_not_healthy_is_named_with_its_node_what_is_wrong_and_the_end_of_its_log() -> None:
    ill = replace(member(3, "down", "exited"), detail="container exited with 2", remedy="start it")
    state = replace(READY, member_facts=(*READY.member_facts[:2], ill), last_lines={"etcd3": "no space left on device"})
    assert [check.verdict for check in state.member_checks] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    with pytest.raises(CheckFailed) as caught:
        report("every member is healthy", state.member_checks)
    error = caught.value
    assert (error.node, error.expected, error.remedy) == ("node3", "etcd3 healthy", "start it")
    assert error.found == "etcd3 down: container exited with 2; its log ends: no space left on device"
    (leads,) = state.leader_checks
    assert (leads.verdict, leads.found) == (Verdict.PASS, "etcd1 on node1")


def test_without_a_leader_every_member_says_how_it_is() -> None:
    (check,) = DOWN.leader_checks
    assert (check.verdict, check.expected) == (Verdict.FAIL, "one of etcd1, etcd2, etcd3")
    assert check.found == "none of them: etcd1 on node1 is down, etcd2 on node2 is down, etcd3 on node3 is down"
    two = replace(READY, member_facts=(member(1, leader=True), member(2, leader=True), member(3)))
    assert two.leader_checks[0].found.startswith("etcd1 on node1 and etcd2 on node2: ")


def test_an_engine_that_is_not_connected_is_named_with_the_reason_and_the_end_of_its_log() -> None:
    registrations = (*READY.registration_facts[:1], Registration("node2", "", False, detail="refused"))
    state = replace(
        READY,
        registration_facts=(*registrations, READY.registration_facts[2]),
        gossip_facts=READY.gossip_facts[:2],
        last_lines={"engine of node2": "cluster store is unavailable", "node3": "a member of that name"},
    )
    told = {check.node: (check.verdict, check.found) for check in state.engine_checks}
    assert told == {
        "node1": (Verdict.PASS, "connected"),
        "node2": (Verdict.FAIL, "refused; its log ends: cluster store is unavailable"),
        "node3": (Verdict.FAIL, "it does not take part in the engines' gossip"),
    }


def test_after_a_power_cycle_engines_are_connected_if_and_only_if_the_members_start() -> None:
    all_start, some_start = dict.fromkeys(NODES, True), {"node1": True, "node2": False, "node3": False}
    assert [check.verdict for check in Outage(READY, all_start, restarted=True).engine_checks] == [Verdict.PASS] * 3
    assert [check.verdict for check in Outage(DOWN, all_start, restarted=True).engine_checks] == [Verdict.FAIL] * 3
    (check,) = Outage(DOWN, some_start, restarted=True).engine_checks
    assert (check.verdict, check.found) == (Verdict.PASS, "0 of 3 connected")
    (check,) = Outage(READY, some_start, restarted=True).engine_checks
    assert (check.verdict, check.expected) == (
        Verdict.FAIL,
        "not every engine connected, because nothing starts etcd2, etcd3",
    )
