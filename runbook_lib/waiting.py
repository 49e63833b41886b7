"""Waiting for something that happens by itself: ask, pause, ask again, until a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Deadline:
    """A moment some ``seconds`` from now, by a clock that nobody sets; with ``None`` it never comes."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._at = float("inf") if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds until then, never less than none."""
        return max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it has come."""
        return time.monotonic() >= self._at


def wait_until(ask: Callable[[], T], seconds: float | None, *, pause: float) -> T:
    """Ask until the answer is true, for so many seconds; asked once at least, and once more at the end.

    Args:
        ask: what it raises ends the waiting.
        seconds: ``None``: for as long as it takes.
        pause: the seconds between two questions.

    Returns:
        The last answer: a false one when the time is over.
    """
    deadline = Deadline(seconds)
    while not (answer := ask()) and not deadline.passed:
        time.sleep(min(pause, deadline.left))
    return answer
