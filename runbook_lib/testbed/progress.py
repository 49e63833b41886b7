"""What a long operation tells while it runs: one event when a step of it begins, one when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

State = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class Progress:
    """One event: which step, of which node ("" for the whole testbed), and how it stands."""

    step: str
    node: str
    state: State
    seconds: float = 0.0
    detail: str = ""


Report = Callable[[Progress], None]


def silent(_event: Progress) -> None:
    """A reporter that tells nobody."""


class Step:
    """A step under way; what is put into ``detail`` is told at its end."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(report: Report, name: str, node: str = "") -> Iterator[Step]:
    """Report a step's begin and end; it has failed unless the block reaches its end."""
    begun = time.monotonic()
    report(Progress(name, node, "started"))
    current, state = Step(), "failed"
    try:
        yield current
        state = "done"
    finally:
        seconds = time.monotonic() - begun
        report(Progress(name, node, "done" if state == "done" else "failed", seconds, current.detail))
