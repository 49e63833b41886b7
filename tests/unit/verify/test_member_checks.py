from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.facts.control_planes.base import Member
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model.parameters import Etcd
from runbook_lib.model.results import Verdict
from runbook_lib.verify.members import check_members, judge_gossip, judge_member, judge_quorum

MEMBER = Member("etcd1", "node1", "running", "no", "healthy", True, "http://10.0.0.1:2379", version="3.4.23")


@pytest.mark.parametrize(
    ("member", "verdict", "found"),
    [
        (MEMBER, Verdict.PASS, "etcd1: healthy, version 3.4.23"),
        (replace(MEMBER, detail="it is off: put it on", remedy="put it on"), Verdict.FAIL, "etcd1: it is off"),
        (replace(MEMBER, health="unhealthy", detail="no leader"), Verdict.WARN, "etcd1: no leader"),
        (replace(MEMBER, detail="alarm NOSPACE", advice="disarm it"), Verdict.WARN, "etcd1: alarm NOSPACE"),
        (replace(MEMBER, container_state="exited", health="down", detail="exited"), Verdict.SKIP, "etcd1: exited"),
    ],
)
def test_a_member_is_judged_by_what_engines_can_do_with_it(member: Member, verdict: Verdict, found: str) -> None:
    check = judge_member(member, [member])
    assert (check.node, check.verdict, check.found) == ("node1", verdict, found)
    assert bool(check.remedy) == (verdict in (Verdict.FAIL, Verdict.WARN))


STORE = EtcdStore(Etcd())
STOPPED = replace(MEMBER, container_state="exited", health="down", detail="container exited with 0")
ALONE = replace(MEMBER, name="etcd3", node="node3", health="unhealthy", detail="it has no leader, or cannot commit")


def test_only_where_the_others_are_lost_is_the_remedy_to_start_them() -> None:
    others = [replace(MEMBER, name="etcd1"), replace(MEMBER, name="etcd2")]
    assert "start the others" in judge_member(ALONE, [STOPPED, STOPPED, ALONE]).remedy
    assert "start the others" not in judge_member(ALONE, [*others, ALONE]).remedy
    silent = replace(ALONE, health="down", detail="no answer within 3 s")
    assert "start the others" not in judge_member(silent, [*others, silent]).remedy


def test_a_lost_quorum_says_how_many_of_how_many_and_who() -> None:
    members = [STOPPED, replace(STOPPED, name="etcd2", node="node2"), ALONE]
    row = judge_quorum(members, "container node3/alpine1 is on ovr0", STORE)
    assert (row.verdict, row.node, row.expected) == (Verdict.FAIL, "node1, node2", "at least 2 of 3 healthy")
    assert row.found.startswith("0 of 3 healthy (not etcd1 on node1: container exited with 0, etcd2 on node2: ")
    assert row.found.endswith("container node3/alpine1 is on ovr0")
    assert "02_autostart_etcd" in row.remedy


def test_a_lost_quorum_that_nothing_needs_is_a_note_and_one_that_is_left_passes() -> None:
    created = [replace(STOPPED, name=f"etcd{number}", container_state="created") for number in (1, 2, 3)]
    assert judge_quorum(created, "", STORE).verdict is Verdict.SKIP
    assert judge_quorum([MEMBER, MEMBER, STOPPED], "everything", STORE).verdict is Verdict.PASS


class Told(EtcdStore):
    """A store whose members are as told, one time after the other; an engine of the cluster was connected to it."""

    def __init__(self, *members: Sequence[Member]) -> None:
        super().__init__(Etcd())
        self.members = list(members)

    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        return tuple(self.members.pop(0) if len(self.members) > 1 else self.members[0])

    def read_gossip_address(self, node: Node) -> str:
        return "10.0.0.1"


class OneNode:
    """A cluster of one node that answers."""

    def each(self, ask: Callable[[Node], str]) -> list[Outcome[str]]:
        return [Outcome("node1", ask(cast(Node, SimpleNamespace(name="node1"))), None, 0.0)]


def test_members_that_run_are_given_the_time_of_an_election() -> None:
    electing = [replace(MEMBER, health="unhealthy", detail="it has no leader, or cannot commit")]
    store = Told(electing, [MEMBER])
    rows = list(check_members(cast(Cluster, OneNode()), store, "ovr0"))
    assert [row.verdict for row in rows] == [Verdict.PASS, Verdict.PASS]


def test_stopped_members_are_not_waited_for() -> None:
    store = Told([STOPPED, STOPPED, ALONE], [MEMBER])
    rows = list(check_members(cast(Cluster, OneNode()), store, "ovr0"))
    assert rows[-1].verdict is Verdict.FAIL
    assert "the engine of node1 was connected to it" in rows[-1].found


def engine(number: int, *known: int) -> Gossip:
    addresses = frozenset(f"192.168.99.10{other}" for other in (number, *known))
    return Gossip(f"node{number}", f"192.168.99.10{number}", addresses)


def test_of_a_split_only_the_node_that_all_broken_pairs_have_in_common_fails() -> None:
    whole = [engine(1, 2, 4), engine(2, 1, 4), engine(3), engine(4, 1, 2)]
    (row,) = [check for check in judge_gossip(whole) if check.verdict is Verdict.FAIL]
    assert (row.node, row.found) == ("node3", "its engine and those of node1, node2, node4 do not know each other")
    assert "7946" in row.remedy


def test_halves_that_do_not_know_each_other_all_fail_and_a_silent_engine_says_why() -> None:
    halves = judge_gossip([engine(1, 2), engine(2, 1), engine(3, 4), engine(4, 3)])
    assert [(check.verdict, check.found) for check in halves[:1]] == [(Verdict.FAIL, "does not know node3, node4")]
    assert {check.verdict for check in halves} == {Verdict.FAIL}
    silent = Gossip("node2", "192.168.99.102", trouble="sends no answer")
    rows = judge_gossip([engine(1, 2), silent, Gossip("node3")])
    assert [check.verdict for check in rows] == [Verdict.PASS, Verdict.FAIL, Verdict.SKIP]
    assert rows[1].found == "sends no answer"
