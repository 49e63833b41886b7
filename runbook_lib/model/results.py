"""What steps, checks and probes return, and what happens in a notebook: one uniform row each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter


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


EVENT_MIME = "application/vnd.overlay-runbook.event+json"


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartEvent(_Event):
    """A notebook began."""

    kind: Literal["start"] = "start"
    notebook: str
    cluster: str
    plan: bool


class StepEvent(_Event):
    """One step ended on one node."""

    kind: Literal["step"] = "step"
    step: str
    node: str
    status: Status
    before: str = ""
    after: str = ""
    seconds: float = 0.0
    detail: str = ""

    @classmethod
    def of(cls, row: StepResult) -> StepEvent:
        """The event of a result row."""
        return cls(
            step=row.step,
            node=row.node,
            status=row.status,
            before=row.before,
            after=row.after,
            seconds=round(row.seconds, 3),
            detail=row.detail,
        )


class CheckEvent(_Event):
    """Something was expected, and held or did not."""

    kind: Literal["check"] = "check"
    check: str
    node: str = ""
    verdict: Verdict
    expected: str = ""
    found: str = ""

    @classmethod
    def of(cls, check: Check) -> CheckEvent:
        """The event of a check."""
        return cls(
            check=check.check, node=check.node, verdict=check.verdict, expected=check.expected, found=check.found
        )


class FinishEvent(_Event):
    """A notebook reached its end."""

    kind: Literal["finish"] = "finish"
    notebook: str
    verdict: str
    seconds: float


Event = StartEvent | StepEvent | CheckEvent | FinishEvent
_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[StartEvent | StepEvent | CheckEvent | FinishEvent])


def payload(events: Iterable[Event]) -> dict[str, Any]:
    """Events as the data of one display, under ``EVENT_MIME``."""
    return {"events": [event.model_dump(mode="json") for event in events]}


def read_events(data: Mapping[str, Any]) -> tuple[Event, ...]:
    """The events in one display's data; empty when it has none. Raises ``pydantic.ValidationError``."""
    found = data.get(EVENT_MIME)
    return () if found is None else tuple(_EVENTS.validate_python(found["events"]))


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
