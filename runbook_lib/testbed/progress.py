"""The progress of a long operation: one event at the start of each step, and one at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

State = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class Progress:
    """One event: the step, its node ("" for the whole testbed), and its state."""

    step: str
    node: str
    state: State
    seconds: float = 0.0
    detail: str = ""


Report = Callable[[Progress], None]


def silent(_event: Progress) -> None:
    """A reporter that does nothing."""


class Step:
    """A running step; its end event has ``detail``."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(report: Report, name: str, node: str = "") -> Iterator[Step]:
    """Report a step's start and end; it has failed if the block raises."""
    begun = time.monotonic()
    report(Progress(name, node, "started"))
    current, state = Step(), "failed"
    try:
        yield current
        state = "done"
    finally:
        seconds = time.monotonic() - begun
        report(Progress(name, node, "done" if state == "done" else "failed", seconds, current.detail))
