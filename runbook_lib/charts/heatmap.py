"""The ping matrix as a heat map that reads in black and white: every cell says what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from runbook_lib.charts.palette import BAD, FAINT, GOOD, INK, MUTED, PAPER, WARN, WASH
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.model.results import Verdict

if TYPE_CHECKING:
    from runbook_lib.verify.probe import Probe

_SHADES = LinearSegmentedColormap.from_list("rtt", ["#eaf4f4", "#bfdfe0", "#7fbcc0", "#3d8f97"])
_FASTEST_MS, _SLOWEST_MS = 0.02, 50.0
_NUMBERS_UP_TO = 12  # containers; in a larger matrix numbers would be too small to read
_COLD_UP_TO = 6


def ping_heatmap(probes: Sequence[Probe]) -> Figure:
    """One panel for each way (by name, by address); a row a source, a column a target, in the order of the probes.

    A cell holds the warm probes' average in milliseconds (and, in a small matrix, the cold first probe's), ``✗`` for
    a failure, ``!`` with the loss for a warning, ``silent`` where no answer is what was expected.
    """
    names = list(dict.fromkeys(name for probe in probes for name in (probe.source, probe.target)))
    ways = list(dict.fromkeys(probe.by for probe in probes))
    cell = 1.05 if len(names) <= 4 else 0.8 if len(names) <= _COLD_UP_TO else max(0.17, 0.6 - 0.02 * len(names))
    nodes = {probe.target: probe.target_node for probe in probes} | {
        probe.source: probe.source_node for probe in probes if probe.source_node
    }
    full_names = [f"{nodes[name]}/{name}" if nodes[name] else name for name in names]
    labels = 0.35 + 0.085 * max((len(name) for name in full_names), default=8)
    below = 0.95 if len(names) <= 4 else 0.75 + 0.075 * max(len(name) for name in names)
    size = cell * max(1, len(names))
    gap = 0.45
    width = max(labels + len(ways) * size + (len(ways) - 1) * gap + 0.3, 7.2)
    height = 1.1 + size + below
    figure = blank(width, height)
    title(figure, "Ping matrix", _subtitle(probes))
    for place, way in enumerate(ways):
        left = labels + place * (size + gap)
        axes = figure.add_axes((left / width, below / height, size / width, size / height))
        _panel(axes, [probe for probe in probes if probe.by == way], names, full_names if place == 0 else [])
        axes.set_title(f"by {way}", fontsize=11, color=INK, loc="left", pad=8)
    figure.text(0.3 / width, 0.13 / height, _legend(len(names)), fontsize=8.5, color=MUTED, va="bottom")
    return figure


def heatmap_text(probes: Sequence[Probe]) -> str:
    """The text alternative: counts, and each pair that is not as expected."""
    odd = [probe for probe in probes if probe.verdict is not Verdict.PASS]
    lines = [f"{probe.source} to {probe.target} by {probe.by}: {probe.detail}" for probe in odd]
    return f"Ping matrix. {_subtitle(probes)}." + ("".join(f" {line}." for line in lines))


def _subtitle(probes: Sequence[Probe]) -> str:
    good = sum(probe.verdict is Verdict.PASS for probe in probes)
    silent = sum(probe.verdict is Verdict.PASS and probe.expected == "unreachable" for probe in probes)
    warned = sum(probe.verdict is Verdict.WARN for probe in probes)
    failed = sum(probe.verdict is Verdict.FAIL for probe in probes)
    parts = [f"{good} of {len(probes)} as expected"]
    if silent:
        parts.append(f"{silent} of them rightly silent")
    if warned:
        parts.append(f"{warned} with losses")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _legend(count: int) -> str:
    number = "number: average round trip in ms of the warm probes" if count <= _NUMBERS_UP_TO else "shade: round trip"
    return (
        f"{number}, darker is slower   ·   ✗ failed   ·   ! lost some\n"
        "hatched: silent, as expected   ·   rows ping columns"
    )


def _panel(axes: Any, probes: Sequence[Probe], names: Sequence[str], row_labels: Sequence[str]) -> None:
    count = len(names)
    at = {name: place for place, name in enumerate(names)}
    shades = [[to_rgb(WASH)] * count for _ in names]
    for probe in probes:
        shades[at[probe.source]][at[probe.target]] = to_rgb(_look(probe, count).face)
    axes.imshow(shades, extent=(0, count, count, 0), interpolation="nearest", aspect="auto")
    for line in range(1, count):
        axes.axhline(line, color=PAPER, linewidth=1)
        axes.axvline(line, color=PAPER, linewidth=1)
    for place in range(count):
        axes.text(place + 0.5, place + 0.5, "·", ha="center", va="center", fontsize=8, color=MUTED)
    for probe in probes:
        _cell(axes, at[probe.target], at[probe.source], probe, count)
    size = 10 if count <= _COLD_UP_TO else 8.5 if count <= _NUMBERS_UP_TO else 6
    middles = [place + 0.5 for place in range(count)]
    axes.set_xticks(middles, names, fontsize=size, rotation=0 if count <= 4 else 90)
    axes.set_yticks(middles if row_labels else [], row_labels, fontsize=size)
    bare(axes)


def _cell(axes: Any, x: int, y: int, probe: Probe, count: int) -> None:
    look = _look(probe, count)
    odd = look.edge in (BAD, WARN)
    if odd or look.hatch:
        inset = 0.04 if odd else 0.0
        axes.add_patch(
            Rectangle(
                (x + inset, y + inset),
                1 - 2 * inset,
                1 - 2 * inset,
                facecolor=look.face,
                edgecolor=look.edge,
                linewidth=1.8 if odd else 1,
                hatch=look.hatch,
            )
        )
    if not look.text:
        return
    cold = count <= _COLD_UP_TO and probe.received > 0 and probe.verdict is not Verdict.FAIL
    axes.text(
        x + 0.5,
        y + (0.42 if cold else 0.52),
        look.text,
        ha="center",
        va="center",
        fontsize=(9 if odd or look.hatch else 11) if count <= _COLD_UP_TO else 7.5 if count <= _NUMBERS_UP_TO else 6.5,
        color=look.colour,
        fontweight="bold" if odd else "normal",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5} if look.hatch else None,
    )
    if cold:
        first = "lost" if probe.first_ms is None else _milliseconds(probe.first_ms)
        axes.text(x + 0.5, y + 0.7, f"cold {first}", ha="center", va="center", fontsize=7.5, color=MUTED)


class _Look(NamedTuple):
    face: str
    edge: str
    hatch: str
    text: str
    colour: str


def _look(probe: Probe, count: int) -> _Look:
    if probe.verdict is Verdict.FAIL:
        words = "answers" if probe.expected == "unreachable" else f"{probe.loss_percent:.0f} % lost"
        if not probe.resolved and probe.expected == "reachable":
            words = "no name" if probe.by == "name" else "no address"
        return _Look(PAPER, BAD, "", f"✗\n{words}" if count <= _COLD_UP_TO else "✗", BAD)
    if probe.verdict is Verdict.WARN:
        words = "stale name" if probe.expected == "unreachable" else f"{probe.loss_percent:.0f} % lost"
        return _Look(PAPER, WARN, "", f"!\n{words}" if count <= _COLD_UP_TO else "!", WARN)
    if probe.expected == "unreachable":
        return _Look(PAPER, FAINT, "////", "silent ✓" if count <= _COLD_UP_TO else "", GOOD)
    time = probe.avg_ms if probe.avg_ms is not None else probe.first_ms
    return _Look(_shade(time), PAPER, "", _milliseconds(time) if count <= _NUMBERS_UP_TO else "", INK)


def _shade(time: float | None) -> str:
    place = math.log(max(time or 0.0, _FASTEST_MS) / _FASTEST_MS) / math.log(_SLOWEST_MS / _FASTEST_MS)
    return str(to_hex(_SHADES(min(1.0, place))))


def _milliseconds(time: float | None) -> str:
    if time is None:
        return ""
    return f"{time:.2f}" if time < 10 else f"{time:.0f}"
