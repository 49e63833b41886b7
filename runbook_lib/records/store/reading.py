"""Reads records, and finds them by their ids.

The record of a killed runner is completed from the notebook that it saved last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runbook_lib.errors import InputError, RecordError
from runbook_lib.files import write_whole
from runbook_lib.model.events import CheckEvent, Event, StepEvent, read_events
from runbook_lib.model.record import CellRecord, CellState, FailureRecord, FileRecord, Record, RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.store.archive import NOTEBOOK_FILE, RECORD_FILE, SEAL_FILE, Archive, id_of, is_record_name
from runbook_lib.records.store.disk import files_in, sha256_of
from runbook_lib.records.store.remote import complete
from runbook_lib.records.store.running import is_running

KILLED = FailureRecord(
    name="Killed",
    message="the runner was killed, or its machine went down; when it ended is not known",
)


def as_left(record: Record, folder: Path) -> Record:
    """The record of a dead runner: ``interrupted``, with the cells, steps and checks of the notebook saved last."""
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
    """The cells of a notebook; empty if it cannot be read, which verify reports."""
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


@dataclass(frozen=True)
class BrokenRecord:
    """A record that cannot be read, and the reason."""

    folder: Path
    fault: str


def read_record(folder: Path) -> Record:
    """The record in a folder; ``interrupted`` if its runner was killed.

    Raises:
        RecordError: ``record.json`` is missing, cut short or not one of this project's.
    """
    path = folder / RECORD_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, f"the record cannot be read ({error.strerror})") from error
    return as_it_is(parse_record(data, path), folder)


def parse_record(data: bytes, path: Path) -> Record:
    """The record of a ``record.json``. Raises ``RecordError``, which names ``path``."""
    try:
        return Record.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        fault = f"{where}: {first['msg']}" if where else first["msg"]
        raise _unreadable(path, f"the record cannot be read ({fault})") from error


def as_it_is(record: Record, folder: Path) -> Record:
    """The record in a folder; ``interrupted`` instead of ``running`` if its runner has died."""
    if record.verdict is not RecordVerdict.RUNNING or is_running(folder):
        return record
    return as_left(record, folder)


def read_all(folders: Iterable[Path]) -> Iterator[tuple[Path, Record | BrokenRecord]]:
    """Every record, or the fault that makes it unreadable."""
    for folder in folders:
        try:
            yield folder, read_record(folder)
        except RecordError as error:
            yield folder, BrokenRecord(folder, error.message)


def broken_records(archive: Archive) -> tuple[BrokenRecord, ...]:
    """The records of an archive that cannot be read."""
    return tuple(found for _, found in read_all(archive.folders()) if isinstance(found, BrokenRecord))


def find_record(archive: Archive, wanted: str) -> Path:
    """The folder of the record with an id, a prefix of an id, a folder's name, or a path.

    Raises:
        InputError: no record, or more than one, matches.
        RecordError: a remote record cannot be fetched completely.
    """
    path = Path(wanted)
    if path.name == RECORD_FILE:
        path = path.parent
    if (path / RECORD_FILE).is_file() or (is_record_name(path.name) and path.is_dir()):
        return path.absolute()
    folders = archive.folders()
    found = [folder for folder in folders if wanted and (id_of(folder).startswith(wanted) or folder.name == wanted)]
    if not found:
        raise InputError(
            f"no record has the id {wanted!r}", place=archive.location, remedy="see the ids: ./runbook records list"
        )
    if len(found) > 1:
        names = "".join(f"\n  - {id_of(folder)}  {folder.name}" for folder in found[:10])
        more = f"\n  and {len(found) - 10} more" if len(found) > 10 else ""
        raise InputError(
            f"{len(found)} records have an id that begins with {wanted!r}:{names}{more}",
            place=archive.location,
            remedy="give more of the id",
        )
    complete(archive, found[0])
    return found[0]


def _unreadable(path: Path, message: str) -> RecordError:
    return RecordError(message, place=str(path), remedy="check the archive: ./runbook records verify")


#: Files whose hash cannot be in ``record.json``.
UNLISTED = frozenset({RECORD_FILE, SEAL_FILE})


# Not free text: an id, a discriminator, and what was hashed.
_NEVER_SECRET = frozenset({"id", "kind", "files"})


def contents_of(folder: Path) -> dict[str, FileRecord]:
    """Every file that ``record.json`` lists, by its path in the record's folder. Raises ``OSError``."""
    return {name: _file_record(folder / name) for name in sorted(files_in(folder)) if name not in UNLISTED}


def _file_record(path: Path) -> FileRecord:
    digest, size = sha256_of(path)
    return FileRecord(sha256=digest, size=size)


def record_bytes(record: Record) -> bytes:
    """The text of ``record.json``."""
    return record.model_dump_json(indent=1).encode() + b"\n"


def write_record(folder: Path, record: Record) -> None:
    """Write ``record.json`` into a folder. Raises ``OSError``."""
    write_whole(folder / RECORD_FILE, record_bytes(record), durable=True)


def redacted(record: Record, redact: Callable[[str], str]) -> Record:
    """The record without secrets in its texts; states, ids and hashes stay unchanged."""
    return Record.model_validate(_redacted(record.model_dump(), redact))


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            redact(str(key)): item if key in _NEVER_SECRET else _redacted(item, redact) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(item, redact) for item in value]
    return value
