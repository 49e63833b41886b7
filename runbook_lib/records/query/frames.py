"""The archive as DataFrames, for analysis in the user's own notebooks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from runbook_lib.errors import InputError
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.record import CellRecord, MetricRecord, NodeRecord, Record
from runbook_lib.records.query import trend as trends
from runbook_lib.records.query.difference import Difference, differences
from runbook_lib.records.query.index import UNREADABLE
from runbook_lib.records.query.query import list_records
from runbook_lib.records.store import default_location, open_archive
from runbook_lib.records.store.archive import LOG_FILE, Archive
from runbook_lib.records.store.disk import safe_name
from runbook_lib.records.store.reading import BrokenRecord, find_record, read_all, read_record
from runbook_lib.records.store.remote import complete
from runbook_lib.tables.frame import (
    DECIMAL,
    FLAG,
    MOMENT,
    WHOLE,
    Column,
    Table,
    add_to_docstring,
    document_columns,
)

TABLES_FOLDER = "tables"


class _Listed(NamedTuple):
    """A record in an archive; ``record`` is ``None`` if it cannot be read, and ``fault`` the reason."""

    id: str
    notebook: str
    cluster: str
    started: str
    folder: Path
    record: Record | None = None
    fault: str = ""

    @property
    def failed_checks(self) -> int | None:
        return sum(check.verdict == "fail" for check in self.record.checks) if self.record else None

    @property
    def failure(self) -> str:
        found = self.record and self.record.failure
        return f"{found.name}: {found.message}" if found else self.fault


def _metrics(_folder: Path, record: Record) -> Iterator[MetricRecord]:
    if record.seconds is not None:
        yield MetricRecord(name=trends.SECONDS, value=record.seconds, unit="s")
    yield from record.metrics


def _calls(folder: Path, _record: Record) -> Iterator[Mapping[str, Any]]:
    path = folder / LOG_FILE
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            call = json.loads(line)
        except ValueError:
            continue  # an incomplete last line, from a runner that was killed while writing
        if isinstance(call, dict) and call.get("kind", "call") == "call":
            yield call


WHOSE = Table[Record | _Listed](
    "The first columns of every table.",
    Column("record", lambda row: row.id, meaning="its id"),
    Column("notebook", lambda row: row.notebook),
    Column("cluster", lambda row: row.cluster),
    Column("started", lambda row: row.started, MOMENT, meaning="in UTC"),
)

RECORDS = Table[_Listed](
    "One row per record.",
    Column("verdict", lambda row: row.record.verdict if row.record else UNREADABLE),
    Column("seconds", lambda row: row.record and row.record.seconds, DECIMAL),
    Column("changed", lambda row: row.record and row.record.changed, WHOLE, meaning="things changed on the cluster"),
    Column("plan", lambda row: row.record and row.record.plan, FLAG),
    Column("checks", lambda row: row.record and len(row.record.checks), WHOLE),
    Column("failed checks", lambda row: row.failed_checks, WHOLE),
    Column("warnings", lambda row: row.record and row.record.warnings, WHOLE),
    Column("run", lambda row: row.record and row.record.run),
    Column("operator", lambda row: row.record and row.record.provenance.operator),
    Column("host", lambda row: row.record and row.record.provenance.host),
    Column("project", lambda row: row.record and row.record.provenance.project_version, meaning="its version"),
    Column("commit", lambda row: row.record and row.record.provenance.project_commit),
    Column("failure", lambda row: row.failure, meaning="also why a record cannot be read"),
    Column("path", lambda row: row.folder),
)

# The items of a record's parts, and how to read them from the record and its folder.
_PARTS: dict[str, tuple[Table[Any], Callable[[Path, Record], Iterable[Any]]]] = {
    "steps": (
        Table[StepEvent](
            "One row per step and node.",
            Column("step", lambda step: step.step),
            Column("node", lambda step: step.node),
            Column("status", lambda step: step.status),
            Column("before", lambda step: step.before),
            Column("after", lambda step: step.after),
            Column("seconds", lambda step: step.seconds, DECIMAL),
            Column("detail", lambda step: step.detail),
        ),
        lambda _, record: record.steps,
    ),
    "checks": (
        Table[CheckEvent](
            "One row per check and node.",
            Column("check", lambda check: check.check),
            Column("node", lambda check: check.node),
            Column("verdict", lambda check: check.verdict),
            Column("expected", lambda check: check.expected),
            Column("found", lambda check: check.found),
        ),
        lambda _, record: record.checks,
    ),
    "cells": (
        Table[CellRecord](
            "One row per code cell.",
            Column("cell", lambda cell: cell.index, WHOLE, meaning="its place, from 0"),
            Column("id", lambda cell: cell.id),
            Column("state", lambda cell: cell.state),
            Column("seconds", lambda cell: cell.seconds, DECIMAL),
        ),
        lambda _, record: record.cells,
    ),
    "metrics": (
        Table[MetricRecord](
            "One row per number; the record's own seconds are among them.",
            Column("metric", lambda metric: metric.name),
            Column("value", lambda metric: metric.value, DECIMAL),
            Column("unit", lambda metric: metric.unit),
        ),
        _metrics,
    ),
    "nodes": (
        Table[NodeRecord](
            "One row per node.",
            Column("node", lambda node: node.node),
            Column("address", lambda node: node.address),
            Column("engine", lambda node: node.engine, meaning="its version"),
            Column("engine ID", lambda node: node.engine_id),
            Column("answers", lambda node: node.answers, FLAG),
        ),
        lambda _, record: record.provenance.nodes,
    ),
    "calls": (
        Table[Mapping[str, Any]](
            "One row per command or API call.",
            Column("at", lambda call: call.get("at"), MOMENT, meaning="in UTC"),
            Column("node", lambda call: call.get("node")),
            Column("via", lambda call: call.get("via")),
            Column("call", lambda call: " ".join(map(str, call.get("argv", ())))),
            Column("seconds", lambda call: call.get("seconds"), DECIMAL),
            Column("status", lambda call: call.get("status"), WHOLE),
            Column("error", lambda call: call.get("error")),
        ),
        _calls,
    ),
}


def _named(table: Table[Any]) -> str:
    """The columns of a table in one line of a docstring."""
    return ", ".join(f"``{item.heading}``" + (f" ({item.meaning})" if item.meaning else "") for item in table.columns)


@add_to_docstring(
    f"Each table begins with the columns {_named(WHOSE)}. Then come:\n\n- ``records``: {_named(RECORDS)}\n"
    + "\n".join(f"- ``{name}``: {_named(table)}" for name, (table, _) in _PARTS.items())
)
def frame(what: str = "records", archive: Archive | str | Path | None = None) -> pd.DataFrame:
    """A part of every record in an archive as one table, the newest record first.

    Args:
        what: ``records`` (one row each), ``steps``, ``checks``, ``cells``, ``metrics``, ``nodes``, ``calls`` (every
            command and API call), or the name of a table that a notebook kept, such as ``ping-matrix``.
        archive: a folder or URL; the default archive where nothing is named.

    Raises:
        InputError: an unknown table (the remedy names the known ones), or the archive cannot be read.
    """
    place = archive if isinstance(archive, Archive) else open_archive(archive or default_location())
    if what == "records":
        listed = list(_listed(place))
        return pd.concat([WHOSE(listed), RECORDS(listed)], axis="columns")
    if what in _PARTS:
        table, items = _PARTS[what]
        found = _readable(place, whole=what == "calls")
        rows = [(record, item) for folder, record in found for item in items(folder, record)]
        return pd.concat([WHOSE(record for record, _ in rows), table(item for _, item in rows)], axis="columns")
    return _kept_tables(what, place)


COMPARISON = Table[Difference](
    "One row per difference.",
    Column("subject", lambda row: row.subject, meaning="such as verdict, step, address, engine, check or metric"),
    Column("item", lambda row: row.item, meaning="which one"),
    Column("node", lambda row: row.node),
    Column("A", lambda row: row.before, meaning="``-`` where the record does not have it"),
    Column("B", lambda row: row.after),
    Column("note", lambda row: row.note, meaning="the ratio of two numbers"),
)


@document_columns(COMPARISON)
def compare(a: str, b: str, archive: Archive | str | Path | None = None) -> pd.DataFrame:
    """What changed on the cluster between two records, named by their ids or prefixes of these.

    Raises:
        InputError: no record, or more than one, matches.
        RecordError: a record cannot be read.
    """
    place = archive if isinstance(archive, Archive) else open_archive(archive or default_location())
    return COMPARISON(differences(read_record(find_record(place, a)), read_record(find_record(place, b))))


def _readable(archive: Archive, *, whole: bool = False) -> Iterator[tuple[Path, Record]]:
    """Every readable record, the newest first; ``whole`` fetches all files of a remote one."""
    for folder, record in read_all(reversed(archive.folders())):
        if isinstance(record, Record):
            if whole:
                complete(archive, folder)
            yield folder, record


def _listed(archive: Archive) -> Iterator[_Listed]:
    """Every record, the newest first."""
    rows = {row.folder: row for row in list_records(archive)}
    for folder, record in read_all(reversed(archive.folders())):
        if isinstance(record, BrokenRecord):
            row = rows.get(folder.name)
            id_, started = (row.id, row.started) if row else (folder.name, "")
            yield _Listed(id_, "", "", started, folder, fault=record.fault)
        else:
            yield _Listed(record.id, record.notebook, record.cluster, record.started, folder, record)


def _kept_tables(name: str, archive: Archive) -> pd.DataFrame:
    """The CSV tables of that name, concatenated; a record may have several."""
    tables, there = [], set()
    for folder, record in _readable(archive, whole=True):
        for path in sorted((folder / TABLES_FOLDER).glob("*.csv")):
            kept = path.stem.partition("_")[0]  # the suffix counts the tables of one record
            there.add(kept)
            if kept == safe_name(name):
                table = pd.read_csv(io.BytesIO(path.read_bytes()))
                tables.append(pd.concat([WHOSE([record] * len(table)), table], axis="columns"))
    if not tables:
        known = ", ".join(("records", *_PARTS, *sorted(there)))
        raise InputError(f"no record has a table {name!r}", place=archive.location, remedy=f"one of: {known}")
    return pd.concat(tables, ignore_index=True)
