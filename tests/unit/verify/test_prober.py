"""What the probers print, and what ping prints, read from output captured on a node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.model.results import Verdict
from runbook_lib.verify.ping_matrix import row
from runbook_lib.verify.probe import By, FullSize, Pair
from runbook_lib.verify.prober import is_address, parse_ping, parse_readings

Captured = Callable[[str], str]


def pair(target: str, by: By, address: str) -> Pair:
    return Pair("v-01", "node1", target, "node4", by, address)


@pytest.mark.parametrize(
    ("file", "times"),
    [
        ("ping_iputils.txt", (0.301, 0.102, 0.115)),
        ("ping_busybox.txt", (0.111, 0.113, 0.145)),
        ("ping_iputils_lost.txt", (None, None, None)),
        ("ping_busybox_lost.txt", (None, None, None)),
    ],
)
def test_both_pings_give_the_time_of_each_probe(captured: Captured, file: str, times: tuple[float | None, ...]) -> None:
    assert parse_ping(captured(file), 3) == (times, "")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("ping_no_name.txt", "ping: v-nosuch: Temporary failure in name resolution"),
        ("ping_no_route.txt", "ping: connect: Network is unreachable"),
    ],
)
def test_a_ping_that_could_not_send_gives_its_own_words(captured: Captured, file: str, words: str) -> None:
    assert parse_ping(captured(file), 3) == ((), words)


def test_ping_without_any_output_is_told() -> None:
    assert parse_ping("", 3) == ((), "ping printed nothing")


@pytest.mark.parametrize("file", ["matrix_perl.txt", "matrix_ping.txt", "matrix_exec.txt"])
def test_every_prober_gives_names_addresses_and_times(captured: Captured, file: str) -> None:
    reading = parse_readings(captured(file), 3)["v-01"]
    assert reading.complete
    assert reading.answers["v-25"] == "10.77.0.5"
    assert reading.answers["v-nosuch"] == "timeout"
    for by in ("name", "address"):
        assert len([time for time in reading.echoes["v-25", by].times if time is not None]) == 3
    assert reading.echoes["v-nosuch", "address"].times == (None, None, None)
    assert ("v-nosuch", "name") not in reading.echoes


@pytest.mark.parametrize("file", ["matrix_perl.txt", "matrix_ping.txt"])
def test_a_namespace_that_is_gone_leaves_its_reason(captured: Captured, file: str) -> None:
    reading = parse_readings(captured(file), 3)["v-gone"]
    assert not reading.complete
    assert "cannot open /proc/999999/ns/net" in reading.error
    found = row(pair("v-02", "name", "10.77.0.8"), reading, "ovr0")
    assert found.verdict is Verdict.FAIL
    assert found.detail.startswith("not probed: exit status 1")


def test_a_prober_that_was_cut_off_is_not_complete(captured: Captured) -> None:
    text = captured("matrix_perl.txt").replace("end\tv-01\n", "")
    assert not parse_readings(text, 3)["v-01"].complete


def test_every_prober_tells_the_largest_packet_and_what_became_of_a_connection(captured: Captured) -> None:
    reading = parse_readings(captured("carry_perl.txt"), 3)["alpine1"]
    assert reading.listens
    assert reading.sizes == {"alpine2": FullSize(1450, 1450, 1, 1)}
    assert reading.connections == {"alpine2": "passed"}
    lost = parse_readings(captured("carry_perl_lost.txt"), 3)["alpine1"]
    assert lost.sizes == {"alpine2": FullSize(1450, 100, 2, 0)}
    assert lost.connections == {"alpine2": "connected, but 0 of 4350 bytes came back in 5 s"}


@pytest.mark.parametrize(("file", "whole"), [("carry_ping.txt", True), ("carry_exec.txt", False)])
def test_what_a_ping_cannot_do_is_never_silent(captured: Captured, file: str, whole: bool) -> None:
    reading = parse_readings(captured(file), 3)["alpine1"]
    assert not reading.listens
    assert reading.connections == {"alpine2": "not tried: it needs perl, and root over SSH"}
    size = reading.sizes["alpine2"]
    assert (size.largest, size.doubt == "") == (1450, whole)


def test_a_size_that_could_not_be_tried_gives_its_reason() -> None:
    reading = parse_readings("size\ta\tb\tfull size not tried: no ip\nend\ta\n", 3)["a"]
    assert reading.sizes == {"b": FullSize(doubt="full size not tried: no ip")}


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        ("no rule", "the rules (DNAT) are gone", "docker restart v-01"),
        ("closed", "nothing listens at 127.0.0.11", ""),
        ("refused", "refuses to answer", ""),
    ],
)
def test_a_resolver_without_its_rules_is_told_from_one_that_nobody_serves(answer: str, words: str, remedy: str) -> None:
    reading = parse_readings(f"dns\tv-01\tv-25\t{answer}\nend\tv-01\n", 3)["v-01"]
    found = row(pair("v-25", "name", "10.77.0.5"), reading, "ovr0")
    assert found.verdict is Verdict.FAIL
    assert words in found.detail
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) is bool(remedy)


def test_rows_come_from_a_reading(captured: Captured) -> None:
    reading = parse_readings(captured("matrix_ping.txt"), 3)["v-01"]
    assert row(pair("v-25", "address", "10.77.0.5"), reading, "ovr0").verdict is Verdict.PASS
    by_name = row(pair("v-25", "name", "10.77.0.5"), reading, "ovr0")
    assert by_name.detail == "the same echo requests as by address"
    assert row(pair("v-nosuch", "name", "10.77.0.250"), reading, "ovr0").detail.startswith("no resolution")
    nowhere = row(pair("v-noaddress", "address", ""), reading, "ovr0")
    assert nowhere.detail == "no address: v-noaddress is not on ovr0"


@pytest.mark.parametrize(("answer", "expected"), [("10.0.0.2", True), ("nxdomain", False), ("", False)])
def test_an_address_is_told_from_a_reason(answer: str, expected: bool) -> None:
    assert is_address(answer) is expected
