"""``runbook records export``, ``verify`` and ``prune``: to give evidence away, to check it, to let go of it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.records_options import AsJson, Location, Wanted, archive_at, print_json
from runbook_lib.errors import ExitCode, InputError

if TYPE_CHECKING:
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
    from runbook_lib.records.reading import find_record

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
    """Find records that were changed, removed, added or moved since they were written, and say which and where.

    Exit code: 0 nothing is wrong, 1 something is.
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
            metavar="HOW-MANY", help="Keep so many of the newest (100), or those not older (30d).", show_default=False
        ),
    ] = "",
    keep_days: Annotated[
        int | None, typer.Option(min=0, metavar="D", help="Keep those not older than D days.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    records: Location = None,
) -> None:
    """Remove old records, after telling which. The chain stays verifiable: it keeps a signed entry of each removal.

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
    """Go on only with the user's consent.

    Raises:
        InputError: there is nobody to ask, or the answer is no.
    """
    if not sys.stdin.isatty():
        raise InputError("nothing was removed: nobody is there to be asked", place="prune", remedy="consent with --yes")
    if not typer.confirm(f"Remove {count} for good?"):
        raise InputError("nothing was removed", place="prune", remedy="answer y to remove")
