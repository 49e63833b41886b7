"""One uniform row a probe, and a verdict that takes the expectation into account."""

from __future__ import annotations

from itertools import product

import pytest

from runbook_lib.model.results import By, Expectation, Verdict
from runbook_lib.verify.probe import Evidence, FullSize, Pair, judge, unprobed


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


def test_a_lost_warm_probe_fails() -> None:
    row = judge(pair(), "10.0.0.3", (0.3, None, 0.4))
    assert row.verdict is Verdict.FAIL
    assert row.detail == "1 of 3 probes lost"


@pytest.mark.parametrize(
    ("may_lose", "lost", "verdict"),
    [(0, 1, Verdict.FAIL), (2, 2, Verdict.WARN), (2, 3, Verdict.FAIL), (0, 0, Verdict.PASS)],
)
def test_loss_within_the_bound_warns_and_beyond_it_fails(may_lose: int, lost: int, verdict: Verdict) -> None:
    times = (0.3, *[None] * lost, *[0.2] * (50 - lost))
    assert judge(pair(), "10.0.0.3", times, evidence=Evidence(may_lose=may_lose)).verdict is verdict


def test_of_few_probes_the_bound_allows_one_and_the_cold_first_is_not_counted() -> None:
    allowing = Evidence(may_lose=1)
    assert judge(pair(), "10.0.0.3", (0.3, None, 0.2), evidence=allowing).verdict is Verdict.WARN
    assert judge(pair(), "10.0.0.3", (None, None, 0.2), evidence=allowing).verdict is Verdict.WARN
    assert judge(pair(), "10.0.0.3", (0.3, None, None), evidence=allowing).verdict is Verdict.FAIL
    assert judge(pair(), "10.0.0.3", (None, None, 0.2)).verdict is Verdict.FAIL


def test_a_first_probe_is_only_cold_where_the_tables_did_not_know_the_way() -> None:
    row = judge(pair(), "10.0.0.3", (None, 0.2, 0.4), evidence=Evidence(route_known=True))
    assert row.verdict is Verdict.FAIL
    assert row.detail == "the first of 3 probes was lost, although the tables had the route"
    allowed = judge(pair(), "10.0.0.3", (None, 0.2, 0.4), evidence=Evidence(route_known=True, may_lose=1))
    assert (allowed.verdict, allowed.detail) == (Verdict.WARN, "1 of 3 probes lost, of 50 1 may be")


def test_a_row_that_was_wrong_before_the_first_packet_fails_although_the_peer_answers() -> None:
    evidence = Evidence(faults=(("node3's forwarding table said: no row", "connect alpine2 anew"),))
    row = judge(pair(), "10.0.0.3", (0.3, 0.2, 0.4), evidence=evidence)
    assert (row.verdict, row.remedy) == (Verdict.FAIL, "connect alpine2 anew")
    assert "no row" in row.detail


def test_the_row_says_the_largest_size_that_passed() -> None:
    whole = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=Evidence(FullSize(1450, 1450, 1, 1), "passed"))
    assert (whole.verdict, whole.largest, whole.detail) == (Verdict.PASS, 1450, "")
    cut = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=Evidence(FullSize(1450, 1350, 3, 0), "passed"))
    assert (cut.verdict, cut.largest, cut.full_size) == (Verdict.FAIL, 1350, 1450)
    assert cut.detail == "no whole packet of 1450 bytes (3 lost), the largest that passed has 1350"
    assert "com.docker.network.driver.mtu: 1350" in cut.remedy


def test_an_overlay_with_packets_too_small_for_ipv4_is_no_remedy() -> None:
    row = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=Evidence(FullSize(1450, 100, 3, 0)))
    assert "driver.mtu" not in row.remedy


@pytest.mark.parametrize(
    ("answered", "may_lose", "verdict"),
    [
        pytest.param(9, 0, Verdict.WARN, id="one alone"),
        pytest.param(8, 0, Verdict.FAIL, id="two"),
        pytest.param(8, 2, Verdict.FAIL, id="two where one of ten may be"),
        pytest.param(8, 6, Verdict.WARN, id="two where two of ten may be"),
    ],
)
def test_one_lost_packet_of_full_size_is_told_and_more_are_a_failure(
    answered: int, may_lose: int, verdict: Verdict
) -> None:
    evidence = Evidence(FullSize(1450, 1450, 10, answered), may_lose=may_lose)
    row = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=evidence)
    assert (row.verdict, row.detail) == (verdict, f"{10 - answered} of 10 packets of 1450 bytes lost")


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        (FullSize(1450, 1450, 1, 1), True),
        (FullSize(1450, 1450, 10, 9), True),
        (FullSize(1450, 1350, 2, 0), False),
        (FullSize(1450, 1450, 1, 1, "it may have been cut"), False),
        (FullSize(doubt="full size not tried: no ip"), False),
        (None, False),
    ],
)
def test_only_what_surely_was_not_cut_passed_whole(size: FullSize | None, whole: bool) -> None:
    assert judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=Evidence(size)).whole is whole


def test_a_connection_that_hangs_fails_and_names_what_came_back() -> None:
    connection = "connected, but 0 of 4350 bytes came back in 3 s"
    row = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=Evidence(FullSize(1450, 1450, 1, 1), connection))
    assert (row.verdict, row.detail) == (Verdict.FAIL, f"TCP: {connection}")
    assert "checksum" in row.remedy


def test_what_a_tool_cannot_try_is_said_and_is_no_failure() -> None:
    evidence = Evidence(FullSize(1450, 1450, 1, 1, "it may have been cut"), "not tried: no perl", unread="no root")
    row = judge(pair(), "10.0.0.3", (0.3, 0.2), evidence=evidence)
    assert row.verdict is Verdict.PASS
    assert row.unproven == ("it may have been cut", "TCP not tried: no perl", "no root")
    assert row.detail == "; ".join(row.unproven)


def test_neither_size_nor_connection_of_a_silent_peer_is_judged() -> None:
    silent = judge(pair(expected="unreachable"), "10.0.0.3", (None, None), evidence=Evidence(connection="refused"))
    assert silent.verdict is Verdict.WARN  # by name: it still resolves
    assert "TCP" not in silent.detail


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


def test_every_row_that_fails_says_what_to_do_about_it() -> None:
    times: tuple[tuple[float | None, ...], ...] = ((0.3, 0.2), (None, 0.2, 0.2), (0.3, None, None), (None, None), ())
    sizes = (None, FullSize(), FullSize(1450, 400, 2, 0), FullSize(1450, 1450, 10, 5))
    connections = ("", "passed", "refused", "not tried: no perl")
    faults = ((), (("a row is missing", "docker restart alpine2"),))
    ends = product(("name", "address"), ("reachable", "unreachable"), ("", "10.0.0.3", "10.0.0.9"))
    failed = 0
    for (by, expected, resolved), echoes, size, connection, wrong, known in product(
        ends, times, sizes, connections, faults, (False, True)
    ):
        trouble = "" if resolved else "no resolution: timeout"
        evidence = Evidence(size, connection, wrong, known)
        row = judge(pair(by, expected), resolved, echoes if resolved else (), trouble, evidence)  # type: ignore[arg-type]
        assert row.remedy or row.verdict is not Verdict.FAIL, row
        failed += row.verdict is Verdict.FAIL
    assert failed
    assert unprobed(pair(), "alpine1 is Exited (0)").remedy


def test_lost_probes_lead_to_the_filters_to_the_way_and_to_the_bound() -> None:
    row = judge(pair(), "10.0.0.3", (0.3, None, 0.4))
    assert "iptables -nvL INPUT" in row.remedy
    assert "probes.may_lose" in row.remedy


def test_the_remedy_of_a_known_trouble_stands_alone() -> None:
    row = judge(pair(), "", (), "the rules (DNAT) are gone", remedy="docker restart alpine1")
    assert row.remedy == "docker restart alpine1"
