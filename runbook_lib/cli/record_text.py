"""Records, differences and trends as lines for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runbook_lib.cli.arguments import columns, one_line
from runbook_lib.errors import RecordError
from runbook_lib.journal import stamp
from runbook_lib.model.record import Record
from runbook_lib.model.results import Trend, with_warnings
from runbook_lib.records.query.difference import Difference, flatten
from runbook_lib.records.query.trend import sparkline, values_of
from runbook_lib.records.store.archive import RECORD_FILE, SEAL_FILE
from runbook_lib.records.store.disk import files_in

_INDENT = "  "
_SHOWN_HASH = 16


def record_lines(record: Record, folder: Path, faults: Sequence[str], width: int | None) -> list[str]:
    """A record as text: a summary first, then every step, check and file."""
    lines = [f"{record.notebook} on {record.cluster}: {record.verdict_text}", *_facts(_head(record, folder))]
    if faults:
        lines += _section("Wrong", (f"{_INDENT}✗ {fault}" for fault in faults))
    if record.failure:
        words = f"{record.failure.cell} {record.failure.name}: {record.failure.message}".strip()
        lines += _section("Failure", (f"{_INDENT}{line}" for line in words.splitlines()))
    for title, header, rows in _tables(record):
        table = columns(header, rows, right=("seconds", "bytes"), shrink=_LONG, width=width, indent=_INDENT)
        lines += _section(title, table if rows else ())
    return lines


_LONG = ("before", "after", "detail", "expected", "found", "check", "step", "value", "engine ID", "id", "versions")


def _head(record: Record, folder: Path) -> list[tuple[str, str]]:
    code = "" if record.exit_code is None else f" (exit code {record.exit_code})"
    source = record.provenance
    took = "" if record.seconds is None else f", took {record.seconds:.1f} s"
    return [
        ("record", record.id),
        ("verdict", f"{record.verdict_text}{code}"),
        ("started", f"{_time(record.started)} UTC{took}"),
        ("changed", str(record.changed)),
        ("mode", "plan: it changes nothing" if record.plan else ""),
        ("run", record.run + (f", goes on with {record.resumes}" if record.resumes else "")),
        ("by", "@".join(filter(None, (source.operator, source.host)))),
        ("project", " ".join(filter(None, (source.project_version, source.project_commit)))),
        ("Python", f"{source.python}, {len(source.packages)} packages (--json lists them)"),
        ("notebook", f"SHA-256 {source.notebook_sha256}" if source.notebook_sha256 else ""),
        ("folder", str(folder)),
    ]


def _tables(record: Record) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    yield (
        "Steps",
        ("step", "node", "status", "before", "after", "seconds", "detail"),
        [
            (r.step, r.node, r.status, *map(one_line, (r.before, r.after)), f"{r.seconds:.1f}", one_line(r.detail))
            for r in record.steps
        ],
    )
    yield (
        "Checks",
        ("verdict", "check", "node", "expected", "found"),
        [(c.verdict, c.check, c.node, one_line(c.expected), one_line(c.found)) for c in record.checks],
    )
    metrics = values_of(record)
    yield "Metrics", ("name", "value"), [(name, f"{metrics[name].value:.4g} {metrics[name].unit}") for name in metrics]
    yield (
        "Nodes",
        ("node", "address", "engine", "engine ID"),
        [
            (n.node, n.address, n.engine, n.engine_id) if n.answers else (n.node, "does not answer", "", "")
            for n in record.provenance.nodes
        ],
    )
    yield (
        "Cells",
        ("cell", "state", "seconds", "id"),
        [(str(c.index), c.state, "-" if c.seconds is None else f"{c.seconds:.1f}", c.id) for c in record.cells],
    )
    yield (
        "Parameters",
        ("name", "value"),
        [(name, one_line(value)) for name, value in flatten(record.parameters) if name],
    )
    yield (
        "Files",
        ("file", "bytes", "sha256"),
        [(name, str(file.size), file.sha256[:_SHOWN_HASH]) for name, file in sorted(record.files.items())],
    )


def file_faults(folder: Path, record: Record) -> list[str]:
    """The obvious faults of a record's files; ``verify`` checks their contents."""
    faults = []
    for name, file in sorted(record.files.items()):
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != file.size:
            faults.append(f"{name} has {path.stat().st_size} bytes, not {file.size}")
    if record.files:
        known = {*record.files, RECORD_FILE, SEAL_FILE}
        faults += [f"{name} does not belong to the record" for name in sorted(files_in(folder)) if name not in known]
    return faults


def unreadable_lines(folder: Path) -> list[str]:
    """The files of a record that cannot be read."""
    try:
        files = sorted(files_in(folder))
    except OSError as error:
        raise RecordError(f"it cannot be read ({error.strerror})", place=str(folder)) from error
    rows = [(name, str((folder / name).lstat().st_size)) for name in files]
    table = columns(("file", "bytes"), rows, right=("bytes",), indent=_INDENT) if rows else [f"{_INDENT}none"]
    return [f"{folder.name}: unreadable", *_section("Files that are there", table)]


def difference_lines(a: Record, b: Record, found: Sequence[Difference], width: int | None) -> list[str]:
    """Two records and their differences, grouped by subject."""
    header = ("", "record", "notebook", "cluster", "verdict", "started (UTC)")
    rows = [(name, r.id, r.notebook, r.cluster, r.verdict_text, _time(r.started)) for name, r in (("A", a), ("B", b))]
    lines = columns(header, rows, shrink=("notebook", "cluster"), width=width)
    if not found:
        return [*lines, "", "nothing differs"]
    for subject in dict.fromkeys(item.subject for item in found):
        table = [
            (item.item, item.node, one_line(item.before), one_line(item.after), item.note)
            for item in found
            if item.subject is subject
        ]
        lines += ["", *_used_columns((str(subject), "node", "A", "B", ""), table, width)]
    return lines


def _used_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    """The table without empty columns."""
    used = [place for place in range(len(header)) if any(row[place] for row in rows)]
    names = [header[place] for place in used]
    shrink = [name for name in names if name not in ("node", "")]
    return columns(names, [[row[place] for place in used] for row in rows], shrink=shrink, width=width)


def difference_objects(a: Record, b: Record, found: Sequence[Difference]) -> dict[str, Any]:
    """The same as JSON objects."""
    return {
        "a": a.id,
        "b": b.id,
        "differences": [
            {
                "subject": str(item.subject),
                "item": item.item,
                "node": item.node,
                "a": item.before,
                "b": item.after,
                "note": item.note,
            }
            for item in found
        ],
    }


def trend_lines(trend: Trend, width: int | None) -> list[str]:
    """The points as a table, a line of bars, and the lowest, median and highest value."""
    value = f"{trend.metric} ({trend.unit})" if trend.unit else trend.metric
    rows = [
        (
            point.record,
            f"{point.started:%Y-%m-%d %H:%M}",
            point.cluster,
            with_warnings(point.verdict, point.warnings),
            f"{point.value:.4g}",
        )
        for point in trend.points
    ]
    header = ("ID", "STARTED", "CLUSTER", "VERDICT", value)
    values = [point.value for point in trend.points]
    ends = f"lowest {min(values):.4g}, median {statistics.median(values):.4g}, highest {max(values):.4g}"
    return [
        *columns(header, rows, right=(value,), shrink=("CLUSTER",), width=width),
        "",
        f"{sparkline(values)}  {len(values)} of {trend.notebook}: {ends} {trend.unit}".rstrip(),
    ]


def trend_object(trend: Trend) -> dict[str, Any]:
    """The same as JSON objects."""
    return {
        "notebook": trend.notebook,
        "metric": trend.metric,
        "unit": trend.unit,
        "points": [
            {
                "id": point.record,
                "started": stamp(point.started),
                "cluster": point.cluster,
                "verdict": point.verdict,
                "warnings": point.warnings,
                "value": point.value,
            }
            for point in trend.points
        ],
    }


def _section(title: str, lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    return ["", title, *listed] if listed else []


def _facts(facts: Iterable[tuple[str, str]]) -> list[str]:
    return columns(("", ""), [(name, value) for name, value in facts if value], indent=_INDENT)


def _time(text: str) -> str:
    return text[:19].replace("T", " ")
