from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
import pytest

from runbook_lib.facts.control_planes.base import Member
from runbook_lib.model.results import Status, StepResult, Verdict
from runbook_lib.session.questions.leftovers import NodeObject, foreign_objects, judge, table
from runbook_lib.tables.results import steps

BELONGINGS = (
    NodeObject("node1", "container", "etcd1", False, "running"),
    NodeObject("node1", "network", "ovr0", True, "overlay, global"),
    NodeObject("node2", "container", "alpine1", True, "running"),
    NodeObject("node2", "network", "ovr0", True, "overlay, global"),
)
NODES = ("node1", "node2")


def member(*, leader: bool = False, state: str = "running") -> Member:
    return Member("etcd1", "node1", state, "no", "healthy" if leader else "down", leader, "http://192.168.99.104:2379")


def test_what_is_alike_on_several_nodes_is_one_row_and_ours_comes_first() -> None:
    rows = table(BELONGINGS)
    assert rows["name"].tolist() == ["alpine1", "ovr0", "etcd1"]
    assert rows["ours"].tolist() == [True, True, False]
    assert rows["nodes"].tolist() == ["node2", "node1, node2", "node1"]


def done(step: str, node: str, before: str, status: Status = Status.CHANGED) -> StepResult:
    return StepResult(step, node, status, before, "none of ours", 0.1)


DONE = steps(
    [
        done("remove containers", "node2", "alpine1"),
        done("remove containers", "node1", "none of ours", Status.OK),
        done("remove docker_gwbridge", "node2", "docker_gwbridge"),
        done("remove networks", "node1", "ovr0"),
        done("remove networks", "node2", "ovr0"),
    ]
)
WEB = tuple(NodeObject(node, "container", "web", False, "running") for node in NODES)


def told(before: Iterable[NodeObject], after: Iterable[NodeObject], rows: pd.DataFrame = DONE) -> list[tuple[str, str]]:
    checks = foreign_objects(table(tuple(before)), table(tuple(after)), rows)
    return [(check.node, check.verdict) for check in checks]


def test_what_others_made_is_gone_only_if_it_is_no_more_on_its_node() -> None:
    started_again = replace(WEB[1], detail="restarting")
    new = NodeObject("node1", "container", "new", False, "running")
    assert told([*BELONGINGS, *WEB], [BELONGINGS[0], WEB[0], started_again, new]) == [("", Verdict.PASS)]


def test_what_of_others_ended_meanwhile_is_a_warning_and_what_our_steps_removed_a_failure() -> None:
    assert told([*BELONGINGS, *WEB], [BELONGINGS[0], WEB[0]]) == [("node2", Verdict.WARN)]
    ours = steps([done("remove containers", "node2", "alpine1, web")])
    assert told([*BELONGINGS, *WEB], [BELONGINGS[0], WEB[0]], ours) == [("node2", Verdict.FAIL)]
    theirs = NodeObject("node1", "network", "their-net", False, "bridge, local")
    assert told([*BELONGINGS, theirs], BELONGINGS[:1]) == [("node1", Verdict.WARN)]
    ours = steps([done("remove networks", "node1", "ovr0, their-net")])
    assert told([*BELONGINGS, theirs], BELONGINGS[:1], ours) == [("node1", Verdict.FAIL)]


def test_a_bridge_that_the_last_of_others_left_before_we_removed_it_is_no_failure() -> None:
    bridge = NodeObject("node2", "network", "docker_gwbridge", False, "bridge, local")
    assert told([*BELONGINGS, bridge], BELONGINGS[:1]) == [("node2", Verdict.WARN)]


def test_what_only_would_have_been_removed_is_not_removed() -> None:
    planned = steps([done("remove containers", "node2", "alpine1, web", Status.PLANNED)])
    assert told([*BELONGINGS, *WEB], [*BELONGINGS, WEB[0]], planned) == [("node2", Verdict.WARN)]


def test_only_what_is_ours_and_left_fails_and_names_object_and_node() -> None:
    failed = [check for check in judge(BELONGINGS, NODES, [member(leader=True)]) if check.verdict is Verdict.FAIL]
    assert [(check.node, check.found) for check in failed] == [
        ("node2", "alpine1"),
        ("node1", "ovr0"),
        ("node2", "ovr0"),
    ]


def test_boot_scripts_are_looked_at_only_if_they_were_to_go() -> None:
    block = [NodeObject("node1", "block in bootsync.sh", "bootsync.sh", True)]
    assert all(check.verdict is Verdict.PASS for check in judge(block, NODES, [member(leader=True)]))
    checks = judge(block, NODES, [member(leader=True)], boot_scripts=True)
    assert [check.node for check in checks if check.verdict is Verdict.FAIL] == ["node1"]


def test_a_fixed_address_on_a_systemd_host_is_looked_at_where_there_was_one() -> None:
    file = [NodeObject("node2", "fixed address", "/etc/netplan/99-overlay-runbook-eth1.yaml", True)]
    checks = judge(file, NODES, [member(leader=True)], boot_scripts=True)
    assert [(check.node, check.check) for check in checks if check.verdict is Verdict.FAIL] == [
        ("node2", "no fixed address of ours is left")
    ]
    assert all("fixed address" not in check.check for check in judge((), NODES, [], boot_scripts=True))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (member(leader=True), Verdict.PASS),
        (member(state="created"), Verdict.PASS),
        (member(state="exited"), Verdict.WARN),
        (member(state="running"), Verdict.WARN),
    ],
)
def test_a_store_that_does_not_decide_cannot_prove_that_no_network_is_left(found: Member, verdict: Verdict) -> None:
    assert judge((), NODES, [found])[-1].verdict is verdict
