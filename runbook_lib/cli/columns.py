"""Aligned columns that fit a terminal, and are whole and steady where nobody looks at them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

GAP = "  "
_NARROWEST = 8


def terminal_width() -> int | None:
    """The columns that stdout has to show something in; ``None`` where it is no terminal, and nothing is cut."""
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
    """A line for the header (unless all of it is empty) and one a row, each column as wide as its longest value.

    Columns named in ``right`` are aligned to the right. Where all are wider than ``width``, those in ``shrink`` that it
    has are cut, the widest first, and end in ``…``.
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
