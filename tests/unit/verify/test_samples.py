"""The time line of a watched change, from lines captured while a container was disconnected and connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runbook_lib.errors import RunbookError
from runbook_lib.verify.convergence import Sample, parse_samples, remedy_for, shows, summarize

Captured = Callable[[str], str]


def read(text: str) -> tuple[list[tuple[float, str]], float]:
    first, *rest = text.splitlines()
    lines = []
    for line in rest:
        came, _, words = line.partition("\t")
        lines.append((100.0 + float(came), words))
    return lines, 100.0 + float(first.split("\t")[1])


def sample(elapsed: float, *, resolved: bool, answered: bool) -> Sample:
    return Sample("alpine1", "alpine2", elapsed, "10.0.0.3" if resolved else "", answered)


def test_a_connect_is_seen_from_unreachable_to_reachable(captured: Captured) -> None:
    lines, event = read(captured("watch_connect.txt"))
    samples = parse_samples(lines, "v-01", "v-25", event, finished=False)
    before = [item for item in samples if item.elapsed < 0]
    assert len(before) >= 5
    assert all(shows(item, reachable=False) for item in before)
    line = summarize(samples, "connect", True, 0.1)
    assert line.converged
    assert line.resolves_after is not None
    assert line.answers_after is not None
    assert 0 < line.resolves_after <= line.answers_after < 2


def test_a_disconnect_is_seen_from_reachable_to_unreachable(captured: Captured) -> None:
    lines, event = read(captured("watch_disconnect.txt"))
    samples = parse_samples(lines, "v-01", "v-25", event, finished=False)
    assert all(shows(item, reachable=True) for item in samples if item.elapsed < 0)
    line = summarize(samples, "disconnect", False, 0.1)
    assert line.converged
    assert line.answers_after is not None
    assert line.answers_after < 2


def test_a_sample_that_still_waits_counts_only_where_a_later_one_is_finished() -> None:
    lines = [
        (10.0, "tick\t0\t5.00"),
        (10.1, "tick\t1\t5.10"),
        (10.1, "dns\t1\t10.0.0.3"),
        (10.1, "ping\t1\t10.0.0.3\t0.2"),
    ]
    assert [item.elapsed for item in parse_samples(lines, "a", "b", 10.0)] == [0.1]
    both = parse_samples(lines, "a", "b", 10.0, finished=False)
    assert [(item.elapsed, item.resolved, item.answered) for item in both] == [
        (0.0, "", False),
        (0.1, "10.0.0.3", True),
    ]


def test_a_flap_restarts_the_clock() -> None:
    states = [(0.0, False), (0.1, True), (0.2, False), (0.3, True), (0.4, True)]
    line = summarize([sample(at, resolved=True, answered=state) for at, state in states], "connect", True, 0.1)
    assert line.resolves_after == 0.0
    assert line.answers_after == 0.3


def test_what_was_never_seen_has_no_time() -> None:
    line = summarize([sample(at / 10, resolved=True, answered=False) for at in range(5)], "connect", True, 0.1)
    assert line.answers_after is None
    assert not line.converged


def test_no_samples_at_all_are_an_error() -> None:
    with pytest.raises(RunbookError, match="there are no samples"):
        summarize([], "connect", True, 0.1)


def test_a_peer_that_answers_and_whose_name_stays_away_has_a_remedy_on_the_node_that_asks() -> None:
    last = Sample("alpine1", "alpine2", 30.0, "", True, 0.1)
    assert "the engine of node3 has no service record of it: restart dockerd on node3" in remedy_for(
        [last], reachable=True, node="node3"
    )
    for samples, reachable in (([last], False), ([replace(last, answered=False)], True), ([], True)):
        assert "restart dockerd" not in remedy_for(samples, reachable, "node3")
