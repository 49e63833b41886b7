"""Shared by several commands: arguments that typer lacks, aligned columns, JSON, the project's folder."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from runbook_lib.errors import InputError
from runbook_lib.records.store import default_location, open_archive
from runbook_lib.records.store.archive import Archive

#: The option that replaces a parameter.
PARAMETER = ("-p", "--parameter")

# Options that ``run`` and ``batch`` share.
PlanMode = Annotated[bool, typer.Option("--plan", help="Show what would change and change nothing.")]
RecordsLocation = Annotated[
    str | None,
    typer.Option("--records", metavar="LOCATION", help="Where records go, a folder or a URL (default records/)."),
]
CellTimeout = Annotated[
    int | None,
    typer.Option("--timeout", min=1, metavar="S", help="Seconds that a cell may take (default: no limit)."),
]
NotebookTimeout = Annotated[
    float | None,
    typer.Option(
        "--notebook-timeout", min=1, metavar="S", help="Seconds that a notebook may take (default: no limit)."
    ),
]


class PairCommand(TyperCommand):
    """Lets ``-p`` take a key and a value, as in papermill; typer's repeated options take only one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Join each ``-p KEY VALUE`` to ``KEY=VALUE`` before typer parses the line."""
        joined, words = [], iter(args)
        for word in words:
            joined.append(word)
            if word == "--":
                break
            if word in PARAMETER:
                key, value = next(words, None), next(words, None)
                if key is None or value is None:
                    raise InputError("it takes a key and a value", place="-p", remedy="such as: -p overlay.name ovr1")
                joined.append(f"{key}={value}")
        return super().parse_args(ctx, [*joined, *words])


def pairs(joined: Sequence[str] | None) -> list[tuple[str, str]]:
    """The keys and values that ``PairCommand`` joined."""
    return [(key, value) for key, _, value in (text.partition("=") for text in joined or ())]


def project_folder() -> Path:
    """Return this package's checkout, with notebooks, parameter files and tests.

    Raises:
        InputError: the package was installed without them.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "pyproject.toml").is_file():
        raise InputError(
            "the notebooks, parameter files and tests are not installed",
            place=str(folder),
            remedy="call ./runbook of a checkout instead of an installed package",
        )
    return folder


GAP = "  "
_NARROWEST = 8


def terminal_width() -> int | None:
    """The width of stdout's terminal; ``None`` without a terminal, and then nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    shrink: Sequence[str] = (),
    width: int | None = None,
    indent: str = "",
) -> list[str]:
    """One line for the header (unless empty) and one per row, each column as wide as its longest value.

    Columns named in ``right`` are aligned to the right. If lines are wider than ``width``, the columns in ``shrink``
    are cut, the widest first, and end in ``…``.
    """
    table = [tuple(header), *rows] if any(header) else list(rows)
    if not table:
        return []
    widths = [max(map(len, values)) for values in zip(*table, strict=True)]
    if width is not None:
        _fit(
            widths,
            [header.index(name) for name in shrink if name in header],
            width - len(indent) - len(GAP) * (len(widths) - 1),
        )
    aligned = [">" if name in right else "<" for name in header]
    form = indent + GAP.join(f"{{:{side}{size}}}" for side, size in zip(aligned, widths, strict=True))
    fits = width is None
    return [form.format(*(row if fits else map(_cut, row, widths))).rstrip() for row in table]


def _fit(widths: list[int], shrinkable: Sequence[int], room: int) -> None:
    while sum(widths) > room:
        widest = max(shrinkable, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def one_line(text: str) -> str:
    """Text of several lines as one."""
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())


Location = Annotated[
    str | None,
    typer.Option(
        "--records",
        metavar="LOCATION",
        help="The archive: a folder or a URL (default: $OVERLAY_RUNBOOK_RECORDS, else records/).",
        show_default=False,
    ),
]
Wanted = Annotated[str, typer.Argument(metavar="ID", help="A record's id, or a prefix of it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Cluster = Annotated[str, typer.Option(metavar="NAME", help="Only this cluster's.", show_default=False)]
Since = Annotated[
    str,
    typer.Option(metavar="WHEN", help="Only since a date, a time (UTC), or a duration: 7d, 12h.", show_default=False),
]


def archive_at(location: str | None) -> Archive:
    """The named archive, or the default one."""
    return open_archive(location or default_location())


def print_lines(lines: Iterable[str]) -> None:
    """Print all lines in one write."""
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")


def print_json(value: object) -> None:
    """Print indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
