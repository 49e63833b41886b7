"""What steps, checks and probes return: one uniform row each; and numbers over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
    """A verdict as it is told wherever one is shown: ``pass``, or ``pass, 3 warnings``."""
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
