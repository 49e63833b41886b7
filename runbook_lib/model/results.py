"""What steps, checks and probes return: one uniform row each; and numbers over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """How a step ended on one node. A row starts as ``failed`` and is made anything else only explicitly."""

    OK = "ok"
    CHANGED = "changed"
    PLANNED = "planned"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"

    @property
    def succeeded(self) -> bool:
        """True unless the step failed or its node did not answer."""
        return self not in (Status.FAILED, Status.UNREACHABLE)


@dataclass(frozen=True)
class StepResult:
    """One step on one node: what it found, what it left behind, how long it took."""

    step: str
    node: str
    status: Status = Status.FAILED
    before: str = ""
    after: str = ""
    seconds: float = 0.0
    detail: str = ""


class Verdict(StrEnum):
    """The outcome of a check or probe."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


def with_warnings(verdict: str, warnings: int) -> str:
    """A verdict as text: ``pass``, or ``pass, 3 warnings``."""
    return f"{verdict}, {warnings} warning{'s' if warnings != 1 else ''}" if warnings else str(verdict)


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, on which node, what was expected and what was found."""

    check: str
    node: str
    verdict: Verdict
    expected: str = ""
    found: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class TrendPoint:
    """What one record holds: when it was started, on which cluster, how it ended, the number, how many checks warned.

    ``passed`` is whether everything held; what a failed run measured may mean something else.
    """

    record: str
    started: datetime
    cluster: str
    verdict: str
    passed: bool
    value: float
    warnings: int = 0


@dataclass(frozen=True)
class Trend:
    """A metric of one notebook over time, the oldest point first; values are in ``unit``."""

    notebook: str
    metric: str
    unit: str
    points: tuple[TrendPoint, ...]


By = Literal["name", "address"]
Expectation = Literal["reachable", "unreachable"]


@dataclass(frozen=True)
class Probe:
    """What one container got when it pinged another; the same fields whether it answered or not.

    ``resolved`` is the address that the name led to (or, by address, the one pinged), or empty. ``first_ms`` is the
    cold first probe, which may have to wait until the overlay has learned where the peer is; ``min_ms``, ``avg_ms``
    and ``max_ms`` are those of the probes after it; ``times`` holds each probe's, in the order in which they were sent.
    All are in milliseconds, ``None`` where nothing answered.
    ``verdict`` is ``pass`` when ``expected`` holds, so also for a peer that rightly does not answer. ``largest`` is the
    largest IP packet, in bytes, that passed whole, ``full_size`` what the interface takes; both are ``None`` where none
    was tried; ``whole`` is true when one of full size surely passed uncut. ``unproven`` is what could not be tried of
    a peer that answers; ``remedy`` is for what failed, and ``sure`` the part that is certain.
    """

    source: str
    source_node: str
    target: str
    target_node: str
    by: By
    resolved: str
    sent: int
    received: int
    loss_percent: float
    min_ms: float | None
    avg_ms: float | None
    max_ms: float | None
    first_ms: float | None
    expected: Expectation
    verdict: Verdict
    detail: str
    times: tuple[float | None, ...] = ()
    largest: int | None = None
    full_size: int | None = None
    whole: bool = False
    unproven: tuple[str, ...] = ()
    remedy: str = ""
    sure: str = ""

    def remedy_beside(self, causes: Sequence[Check]) -> str:
        """The remedy next to checks between the nodes: a failed check replaces uncertain remedies."""
        ends = {self.source_node, self.target_node}
        known = [row.node for row in causes if row.verdict is Verdict.FAIL and row.remedy and row.node in ends]
        if not known or not self.remedy or self.remedy == self.sure:
            return self.remedy
        first = f"first mend what is said of {', '.join(dict.fromkeys(known))}"
        return "; ".join(part for part in (self.sure, first) if part)
