"""``runbook records``: what was executed. Each command imports what it needs, so that ``list`` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbook_lib.cli.columns import columns, terminal_width
from runbook_lib.cli.records_keeping import export, prune, verify
from runbook_lib.cli.records_options import (
    AsJson,
    Cluster,
    Location,
    Since,
    Wanted,
    archive_at,
    print_json,
    print_lines,
)
from runbook_lib.errors import InputError
from runbook_lib.records.archive import Archive
from runbook_lib.records.index import UNREADABLE, Row
from runbook_lib.records.query import Filters, check_verdict, list_records, parse_since

if TYPE_CHECKING:
    from runbook_lib.model.trend import Trend

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="What was executed: records of notebooks, as evidence that can be listed, compared and verified.",
)

_MOST_FAULTS_TOLD = 10


@app.command("list")
def list_command(
    cluster: Cluster = "",
    notebook: Annotated[
        str, typer.Option(metavar="NAME", help="Only this notebook's; the beginning will do: 05.", show_default=False)
    ] = "",
    verdict: Annotated[
        str, typer.Option(metavar="VERDICT", help="Only those that ended so, such as: failed.", show_default=False)
    ] = "",
    since: Since = "",
    as_json: AsJson = False,
    records: Location = None,
) -> None:
    """List records, newest first.

    Seconds are how long the notebook took; changed is how many things it changed on the cluster. Times are UTC.
    """
    archive = archive_at(records)
    filters = Filters(
        cluster, notebook, check_verdict(verdict) if verdict else "", parse_since(since) if since else None
    )
    everything = list_records(archive)
    found = filters.select(everything)
    if as_json:
        print_json([_as_object(row, archive) for row in found])
    else:
        print_lines(_list_lines(found))
        if not found:
            what = "no record is like that" if everything else "there are no records yet"
            print(f"runbook: {archive.location}: {what}", file=sys.stderr)
    _tell_unreadable(everything)


def _as_object(row: Row, archive: Archive) -> dict[str, Any]:
    return {
        "id": row.id,
        "notebook": row.notebook,
        "cluster": row.cluster,
        "verdict": row.verdict,
        "warnings": row.warnings,
        "started": row.started,
        "seconds": row.seconds,
        "changed": row.changed,
        "path": str(archive.root / row.folder),
        "run": row.run,
        "plan": bool(row.plan),
        "fault": row.fault,
    }


def _list_lines(found: Sequence[Row]) -> list[str]:
    header = ("ID", "STARTED", "CLUSTER", "NOTEBOOK", "VERDICT", "SECONDS", "CHANGED")
    table = [
        (
            row.id,
            f"{row.started[:10]} {row.started[11:16]}",
            row.cluster or "?",
            row.notebook or "?",
            row.told,
            "-" if row.seconds is None else f"{row.seconds:.1f}",
            str(row.changed) if row.notebook else "?",
        )
        for row in found
    ]
    if not table:
        return []
    return columns(header, table, right=("SECONDS", "CHANGED"), shrink=("CLUSTER", "NOTEBOOK"), width=terminal_width())


def _tell_unreadable(everything: Sequence[Row]) -> None:
    broken = [row for row in everything if row.verdict == UNREADABLE]
    for row in broken[:_MOST_FAULTS_TOLD]:
        print(f"runbook: {row.folder}: the record cannot be read: {row.fault}", file=sys.stderr)
    if len(broken) > _MOST_FAULTS_TOLD:
        print(f"runbook: and {len(broken) - _MOST_FAULTS_TOLD} more; see: ./runbook records verify", file=sys.stderr)


@app.command()
def show(wanted: Wanted, as_json: AsJson = False, records: Location = None) -> None:
    """Show one record: how it ended, what it did and found, and where it comes from."""
    from runbook_lib.cli.record_text import file_faults, record_lines, unreadable_lines
    from runbook_lib.errors import RecordError
    from runbook_lib.records.reading import find_record, read_record

    folder = find_record(archive_at(records), wanted)
    try:
        record = read_record(folder)
    except RecordError as error:
        if as_json:
            print_json({"path": str(folder), "verdict": UNREADABLE, "fault": error.message})
        else:
            print_lines(unreadable_lines(folder))
        raise
    faults = file_faults(folder, record)
    if as_json:
        print_json(
            {**record.model_dump(mode="json"), "warnings": record.warnings, "path": str(folder), "faults": faults}
        )
    else:
        print_lines(record_lines(record, folder, faults, terminal_width()))
    for fault in faults:
        print(f"runbook: {folder.name}: {fault}", file=sys.stderr)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="The earlier record's id.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="The later record's id.", show_default=False)],
    notebook: Annotated[
        bool, typer.Option("--notebook", help="Also show how the executed notebooks differ, cell by cell.")
    ] = False,
    as_json: AsJson = False,
    records: Location = None,
) -> None:
    """Show what changed on the cluster between two runs: steps, addresses, engines, checks, latency."""
    from runbook_lib.cli.record_text import difference_lines, difference_objects
    from runbook_lib.records.difference import differences
    from runbook_lib.records.reading import find_record, read_record

    archive = archive_at(records)
    folders = find_record(archive, before), find_record(archive, after)
    a, b = read_record(folders[0]), read_record(folders[1])
    found = differences(a, b)
    text = ""
    if notebook:
        from runbook_lib.records.notebook_difference import notebook_difference

        text = notebook_difference(*folders, color=sys.stdout.isatty())
    if as_json:
        print_json({**difference_objects(a, b, found), **({"notebook": text} if notebook else {})})
        return
    print_lines(difference_lines(a, b, found, terminal_width()))
    if notebook:
        print(f"\n{text.rstrip()}" if text else "\nthe notebooks do not differ")


@app.command()
def trend(
    notebook: Annotated[
        str, typer.Argument(metavar="NOTEBOOK", help="Its name, or the beginning: 05.", show_default=False)
    ],
    metric: Annotated[
        str, typer.Argument(metavar="METRIC", help="seconds, 'ping latency', convergence, …", show_default=False)
    ],
    cluster: Cluster = "",
    since: Since = "",
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw it: FILE.svg or FILE.png.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    records: Location = None,
) -> None:
    """Follow one number of a notebook over time: a table, a line of bars, and on request a picture.

    Quote a metric of several words. An unknown one is answered with those there are.
    """
    from runbook_lib.cli.record_text import trend_lines, trend_object
    from runbook_lib.records.trend import trend as read_trend

    if picture is not None and picture.suffix.lower() not in {".svg", ".png"}:
        raise InputError("a picture is an .svg or a .png file", place=str(picture), remedy="--picture trend.svg")
    moment = parse_since(since) if since else None
    found = read_trend(archive_at(records), notebook, metric, cluster=cluster, since=moment)
    if as_json:
        print_json(trend_object(found))
    else:
        print_lines(trend_lines(found, terminal_width()))
    if picture is not None:
        _draw(found, picture)


def _draw(found: Trend, picture: Path) -> None:
    from runbook_lib.charts import trend_picture

    try:
        trend_picture(found).savefig(picture, dpi=130)
    except OSError as error:
        raise InputError(
            f"it cannot be written ({error.strerror})", place=str(picture), remedy="name another"
        ) from error
    print(f"runbook: drawn to {picture}", file=sys.stderr)


app.command()(export)
app.command()(verify)
app.command()(prune)
