from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.model.results import Check, Probe, Verdict
from runbook_lib.session.questions.pings import Pings
from runbook_lib.verify.probe import Evidence, FullSize, Pair, judge, unprobed

TIMES = (1.9, 0.4, 0.5)


def pair(expected: Any = "reachable", by: Any = "name", address: str = "10.0.0.3") -> Pair:
    return Pair("alpine1", "node3", "alpine2", "node4", by, address, expected)


ANSWERED = judge(pair(), "10.0.0.3", TIMES)
SILENT = judge(pair("unreachable", "address"), "10.0.0.3", (None, None, None))
LOST = judge(pair(), "10.0.0.3", (None, None, None))
LOSSY = judge(pair(), "10.0.0.3", (1.9, None, 0.5))


def test_one_check_counts_the_pairs_when_all_are_as_expected() -> None:
    (check,) = Pings((ANSWERED, ANSWERED)).checks
    assert (check.check, check.verdict, check.found) == ("pairs are reachable as expected", Verdict.PASS, "2 of 2")


def test_a_peer_that_rightly_does_not_answer_is_as_expected() -> None:
    (check,) = Pings((SILENT,)).checks
    assert (check.check, check.verdict) == ("pairs are unreachable as expected", Verdict.PASS)


@pytest.mark.parametrize(
    ("probe", "verdict", "words"),
    [
        pytest.param(LOST, Verdict.FAIL, "no answer from 10.0.0.3", id="lost"),
        pytest.param(LOSSY, Verdict.FAIL, "1 of 3 probes lost", id="lossy"),
        pytest.param(unprobed(pair(), "alpine1 is Exited (0)"), Verdict.FAIL, "alpine1 is Exited (0)", id="unprobed"),
    ],
)
def test_each_probe_that_is_not_as_expected_is_a_check_with_its_node(
    probe: Probe, verdict: Verdict, words: str
) -> None:
    (check,) = Pings((ANSWERED, probe)).checks
    assert (check.check, check.node) == ("alpine2 is reachable from alpine1 by name", "node3")
    assert check.verdict is verdict
    assert words in check.found


def test_a_pair_that_fails_both_ways_for_one_reason_is_one_check_with_its_remedy() -> None:
    cut = Evidence(FullSize(1450, 1350, 3, 0))
    rows = [judge(pair(by=by), "10.0.0.3", TIMES, evidence=cut) for by in ("name", "address")]
    (check,) = Pings((ANSWERED, *rows)).checks
    assert check.check == "alpine2 is reachable from alpine1 by name and by address"
    assert "the largest that passed has 1350" in check.found
    assert "driver.mtu: 1350" in check.remedy


def test_why_a_pair_is_lost_follows_the_pair() -> None:
    closed = Check("udp 4789 between nodes", "node4", Verdict.FAIL, "3 probes", "0 of 3", "open udp 4789")
    assert [check.node for check in Pings((LOST,), (closed,)).checks] == ["node3", "node4"]


def test_what_could_not_be_tried_is_one_warning_a_reason() -> None:
    blind = judge(pair(), "10.0.0.3", TIMES, evidence=Evidence(connection="not tried: no perl"))
    passed, untried = Pings((blind, blind)).checks
    assert (passed.verdict, untried.verdict) == (Verdict.PASS, Verdict.WARN)
    assert (untried.node, untried.found) == ("node3", "TCP not tried: no perl")


def test_a_pair_that_is_lost_does_not_hide_what_could_not_be_tried_of_the_others() -> None:
    blind = judge(pair(), "10.0.0.3", TIMES, evidence=Evidence(connection="not tried: no perl"))
    lost, untried = Pings((blind, LOST)).checks
    assert (lost.verdict, untried.verdict) == (Verdict.FAIL, Verdict.WARN)
    assert untried.found == "TCP not tried: no perl"


def test_no_probe_at_all_proves_nothing() -> None:
    (check,) = Pings(()).checks
    assert (check.verdict, check.found) == (Verdict.FAIL, "no pair at all")


def test_no_probe_at_all_still_has_its_tables_and_its_picture() -> None:
    pings = Pings(())
    assert pings.table.empty
    assert pings.summary.empty
    assert list(pings.table.columns) == list(Pings((ANSWERED,)).table.columns)
    assert repr(pings.picture())


def test_the_short_table_fits_a_page_and_the_details_have_every_column() -> None:
    pings = Pings((ANSWERED,))
    assert len(pings.table.columns) == 8
    assert pings.details["first ping (ms)"].item() == 1.9
    assert pings.summary["passed"].item() == 1


def test_latency_and_loss_are_those_of_the_peers_that_should_answer() -> None:
    pings = Pings((ANSWERED, LOSSY, SILENT))
    assert pings.latency_ms == pytest.approx((0.45 + 0.5) / 2)
    assert pings.loss_percent == pytest.approx(100 / 6)
    assert (Pings((LOST,)).latency_ms, Pings((LOST,)).loss_percent) == (None, 100.0)
    assert (Pings((SILENT,)).latency_ms, Pings((SILENT,)).loss_percent) == (None, None)


def test_the_spread_has_a_row_a_pair_and_every_single_ping_is_kept() -> None:
    pings = Pings((ANSWERED, LOSSY, SILENT))
    (row,) = pings.spread.to_dict("records")
    assert (row["from and to"], row["answered"], row["lost"]) == ("alpine1 → alpine2", 5, 1)
    assert (row["first ping (ms)"], row["median (ms)"], row["slowest (ms)"]) == (1.9, 0.5, 0.5)
    assert list(Pings((LOSSY,)).each["ping (ms)"].isna()) == [False, True, False]
    assert "median 0.5 ms" in repr(pings.spread_picture())


def test_the_spread_of_nothing_is_a_table_and_a_picture_too() -> None:
    assert Pings(()).spread.empty
    assert "no round trip at all" in repr(Pings((SILENT,)).spread_picture())
