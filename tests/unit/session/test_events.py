"""Events are what runners and records read of a notebook: they must come back as they went in."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from runbook_lib.model.events import EVENT_MIME, CheckEvent, FinishEvent, StartEvent, StepEvent, payload, read_events
from runbook_lib.model.results import Check, Status, StepResult, Verdict

ROW = StepResult("create network ovr0", "node1", Status.CHANGED, "none", "overlay 10.0.0.0/24", 1.23456, "on node1")
CHECK = Check("every pair answers", "node3", Verdict.FAIL, "2", "1", "mend it")
EVENTS = [
    StartEvent(notebook="03_create_overlay", cluster="testbed", plan=False),
    StepEvent.of(ROW),
    CheckEvent.of(CHECK),
    FinishEvent(notebook="03_create_overlay", verdict="pass", seconds=4.2),
]


def test_events_come_back_from_a_saved_notebook_as_they_were_published() -> None:
    saved = json.loads(json.dumps({EVENT_MIME: payload(EVENTS), "text/plain": "create network ovr0"}))
    assert list(read_events(saved)) == EVENTS


def test_a_step_row_keeps_all_but_needless_digits() -> None:
    event = StepEvent.of(ROW)
    assert (event.step, event.node, event.status) == (ROW.step, ROW.node, Status.CHANGED)
    assert (event.before, event.after, event.detail) == (ROW.before, ROW.after, ROW.detail)
    assert event.seconds == 1.235


def test_a_display_without_events_has_none() -> None:
    assert read_events({"text/plain": "hello"}) == ()


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"kind": "party", "notebook": "x"}, id="an unknown kind"),
        pytest.param({"kind": "step", "step": "x", "node": "node1", "status": "fine"}, id="an unknown status"),
        pytest.param({"kind": "finish", "notebook": "x", "verdict": "pass"}, id="a missing field"),
        pytest.param({"kind": "start", "notebook": "x", "cluster": "y", "plan": True, "more": 1}, id="an extra field"),
    ],
)
def test_what_is_no_event_is_refused(event: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        read_events({EVENT_MIME: {"events": [event]}})
