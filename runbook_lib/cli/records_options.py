"""What the commands on records share: their options, and how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from runbook_lib.records.archive import Archive, default_location, open_archive

Location = Annotated[
    str | None,
    typer.Option(
        "--records",
        metavar="LOCATION",
        help="The archive: a folder or a URL (default: $OVERLAY_RUNBOOK_RECORDS, else records/).",
        show_default=False,
    ),
]
Wanted = Annotated[
    str, typer.Argument(metavar="ID", help="A record's id, or the beginning of one.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Cluster = Annotated[str, typer.Option(metavar="NAME", help="Only this cluster's.", show_default=False)]
Since = Annotated[
    str,
    typer.Option(metavar="WHEN", help="Only since a date, a time (UTC), or so long ago: 7d, 12h.", show_default=False),
]


def archive_at(location: str | None) -> Archive:
    """The archive that the user named, else the default one."""
    return open_archive(location or default_location())


def print_lines(lines: Iterable[str]) -> None:
    """Print all at once: ten thousand lines are one write."""
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")


def print_json(value: object) -> None:
    """Print JSON that a person can read too."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
