"""Records made with the real writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runbook_lib.model.record import Record, RecordVerdict
from runbook_lib.records.store.archive import Archive
from runbook_lib.records.writer import RecordWriter, new_record_id

NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def new_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "id": new_record_id(),
        "run": "0123456789",
        "notebook": "05_ping_tests",
        "cluster": "testbed",
        "started": "2026-05-01T12:00:00.000Z",
    }
    return Record(**{**fields, **changes})


def begin(archive: Archive, redact: Callable[[str], str] = str, **changes: Any) -> RecordWriter:
    return RecordWriter.create(archive, new_record(**changes), NOTEBOOK, redact)


def passed(writer: RecordWriter, **changes: Any) -> Record:
    fields = {"verdict": RecordVerdict.PASS, "exit_code": 0, "ended": "2026-05-01T12:00:05.000Z", "seconds": 5.0}
    return new_record(**{"id": writer.id, **fields, **changes})


def write(archive: Archive, **changes: Any) -> Path:
    """A finished record with every kind of file; its folder."""
    writer = begin(archive, **changes)
    writer.save_notebook(NOTEBOOK)
    writer.log('{"kind": "call"}')
    writer.table("pings", "from,to\nnode1,node2\n")
    writer.finish(passed(writer, **changes), "<!doctype html><title>pings</title>")
    return writer.folder


def three(archive: Archive) -> list[Path]:
    """Three finished records, a minute apart."""
    return [write(archive, started=f"2026-05-01T12:0{minute}:00.000Z") for minute in range(3)]
