"""Pictures of pings, readable in black and white: the matrix as a heat map, and every round trip as a dot."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator

from runbook_lib.charts.palette import (
    ACCENT,
    BAD,
    BAD_WASH,
    FAINT,
    GOOD,
    INK,
    MUTED,
    OVERLAY_WASH,
    PAPER,
    SHADES,
    WARN,
    WASH,
)
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.model.results import Probe, Verdict

# The limits of the shades in milliseconds: the same in every picture, so that pictures can be compared.
_STEPS_MS = (0.05, 0.2, 1.0, 10.0)
_NUMBERS_UP_TO = 12  # containers; in a larger matrix numbers would be too small to read
_COLD_UP_TO = 6


def ping_heatmap(probes: Sequence[Probe]) -> Figure:
    """One panel per kind (by name, by address); one row per source, one column per target, in the order of the probes.

    A cell has the warm probes' average in milliseconds (and, in a small matrix, the cold first probe's), ``✗`` for a
    failure with its loss or the largest packet that passes, ``!`` with the loss for a warning, ``silent`` if no answer
    was expected. The length of the bar at its foot is the unexpected loss.
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
    width = max(labels + len(ways) * size + (len(ways) - 1) * gap + 0.3, 7.6)
    below += 0.3
    height = 1.1 + size + below
    figure = blank(width, height)
    title(figure, "Ping matrix", _subtitle(probes))
    for place, way in enumerate(ways):
        left = labels + place * (size + gap)
        axes = figure.add_axes((left / width, below / height, size / width, size / height))
        _panel(axes, [probe for probe in probes if probe.by == way], names, full_names if place == 0 else [])
        axes.set_title(f"by {way}", fontsize=11, color=INK, loc="left", pad=8)
    _legend(figure, len(names))
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


def _legend(figure: Figure, count: int) -> None:
    """The legend of shades and marks."""
    width, height = figure.get_size_inches()
    scale = figure.add_axes((0.3 / width, 0.42 / height, 5.9 / width, 0.24 / height))
    scale.set_xlim(0, 5.9)
    scale.set_ylim(0, 1)
    scale.axis("off")
    bounds = [f"{step:g}" for step in _STEPS_MS]
    words = [f"under {bounds[0]} ms", *(f"{low}–{high}" for low, high in pairwise(bounds)), f"{bounds[-1]} and more"]
    for place, (shade, text) in enumerate(zip(SHADES, words, strict=True)):
        left = place * 1.12 + (0.2 if place else 0)
        scale.add_patch(Rectangle((left, 0.12), 0.22, 0.76, facecolor=shade, edgecolor=MUTED, linewidth=0.8))
        scale.text(left + 0.28, 0.48, text, fontsize=8.5, color=MUTED, va="center")
    number = "number: average of the warm probes   ·   " if count <= _NUMBERS_UP_TO else ""
    marks = "✗ failed   ·   ! lost some   ·   bar: how much was lost   ·   hatched: rightly silent"
    left, low = 0.3 / width, 0.13 / height
    figure.text(left, low, f"{number}{marks}", fontsize=8.5, color=MUTED, va="bottom")


def _panel(axes: Any, probes: Sequence[Probe], names: Sequence[str], row_labels: Sequence[str]) -> None:
    count = len(names)
    at = {name: place for place, name in enumerate(names)}
    axes.set_xlim(0, count)
    axes.set_ylim(count, 0)
    looks = {(at[probe.target], at[probe.source]): _look(probe, count) for probe in probes}
    _fill(axes, {place: look.face for place, look in looks.items()}, count)
    for place in range(count):
        axes.text(place + 0.5, place + 0.5, "·", ha="center", va="center", fontsize=8, color=MUTED)
    for probe in probes:
        x, y = at[probe.target], at[probe.source]
        _cell(axes, x, y, probe, looks[x, y], count)
    size = 10 if count <= _COLD_UP_TO else 8.5 if count <= _NUMBERS_UP_TO else 6
    middles = [place + 0.5 for place in range(count)]
    axes.set_xticks(middles, names, fontsize=size, rotation=0 if count <= 4 else 90)
    axes.set_yticks(middles if row_labels else [], row_labels, fontsize=size)
    bare(axes)


def _fill(axes: Any, faces: Mapping[tuple[int, int], str], count: int) -> None:
    """Draw all cells of one colour as one path, which keeps the file of a large matrix small."""
    axes.add_patch(Rectangle((0, 0), count, count, facecolor=WASH, edgecolor="none"))
    alike: dict[str, list[Path]] = defaultdict(list)
    for (x, y), face in faces.items():
        alike[face].append(Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True))
    for face, cells in alike.items():
        path = Path.make_compound_path(*cells)
        axes.add_patch(PathPatch(path, facecolor=face, edgecolor=PAPER, linewidth=1 if count <= 32 else 0.4))


def _cell(axes: Any, x: int, y: int, probe: Probe, look: _Look, count: int) -> None:
    odd = look.edge in (BAD, WARN)
    if odd or look.hatch:
        inset = 0.04 if odd else 0.0
        box = Rectangle((x + inset, y + inset), 1 - 2 * inset, 1 - 2 * inset, facecolor=look.face)
        box.set(edgecolor=look.edge, linewidth=1.8 if odd else 1, hatch=look.hatch or None)
        axes.add_patch(box)
    if probe.sent and probe.loss_percent and probe.expected == "reachable":
        bar = 0.88 * probe.loss_percent / 100
        axes.add_patch(Rectangle((x + 0.06, y + 0.86), bar, 0.08, facecolor=look.edge if odd else MUTED, linewidth=0))
    if not look.text:
        return
    cold = count <= _COLD_UP_TO and probe.received > 0 and probe.verdict is not Verdict.FAIL
    axes.text(
        x + 0.5,
        y + (0.42 if cold else 0.52),
        look.text,
        ha="center",
        va="center",
        fontsize=(8.2 if odd or look.hatch else 11)
        if count <= _COLD_UP_TO
        else 7.5
        if count <= _NUMBERS_UP_TO
        else 6.5,
        color=look.colour,
        fontweight="bold" if odd else "normal",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5} if look.hatch else None,
    )
    if cold:
        first = "lost" if probe.first_ms is None else _milliseconds(probe.first_ms)
        level = 0.73 if odd else 0.7
        axes.text(x + 0.5, y + level, f"cold {first}", ha="center", va="center", fontsize=7.5, color=INK)


class _Look(NamedTuple):
    face: str
    edge: str
    hatch: str
    text: str
    colour: str


def _look(probe: Probe, count: int) -> _Look:
    if probe.verdict is Verdict.FAIL:
        words = _failure(probe)
        return _Look(BAD_WASH, BAD, "", f"✗\n{words}" if count <= _COLD_UP_TO else "✗", BAD)
    if probe.verdict is Verdict.WARN:
        words = "stale name" if probe.expected == "unreachable" else f"{probe.loss_percent:.0f} % lost"
        return _Look(PAPER, WARN, "", f"!\n{words}" if count <= _COLD_UP_TO else "!", WARN)
    if probe.expected == "unreachable":
        return _Look(PAPER, FAINT, "////", "silent ✓" if count <= _COLD_UP_TO else "", GOOD)
    time = probe.avg_ms if probe.avg_ms is not None else probe.first_ms
    shade = SHADES[bisect_right(_STEPS_MS, time or 0.0)]
    return _Look(shade, PAPER, "", _milliseconds(time) if count <= _NUMBERS_UP_TO else "", INK)


def _failure(probe: Probe) -> str:
    if probe.expected == "unreachable":
        return "answers"
    if not probe.resolved:
        return "no name" if probe.by == "name" else "no address"
    if probe.largest is not None and probe.full_size is not None and probe.largest < probe.full_size:
        return f"{probe.largest} bytes\nat most"
    # small packets and large ones pass: a connection or a table is wrong, and the row of the table says which
    return f"{probe.loss_percent:.0f} % lost" if probe.loss_percent else "see table"


def _milliseconds(time: float | None) -> str:
    if time is None:
        return ""
    return f"{time:.2f}" if time < 10 else f"{time:.0f}"


#: With more pairs than this, each source has only one row.
MOST_PAIRS = 16
_ROW = 0.4
_LEFT, _RIGHT, _TOP, _BELOW = 0.3, 2.75, 1.2, 0.85
_NARROWEST = 2.0  # the axis spans at least this factor, so that noise does not look like a difference


@dataclass(frozen=True)
class RoundTrips:
    """All round trips of one row in milliseconds: the warm ones sorted, the cold first ones, and how many were lost."""

    name: str
    warm: tuple[float, ...]
    cold: tuple[float, ...]
    lost: int

    @property
    def middle(self) -> float | None:
        """The median of the warm ones."""
        return median(self.warm) if self.warm else None

    def share(self, part: float) -> float | None:
        """A percentile of the warm ones (0.95: the 95th, by nearest rank)."""
        if not self.warm:
            return None
        return self.warm[max(0, math.ceil(round(part * len(self.warm), 6)) - 1)]


def round_trips(probes: Sequence[Probe]) -> tuple[RoundTrips, ...]:
    """The round trips of pairs that should reach each other; one row per pair and kind, or per source if many."""
    wanted = [probe for probe in probes if probe.expected == "reachable"]
    ways = {probe.by for probe in wanted}
    pairs = {(probe.source, probe.target, probe.by) for probe in wanted}
    rows: dict[str, list[Probe]] = {}
    for probe in wanted:
        name = f"{probe.source} → {probe.target}" if len(pairs) <= MOST_PAIRS else f"{probe.source} → all"
        rows.setdefault(f"{name} by {probe.by}" if len(ways) > 1 else name, []).append(probe)
    return tuple(_row(name, own) for name, own in rows.items())


def latency_spread(probes: Sequence[Probe]) -> Figure:
    """One dot per round trip on a logarithmic axis, a bar at the median, a band to the 95th percentile, ◇ cold."""
    rows = round_trips(probes)
    width, height = 10.5, _TOP + _ROW * max(1, len(rows)) + _BELOW
    figure = blank(width, height)
    title(figure, "Spread of the round trips", _spread_subtitle(rows))
    left = _LEFT + 0.1 + 0.088 * max((len(row.name) for row in rows), default=8)
    axes = figure.add_axes(
        (left / width, _BELOW / height, (width - left - _RIGHT) / width, (height - _TOP - _BELOW) / height)
    )
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    _scale(axes, [time for row in rows for time in (*row.warm, *row.cold)])
    _numbers(figure, _HEADS, 1 - 0.98 / height, MUTED)
    for place, row in enumerate(rows):
        _draw(axes, row, place)
        level = (height - _TOP - _ROW * (place + 0.5)) / height
        times = (row.middle, row.share(0.95), row.share(1.0))
        _numbers(figure, ["–" if time is None else f"{time:.3g}" for time in times], level, INK)
        if row.lost:
            x = (width - 0.12) / width
            figure.text(x, level, f"✗ {row.lost}", fontsize=9, color=BAD, va="center", ha="right", fontweight="bold")
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=10)
    bare(axes)
    legend = "● one round trip   ·   | median, band to the 95th percentile   ·   ◇ the cold first one   ·   ✗ lost"
    figure.text(_LEFT / width, 0.12 / height, legend, fontsize=8.5, color=MUTED)
    return figure


def spread_text(probes: Sequence[Probe]) -> str:
    """The text alternative: each row's median, 95th percentile, slowest and losses."""
    lines = [
        f" {row.name}: median {_words(row.middle)}, 95 % within {_words(row.share(0.95))}, slowest "
        f"{_words(row.share(1.0))}{f', {row.lost} lost' if row.lost else ''}."
        for row in round_trips(probes)
    ]
    return f"Spread of the round trips. {_spread_subtitle(round_trips(probes))}.{''.join(lines)}"


_HEADS = ("median", "95 %", "slowest")


def _row(name: str, probes: Sequence[Probe]) -> RoundTrips:
    return RoundTrips(
        name=name,
        warm=tuple(sorted(time for probe in probes for time in probe.times[1:] if time is not None)),
        cold=tuple(probe.times[0] for probe in probes if probe.times and probe.times[0] is not None),
        lost=sum(time is None for probe in probes for time in probe.times),
    )


def _spread_subtitle(rows: Sequence[RoundTrips]) -> str:
    warm = sorted(time for row in rows for time in row.warm)
    lost = sum(row.lost for row in rows)
    if not warm:
        return f"no round trip at all, {lost} lost" if lost else "no round trip at all"
    count = f"{len(warm)} round trips after the first of each, {lost or 'none'} lost"
    return f"{count}; half of them within {_words(median(warm))}, the slowest {_words(warm[-1])}"


def _scale(axes: Any, times: Sequence[float]) -> None:
    low, high = (min(times), max(times)) if times else (0.1, 1.0)
    low = max(low, 0.001)
    stretch = max(1.25, (_NARROWEST / (high / low)) ** 0.5)
    axes.set_xscale("log")
    axes.set_xlim(low / stretch, max(high, low) * stretch)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.tick_params(axis="x", labelsize=9)
    axes.set_xlabel("milliseconds (logarithmic)", fontsize=9.5, color=MUTED)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _draw(axes: Any, row: RoundTrips, place: int) -> None:
    if place % 2 == 0:
        axes.axhspan(place - 0.5, place + 0.5, color=WASH, zorder=0, linewidth=0)
    middle, most = row.middle, row.share(0.95)
    if middle is not None and most is not None:
        axes.fill_between([row.warm[0], most], place - 0.3, place + 0.3, color=OVERLAY_WASH, linewidth=0, zorder=1)
        # Consecutive dots are on different levels, so that equal ones do not hide each other.
        levels = [place + 0.22 * ((number * 7) % 11 - 5) / 5 for number in range(len(row.warm))]
        size = 14 if len(row.warm) <= 200 else 6
        axes.scatter(row.warm, levels, s=size, color=ACCENT, linewidths=0, zorder=3)
        axes.plot([middle, middle], [place - 0.36, place + 0.36], color=INK, linewidth=2.4, zorder=4)
    axes.scatter(
        row.cold, [place] * len(row.cold), s=34, marker="D", facecolor=PAPER, edgecolor=INK, linewidths=1.1, zorder=5
    )


def _numbers(figure: Figure, words: Sequence[str], level: float, color: str) -> None:
    """One row of the columns at the right."""
    width, _ = figure.get_size_inches()
    for place, word in enumerate(words):
        x = (width - _RIGHT + 0.75 + 0.62 * place) / width
        figure.text(x, level, word, fontsize=9, color=color, va="center", ha="right")


def _words(time: float | None) -> str:
    return "unknown" if time is None else f"{time:.3g} ms"
