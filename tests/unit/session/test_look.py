"""What a notebook that looks behind the curtain makes of what it saw."""

from __future__ import annotations

import pytest

from runbook_lib.model.results import Verdict
from runbook_lib.session.look import MTU_COLUMNS, Room
from runbook_lib.tables.frame import frame
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
    (check,) = Room(frame([], MTU_COLUMNS), "eth1", (probe,)).checks
    assert (check.expected, check.verdict) == ("it passes whole", verdict)
    assert size.doubt in check.found
