"""What a killed runner left of a record, told as it is: from the notebook that it saved last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runbook_lib.model.events import CheckEvent, Event, StepEvent, read_events
from runbook_lib.model.record import CellRecord, CellState, FailureRecord, Record, RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.archive import NOTEBOOK_FILE

KILLED = FailureRecord(
    name="Killed",
    message="the runner was killed, or its machine went down; when it ended is not known",
)


def as_left(record: Record, folder: Path) -> Record:
    """A record whose runner is gone: ``interrupted``, with the cells, steps and checks of the notebook saved last."""
    cells = _cells(folder / NOTEBOOK_FILE)
    events = [event for cell in cells for event in _events(cell)]
    steps = tuple(event for event in events if isinstance(event, StepEvent))
    return record.model_copy(
        update={
            "verdict": RecordVerdict.INTERRUPTED,
            "failure": record.failure or KILLED,
            "cells": tuple(_states(cells)) or tuple(_ended(cell) for cell in record.cells),
            "steps": steps or record.steps,
            "checks": tuple(event for event in events if isinstance(event, CheckEvent)) or record.checks,
            "changed": sum(step.status is Status.CHANGED for step in steps) if steps else record.changed,
        }
    )


def _ended(cell: CellRecord) -> CellRecord:
    return cell.model_copy(update={"state": CellState.INTERRUPTED}) if cell.state is CellState.RUNNING else cell


def _cells(path: Path) -> list[Mapping[str, Any]]:
    """The cells of a notebook; none when it cannot be read, as verify then says."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []


def _states(cells: list[Mapping[str, Any]]) -> Iterator[CellRecord]:
    for index, cell in enumerate(cells):
        metadata = cell.get("metadata") or {}
        state = (metadata.get("runbook") or {}).get("state")
        if cell.get("cell_type") != "code" or state not in set(CellState):
            continue
        seconds = (metadata.get("papermill") or {}).get("duration")
        yield _ended(CellRecord(index=index, id=str(cell.get("id", "")), state=CellState(state), seconds=seconds))


def _events(cell: Mapping[str, Any]) -> Iterator[Event]:
    for output in cell.get("outputs") or ():
        try:
            yield from read_events(output.get("data") or {})
        except (ValidationError, KeyError, TypeError, AttributeError):
            continue
