"""``runbook records``: lists, shows, compares, exports, verifies and prunes records.

Each command imports what it needs, so that ``list`` is fast.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbook_lib.cli.arguments import (
    AsJson,
    Cluster,
    Location,
    Since,
    Wanted,
    archive_at,
    columns,
    print_json,
    print_lines,
    terminal_width,
)
from runbook_lib.errors import ExitCode, InputError
from runbook_lib.records.query.index import UNREADABLE, Row
from runbook_lib.records.query.query import Filters, check_verdict, list_records, parse_since
from runbook_lib.records.store.archive import Archive

if TYPE_CHECKING:
    from runbook_lib.model.results import Trend
    from runbook_lib.records.verify import Verification


def export(
    wanted: Wanted,
    to: Annotated[str, typer.Option(metavar="FORM", help="html, junit or zip.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to (default: here, named like the record)."),
    ] = None,
    records: Location = None,
) -> None:
    """Write one record as a file: a page, JUnit XML for a build server, or everything as a ZIP."""
    from runbook_lib.records.export import export as write_export
    from runbook_lib.records.store.reading import find_record

    archive = archive_at(records)
    print(write_export(archive, find_record(archive, wanted), to, output))


def verify(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="Only this record, or an exported one's folder; none: all.", show_default=False
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accept only what this key signed (PEM).", show_default=False),
    ] = None,
    as_json: AsJson = False,
    records: Location = None,
) -> None:
    """Find records that were changed, removed, added or moved since they were written.

    Exit code: 0 no fault, 1 a fault was found.
    """
    from runbook_lib.records.verify import examine, verify_folder

    folder = Path(wanted) if wanted else None
    if folder is not None and folder.is_dir():
        found = verify_folder(folder, public_key=public_key)
    else:
        found = examine(archive_at(records), record_id=wanted, public_key=public_key)
    if as_json:
        print_json(_verification_object(found))
    else:
        _print_verification(found)
    raise typer.Exit(int(ExitCode.PASS if found.intact else ExitCode.CHECK_FAILED))


def _verification_object(found: Verification) -> dict[str, object]:
    return {
        "intact": found.intact,
        "findings": [asdict(finding) for finding in found.findings],
        "records": found.records,
        "entries": found.entries,
        "pruned": found.pruned,
        "running": found.running,
        "signed": dict(found.signed or {}),
        "ends_known": found.ends_known,
    }


def _print_verification(found: Verification) -> None:
    for finding in found.findings:
        print(f"{'!' if finding.leftover else '✗'} {finding}")
    keys = ", ".join(f"{key} ({count})" for key, count in (found.signed or {}).items())
    counts = [f"{found.records} records verified", f"{found.entries} entries in the chain"]
    counts += [f"{found.pruned} pruned"] if found.pruned else []
    counts += [f"{found.running} running now"] if found.running else []
    print(("✓ intact: " if found.intact else "✗ not intact: ") + ", ".join(counts))
    if keys:
        print(f"  signed by {keys}")
    if found.entries and not found.ends_known:
        print("  this machine did not write the archive, and cannot know whether its newest records were removed")


def prune(
    keep: Annotated[
        str,
        typer.Option(
            metavar="HOW-MANY", help="Keep this many of the newest (100), or those not older (30d).", show_default=False
        ),
    ] = "",
    keep_days: Annotated[
        int | None, typer.Option(min=0, metavar="D", help="Keep those not older than D days.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    records: Location = None,
) -> None:
    """Remove old records, after listing them. The chain stays verifiable: it keeps a signed entry of each removal.

    On a terminal it asks first; elsewhere it needs --yes. A record that is being written is never removed.
    """
    from runbook_lib.records.prune import not_kept
    from runbook_lib.records.prune import prune as remove

    if bool(keep) == (keep_days is not None):
        raise InputError(
            "say what to keep, in one way", place="prune", remedy="--keep 100, --keep 30d or --keep-days 30"
        )
    archive = archive_at(records)
    folders = not_kept(archive, keep or f"{keep_days}d")
    if not folders:
        print("nothing to remove: every record is kept")
        return
    count = f"{len(folders)} record{'s' if len(folders) != 1 else ''} of {len(archive.folders())}"
    print(f"{'removing' if yes else 'would remove'} {count}:", *(f"  {folder.name}" for folder in folders), sep="\n")
    if not yes:
        _ask(count)
    removed = remove(archive, folders)
    print(f"removed {len(removed)}; the chain says so")


def _ask(count: str) -> None:
    """Ask the user for confirmation.

    Raises:
        InputError: stdin is not a terminal, or the answer is no.
    """
    if not sys.stdin.isatty():
        what = "nothing was removed: cannot ask for confirmation without a terminal"
        raise InputError(what, place="prune", remedy="confirm with --yes")
    if not typer.confirm(f"Remove {count} for good?"):
        raise InputError("nothing was removed", place="prune", remedy="answer y to remove")


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Records of executed notebooks, which can be listed, compared and verified.",
)

_MOST_FAULTS_TOLD = 10


@app.command("list")
def list_command(
    cluster: Cluster = "",
    notebook: Annotated[
        str, typer.Option(metavar="NAME", help="Only this notebook's; a prefix is enough: 05.", show_default=False)
    ] = "",
    verdict: Annotated[
        str, typer.Option(metavar="VERDICT", help="Only those with this verdict, such as: failed.", show_default=False)
    ] = "",
    since: Since = "",
    as_json: AsJson = False,
    records: Location = None,
) -> None:
    """List records, newest first.

    ``seconds`` is the duration of the notebook; ``changed`` the number of its changes on the cluster. Times are UTC.
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
            what = "no record matches" if everything else "there are no records yet"
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
            row.verdict_text,
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
    """Show one record: its result, steps, checks and provenance."""
    from runbook_lib.cli.record_text import file_faults, record_lines, unreadable_lines
    from runbook_lib.errors import RecordError
    from runbook_lib.records.store.reading import find_record, read_record

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
    from runbook_lib.records.query.difference import differences
    from runbook_lib.records.store.reading import find_record, read_record

    archive = archive_at(records)
    folders = find_record(archive, before), find_record(archive, after)
    a, b = read_record(folders[0]), read_record(folders[1])
    found = differences(a, b)
    text = ""
    if notebook:
        from runbook_lib.records.query.notebook_difference import notebook_difference

        text = notebook_difference(*folders, color=sys.stdout.isatty())
    if as_json:
        print_json({**difference_objects(a, b, found), **({"notebook": text} if notebook else {})})
        return
    print_lines(difference_lines(a, b, found, terminal_width()))
    if notebook:
        print(f"\n{text.rstrip()}" if text else "\nthe notebooks do not differ")


@app.command()
def trend(
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="Its name, or a prefix: 05.", show_default=False)],
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
    """Show one metric of a notebook over time: a table, a line of bars, and optionally a picture.

    Quote a metric of several words. For an unknown one the known ones are listed.
    """
    from runbook_lib.cli.record_text import trend_lines, trend_object
    from runbook_lib.records.query.trend import trend as read_trend

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
