"""Waiting ends with a true answer, with the time, or with an error."""

from __future__ import annotations

import pytest

from runbook_lib import waiting
from runbook_lib.waiting import Deadline, wait_until


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def test_a_deadline_has_less_and_less_left_until_it_has_passed(clock: Clock) -> None:
    deadline = Deadline(2)
    assert (deadline.left, deadline.passed) == (2, False)
    clock.sleep(1.5)
    assert (deadline.left, deadline.passed) == (0.5, False)
    clock.sleep(1)
    assert (deadline.left, deadline.passed) == (0, True)


def test_a_deadline_without_seconds_never_comes(clock: Clock) -> None:
    deadline = Deadline(None)
    clock.sleep(1e9)
    assert (deadline.left, deadline.passed) == (float("inf"), False)


def test_the_first_true_answer_is_returned(clock: Clock) -> None:
    answers = iter(["", "", "there", "never asked"])
    assert wait_until(lambda: next(answers), 10, pause=1) == "there"
    assert clock.slept == [1, 1]


def test_when_the_time_is_over_it_is_asked_once_more(clock: Clock) -> None:
    asked: list[float] = []
    assert wait_until(lambda: asked.append(clock.now), 2.5, pause=1) is None
    assert asked == [1000, 1001, 1002, 1002.5]


def test_without_time_it_is_asked_once(clock: Clock) -> None:
    assert wait_until(lambda: False, 0, pause=1) is False
    assert clock.slept == []


def test_without_a_limit_it_is_asked_for_as_long_as_it_takes(clock: Clock) -> None:
    assert wait_until(lambda: clock.now >= 5000, None, pause=1)
    assert len(clock.slept) == 4000


def test_an_error_ends_the_waiting(clock: Clock) -> None:
    def ask() -> bool:
        raise LookupError

    with pytest.raises(LookupError):
        wait_until(ask, 10, pause=1)
    assert clock.slept == []
