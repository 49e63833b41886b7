"""The archive as DataFrames, for people who analyse it in a notebook of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runbook_lib.errors import InputError
from runbook_lib.model.record import Record
from runbook_lib.records.query import trend as trends
from runbook_lib.records.query.difference import differences
from runbook_lib.records.query.index import UNREADABLE
from runbook_lib.records.query.query import list_records
from runbook_lib.records.store import default_location, open_archive
from runbook_lib.records.store.archive import LOG_FILE, Archive
from runbook_lib.records.store.disk import safe_name
from runbook_lib.records.store.reading import BrokenRecord, find_record, read_all, read_record
from runbook_lib.records.store.remote import complete
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE
from runbook_lib.tables.frame import frame as make_table

TABLES_FOLDER = "tables"

MOMENT = "datetime64[us, UTC]"
#: What every table begins with: the record's id, the notebook, the cluster and when it was started (UTC).
WHOSE = {"record": TEXT, "notebook": TEXT, "cluster": TEXT, "started": MOMENT}

_Rows = Iterable[Sequence[Any]]


def frame(what: str = "records", archive: Archive | str | Path | None = None) -> pd.DataFrame:
    """A part of every record in an archive as one table, the newest record first.

    Args:
        what: ``records`` (one row each), ``steps``, ``checks``, ``cells``, ``metrics``, ``nodes``, ``calls`` (every
            command and API call), or the name of a table that a notebook kept, such as ``ping-matrix``.
        archive: a folder or URL; the default archive where nothing is named.

    Each table begins with the columns ``record`` (id), ``notebook``, ``cluster`` and ``started`` (UTC). Then come:

    - ``records``: ``verdict``, ``seconds``, ``changed`` (things changed on the cluster), ``plan``, ``checks``,
      ``failed checks``, ``warnings``, ``run``, ``operator``, ``host``, ``project`` (version), ``commit``,
      ``failure``, ``path``.
      A record that cannot be read is in it too: its verdict is ``unreadable`` and ``failure`` says why.
    - ``steps``: ``step``, ``node``, ``status``, ``before``, ``after``, ``seconds``, ``detail``.
    - ``checks``: ``check``, ``node``, ``verdict``, ``expected``, ``found``.
    - ``cells``: ``cell`` (its place, from 0), ``id``, ``state``, ``seconds``.
    - ``metrics``: ``metric``, ``value``, ``unit``; the record's own ``seconds`` are among them.
    - ``nodes``: ``node``, ``address``, ``engine`` (version), ``engine ID``, ``answers``.
    - ``calls``: ``at`` (UTC), ``node``, ``via``, ``call``, ``seconds``, ``status``, ``error``.

    Raises:
        InputError: there is no such table; the remedy names those there are. Or the archive cannot be read.
    """
    place = archive if isinstance(archive, Archive) else open_archive(archive or default_location())
    if what == "records":
        return _records(place)
    if what in _PARTS:
        columns, rows_of = _PARTS[what]
        found = _readable(place, whole=what == "calls")
        rows = ((*_whose(record), *row) for folder, record in found for row in rows_of(folder, record))
        return _table(rows, columns)
    return _kept_tables(what, place)


def compare(a: str, b: str, archive: Archive | str | Path | None = None) -> pd.DataFrame:
    """What changed on the cluster between two records, which are named by their ids or the beginnings of them.

    Columns: ``subject`` (verdict, step, address, engine, check, metric, parameter, provenance), ``item``, ``node``,
    ``A``, ``B``, ``note`` (the ratio of two numbers). Without a row nothing differs.

    Raises:
        InputError: no record, or more than one, is called so.
        RecordError: a record cannot be read.
    """
    place = archive if isinstance(archive, Archive) else open_archive(archive or default_location())
    found = differences(read_record(find_record(place, a)), read_record(find_record(place, b)))
    rows = ((item.subject, item.item, item.node, item.before, item.after, item.note) for item in found)
    return make_table(rows, dict.fromkeys(("subject", "item", "node", "A", "B", "note"), TEXT))


def _readable(archive: Archive, *, whole: bool = False) -> Iterator[tuple[Path, Record]]:
    """Every record that can be read, the newest first; with ``whole`` all files of a remote one are fetched."""
    for folder, record in read_all(reversed(archive.folders())):
        if isinstance(record, Record):
            if whole:
                complete(archive, folder)
            yield folder, record


def _table(rows: _Rows, columns: dict[str, str]) -> pd.DataFrame:
    """The rows under ``WHOSE`` and these columns; ``started`` and ``at`` are moments."""
    moments = [name for name in (*WHOSE, *columns) if (WHOSE | columns)[name] == MOMENT]
    table = make_table(rows, {name: TEXT if name in moments else kind for name, kind in (WHOSE | columns).items()})
    for name in moments:
        table[name] = _moments(table[name])
    return table


def _moments(texts: pd.Series[Any]) -> pd.Series[Any]:
    """The texts as moments, of one type whether there are any or not."""
    moments: pd.Series[Any] = pd.to_datetime(texts, utc=True, format="ISO8601")
    whole: pd.Series[Any] = moments.dt.as_unit("us")
    return whole


def _whose(record: Record) -> tuple[str, ...]:
    return record.id, record.notebook, record.cluster, record.started


def _records(archive: Archive) -> pd.DataFrame:
    listed = {row.folder: row for row in list_records(archive)}
    rows: list[tuple[Any, ...]] = []
    for folder, record in read_all(reversed(archive.folders())):
        if isinstance(record, BrokenRecord):
            row = listed.get(folder.name)
            head = (row.id, "", "", row.started) if row else (folder.name, "", "", "")
            rows.append((*head, UNREADABLE, *(None,) * 11, record.fault, str(folder)))
            continue
        failed = sum(check.verdict == "fail" for check in record.checks)
        source = record.provenance
        failure = "" if record.failure is None else f"{record.failure.name}: {record.failure.message}"
        counts = (len(record.checks), failed, record.warnings)
        told = (record.verdict, record.seconds, record.changed, record.plan, *counts, record.run)
        made_by = (source.operator, source.host, source.project_version, source.project_commit)
        rows.append((*_whose(record), *told, *made_by, failure, str(folder)))
    return _table(rows, _RECORD_COLUMNS)


_RECORD_COLUMNS = {
    "verdict": TEXT,
    "seconds": DECIMAL,
    "changed": WHOLE,
    "plan": FLAG,
    "checks": WHOLE,
    "failed checks": WHOLE,
    "warnings": WHOLE,
    "run": TEXT,
    "operator": TEXT,
    "host": TEXT,
    "project": TEXT,
    "commit": TEXT,
    "failure": TEXT,
    "path": TEXT,
}


def _steps(_folder: Path, record: Record) -> _Rows:
    return ((r.step, r.node, r.status, r.before, r.after, r.seconds, r.detail) for r in record.steps)


def _checks(_folder: Path, record: Record) -> _Rows:
    return ((c.check, c.node, c.verdict, c.expected, c.found) for c in record.checks)


def _cells(_folder: Path, record: Record) -> _Rows:
    return ((cell.index, cell.id, cell.state, cell.seconds) for cell in record.cells)


def _metrics(_folder: Path, record: Record) -> _Rows:
    if record.seconds is not None:
        yield trends.SECONDS, record.seconds, "s"
    for metric in record.metrics:
        yield metric.name, metric.value, metric.unit


def _nodes(_folder: Path, record: Record) -> _Rows:
    return ((n.node, n.address, n.engine, n.engine_id, n.answers) for n in record.provenance.nodes)


def _calls(folder: Path, _record: Record) -> _Rows:
    path = folder / LOG_FILE
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            call = json.loads(line)
        except ValueError:
            continue  # the last line of a runner that was killed while it wrote
        if isinstance(call, dict) and call.get("kind", "call") == "call":
            words = " ".join(map(str, call.get("argv", ())))
            facts = (call.get(name) for name in ("seconds", "status", "error"))
            yield (call.get("at"), call.get("node"), call.get("via"), words, *facts)


_PARTS: dict[str, tuple[dict[str, str], Callable[[Path, Record], _Rows]]] = {
    "steps": (
        {"step": TEXT, "node": TEXT, "status": TEXT, "before": TEXT, "after": TEXT, "seconds": DECIMAL, "detail": TEXT},
        _steps,
    ),
    "checks": ({"check": TEXT, "node": TEXT, "verdict": TEXT, "expected": TEXT, "found": TEXT}, _checks),
    "cells": ({"cell": WHOLE, "id": TEXT, "state": TEXT, "seconds": DECIMAL}, _cells),
    "metrics": ({"metric": TEXT, "value": DECIMAL, "unit": TEXT}, _metrics),
    "nodes": ({"node": TEXT, "address": TEXT, "engine": TEXT, "engine ID": TEXT, "answers": FLAG}, _nodes),
    "calls": (
        {
            "at": MOMENT,
            "node": TEXT,
            "via": TEXT,
            "call": TEXT,
            "seconds": DECIMAL,
            "status": WHOLE,
            "error": TEXT,
        },
        _calls,
    ),
}


def _kept_tables(name: str, archive: Archive) -> pd.DataFrame:
    """The CSV tables of that name, one under the other; those of one record that kept several are all there."""
    tables, there = [], set()
    for folder, record in _readable(archive, whole=True):
        for path in sorted((folder / TABLES_FOLDER).glob("*.csv")):
            kept = path.stem.partition("_")[0]  # what stands behind it counts those of one record
            there.add(kept)
            if kept == safe_name(name):
                table = pd.read_csv(io.BytesIO(path.read_bytes()))
                whose = pd.DataFrame([_whose(record)] * len(table), columns=list(WHOSE))
                tables.append(pd.concat([whose, table], axis="columns"))
    if not tables:
        known = ", ".join(("records", *_PARTS, *sorted(there)))
        raise InputError(f"no record has a table {name!r}", place=archive.location, remedy=f"one of: {known}")
    together = pd.concat(tables, ignore_index=True)
    together["started"] = _moments(together["started"])
    return together
