"""What happens in a notebook, as data in its outputs: read live by the runner, and offline from the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from runbook_lib.model.results import Check, Status, StepResult, Verdict

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
