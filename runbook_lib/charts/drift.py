"""Addresses before and after a restart: a line from each node's old address to its new one."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from runbook_lib.charts.palette import BAD, FAINT, GOOD, INK, MUTED
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.facts.addresses import ClusterAddress

_NONE = "no address"


def address_drift(before: Sequence[ClusterAddress], after: Sequence[ClusterAddress]) -> Figure:
    """Every address is a row; a node that moved is a solid arrow across rows, one that stayed a dashed level line."""
    rows = _rows([*before, *after])
    height = 1.35 + 0.46 * len(rows)
    figure = blank(8.6, height)
    title(figure, "Addresses before and after", _subtitle(before, after))
    axes = figure.add_axes((0.03, 0.5 / height, 0.94, 0.46 * len(rows) / height))
    axes.set_xlim(0, 10)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    bare(axes)
    at = {address: place for place, address in enumerate(rows)}
    for address, place in at.items():
        axes.plot([0.2, 9.8], [place + 0.5, place + 0.5], color=FAINT, linewidth=0.6, zorder=1)
        for side, align in ((0.2, "left"), (9.8, "right")):
            axes.text(side, place, address, ha=align, va="center", fontsize=10, color=MUTED, family="monospace")
    new = {item.node: item for item in after}
    for old in before:
        _arrow(axes, at[old.address or _NONE], at.get(_address(new.get(old.node)), len(rows) - 1))
    for place, address in enumerate(rows):
        left = ", ".join(item.node for item in before if (item.address or _NONE) == address)
        right = ", ".join(item.node for item in after if (item.address or _NONE) == address)
        axes.text(3.15, place, left, ha="right", va="center", fontsize=11, color=INK)
        axes.text(6.85, place, right, ha="left", va="center", fontsize=11, color=INK)
    figure.text(0.3 / 8.6, 0.13 / height, "solid arrow: moved   ·   dashed line: stayed", fontsize=8.5, color=MUTED)
    return figure


def drift_text(before: Sequence[ClusterAddress], after: Sequence[ClusterAddress]) -> str:
    """The text alternative: each node with both addresses."""
    new = {item.node: item for item in after}
    moves = [f"{old.node} {old.address or _NONE} to {_address(new.get(old.node))}" for old in before]
    return f"Addresses before and after. {_subtitle(before, after)}: {', '.join(moves)}."


def _address(item: ClusterAddress | None) -> str:
    return (item.address if item else None) or _NONE


def _rows(items: Sequence[ClusterAddress]) -> list[str]:
    addresses = {item.address for item in items if item.address}
    ordered = sorted(addresses, key=ipaddress.ip_address)
    return [*ordered, *([_NONE] if any(not item.address for item in items) else [])]


def _subtitle(before: Sequence[ClusterAddress], after: Sequence[ClusterAddress]) -> str:
    new = {item.node: item for item in after}
    moved = sum(old.address != (new[old.node].address if old.node in new else None) for old in before)
    how = sorted({item.assigned_by for item in before})
    return f"{moved} of {len(before)} nodes moved (assigned by {', '.join(how)})"


def _arrow(axes: Any, start: int, end: int) -> None:
    moved = start != end
    axes.annotate(
        "",
        (6.75, end),
        (3.25, start),
        arrowprops={
            "arrowstyle": "-|>" if moved else "-",
            "color": BAD if moved else GOOD,
            "linewidth": 1.7,
            "linestyle": "-" if moved else "--",
            "shrinkA": 0,
            "shrinkB": 0,
        },
        zorder=3,
    )
