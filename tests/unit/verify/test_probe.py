"""One uniform row a probe, and a verdict that takes the expectation into account."""

from __future__ import annotations

import pytest

from runbook_lib.model.results import Verdict
from runbook_lib.verify.probe import By, Expectation, Pair, judge, unprobed


def pair(by: By = "name", expected: Expectation = "reachable", address: str = "10.0.0.3") -> Pair:
    return Pair("alpine1", "node3", "alpine2", "node4", by, address, expected)


def test_an_answering_peer_passes_and_the_cold_probe_is_reported_apart() -> None:
    row = judge(pair(), "10.0.0.3", (8.0, 0.2, 0.4))
    assert (row.verdict, row.sent, row.received, row.loss_percent) == (Verdict.PASS, 3, 3, 0.0)
    assert (row.first_ms, row.min_ms, row.avg_ms, row.max_ms) == (8.0, 0.2, 0.3, 0.4)
    assert row.detail == ""


def test_a_lost_cold_probe_alone_passes_and_is_told() -> None:
    row = judge(pair(), "10.0.0.3", (None, 0.2, 0.4))
    assert row.verdict is Verdict.PASS
    assert row.first_ms is None
    assert row.loss_percent == 33.3
    assert "cold first probe was lost" in row.detail


def test_a_lost_warm_probe_is_a_warning() -> None:
    row = judge(pair(), "10.0.0.3", (0.3, None, 0.4))
    assert row.verdict is Verdict.WARN
    assert row.detail == "1 of 3 probes lost"


def test_no_answer_and_no_resolution_are_told_apart() -> None:
    silent = judge(pair(), "10.0.0.3", (None, None, None))
    nameless = judge(pair(), "", (), "no resolution: the resolver does not know the name")
    assert silent.verdict is nameless.verdict is Verdict.FAIL
    assert silent.detail == "no answer from 10.0.0.3"
    assert nameless.detail.startswith("no resolution")
    assert (nameless.sent, nameless.loss_percent, nameless.avg_ms) == (0, 100.0, None)


def test_a_name_that_leads_to_another_address_fails_even_if_something_answers_there() -> None:
    row = judge(pair(), "10.0.0.9", (0.1, 0.1, 0.1))
    assert row.verdict is Verdict.FAIL
    assert row.detail == "resolves to 10.0.0.9, but 10.0.0.3 is its address"


@pytest.mark.parametrize(
    ("by", "resolved", "times", "verdict", "words"),
    [
        pytest.param("name", "", (), Verdict.PASS, "as expected", id="does not resolve"),
        pytest.param("address", "10.0.0.3", (None,) * 3, Verdict.PASS, "no answer from 10.0.0.3", id="is silent"),
        pytest.param("name", "10.0.0.3", (None,) * 3, Verdict.WARN, "still resolves", id="silent, but a stale name"),
        pytest.param("name", "10.0.0.3", (None, 0.1, None), Verdict.FAIL, "though it should not", id="answers"),
    ],
)
def test_an_expected_failure_passes_only_when_it_fails(
    by: By, resolved: str, times: tuple[float | None, ...], verdict: Verdict, words: str
) -> None:
    row = judge(pair(by, "unreachable"), resolved, times, "" if resolved else "no resolution")
    assert row.verdict is verdict
    assert words in row.detail


@pytest.mark.parametrize("expected", ["reachable", "unreachable"])
def test_a_pair_that_was_not_probed_proves_nothing(expected: Expectation) -> None:
    row = unprobed(pair(expected=expected), "node3 does not answer")
    assert row.verdict is Verdict.FAIL
    assert row.detail == "not probed: node3 does not answer"
