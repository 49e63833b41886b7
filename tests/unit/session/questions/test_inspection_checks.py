"""What a notebook that looks behind the curtain makes of what it saw."""

from __future__ import annotations

import pytest

from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.questions.inspection import MTU, MtuResult, NodeMtu
from runbook_lib.session.questions.pings import Pings
from runbook_lib.verify.preflight import FULL_SIZE, mtu_remedy
from runbook_lib.verify.probe import Evidence, FullSize, Pair, judge


@pytest.mark.parametrize(
    ("size", "verdict"),
    [
        (FullSize(1450, 1450, 1, 1), Verdict.PASS),
        (FullSize(1450, 1450, 1, 1, "what passed may have been cut into fragments"), Verdict.WARN),
        (FullSize(doubt="full size not tried: no ip"), Verdict.WARN),
        (FullSize(1450, 1350, 2, 0), Verdict.FAIL),
    ],
)
def test_a_packet_that_may_have_been_cut_is_not_said_to_pass_whole(size: FullSize, verdict: Verdict) -> None:
    pair = Pair("alpine1", "node3", "alpine2", "node4", "address", "10.0.0.3")
    probe = judge(pair, "10.0.0.3", (0.3, 0.2), evidence=Evidence(size))
    (check,) = MtuResult(MTU(), "eth1", (probe,)).checks
    assert (check.expected, check.verdict) == ("whole packets", verdict)
    assert size.doubt in check.found


CUT = tuple(
    judge(Pair(*ends, "address", "10.0.0.3"), "10.0.0.3", (0.3, 0.2), evidence=Evidence(FullSize(1450, largest, 2, 0)))
    for ends in (("alpine1", "node3", "alpine2", "node4"), ("alpine2", "node4", "alpine1", "node3"))
    for largest in (1350,)
)
SMALL = MTU([NodeMtu("node3", 1400, 1450), NodeMtu("node4", 1500, 1450)])
EQUAL = MTU([NodeMtu("node3", 1500, 1450), NodeMtu("node4", 1500, 1450)])
TAKES_LESS = Check(
    FULL_SIZE, "node3", Verdict.FAIL, "1500 bytes", "its eth1 takes 1400", mtu_remedy("eth1", "node3", 1500, 1400)
)
FILTERED = Check(FULL_SIZE, "node3", Verdict.FAIL, "1500 bytes", "from node4: 0 of 3", "look on node3")


@pytest.mark.parametrize(
    "checks",
    [MtuResult(SMALL, "eth1", CUT, (TAKES_LESS,)).checks, Pings(CUT, (TAKES_LESS,)).checks],
    ids=["room", "pings"],
)
def test_a_small_interface_is_mended_by_one_remedy_that_is_said_once(checks: tuple[Check, ...]) -> None:
    remedies = "; ".join(dict.fromkeys(check.remedy for check in checks if check.remedy))
    assert remedies.count("driver.mtu: 1350") == 1
    assert remedies.count("MTU") == 0
    assert "first mend what is said of node3" in remedies
    assert len([check for check in checks if check.check in (FULL_SIZE, "a container's largest packet fits")]) <= 2
    assert all(check.remedy for check in checks if check.verdict is Verdict.FAIL)


def test_where_a_path_drops_large_packets_the_room_names_the_node_and_no_interface() -> None:
    checks = MtuResult(EQUAL, "eth1", CUT, (FILTERED,)).checks
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    assert [check.remedy for check in failed] == ["first mend what is said of node3"] * 2 + ["look on node3"]
    assert failed[-1].node == "node3"


def test_what_is_wrong_on_other_nodes_is_no_remedy_for_a_pair() -> None:
    elsewhere = Check(FULL_SIZE, "node2", Verdict.FAIL, "1500 bytes", "from node1: 0 of 3", "look on node2")
    (first, *_) = Pings(CUT, (elsewhere,)).checks
    assert first.remedy == CUT[0].remedy
