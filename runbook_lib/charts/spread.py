"""How much round trips differ: every single one as a dot, a row a pair of containers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from runbook_lib.charts.palette import ACCENT, BAD, FAINT, INK, MUTED, OVERLAY_WASH, PAPER, WASH
from runbook_lib.charts.style import bare, blank, title

if TYPE_CHECKING:
    from runbook_lib.verify.probe import Probe

#: With more pairs than this, all of a source's make one row.
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
        """The time that this part of the warm ones did not exceed (0.95: the 95th percentile, by nearest rank)."""
        if not self.warm:
            return None
        return self.warm[max(0, math.ceil(round(part * len(self.warm), 6)) - 1)]


def round_trips(probes: Sequence[Probe]) -> tuple[RoundTrips, ...]:
    """The round trips between containers that should reach each other, a row a pair and way or, if many, a source."""
    wanted = [probe for probe in probes if probe.expected == "reachable"]
    ways = {probe.by for probe in wanted}
    pairs = {(probe.source, probe.target, probe.by) for probe in wanted}
    rows: dict[str, list[Probe]] = {}
    for probe in wanted:
        name = f"{probe.source} → {probe.target}" if len(pairs) <= MOST_PAIRS else f"{probe.source} → all"
        rows.setdefault(f"{name} by {probe.by}" if len(ways) > 1 else name, []).append(probe)
    return tuple(_row(name, own) for name, own in rows.items())


def latency_spread(probes: Sequence[Probe]) -> Figure:
    """A dot a round trip on a logarithmic axis, a bar at the median, a band to the 95th percentile, ◇ a cold one."""
    rows = round_trips(probes)
    width, height = 10.5, _TOP + _ROW * max(1, len(rows)) + _BELOW
    figure = blank(width, height)
    title(figure, "Spread of the round trips", _subtitle(rows))
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
    return f"Spread of the round trips. {_subtitle(round_trips(probes))}.{''.join(lines)}"


_HEADS = ("median", "95 %", "slowest")


def _row(name: str, probes: Sequence[Probe]) -> RoundTrips:
    return RoundTrips(
        name=name,
        warm=tuple(sorted(time for probe in probes for time in probe.times[1:] if time is not None)),
        cold=tuple(probe.times[0] for probe in probes if probe.times and probe.times[0] is not None),
        lost=sum(time is None for probe in probes for time in probe.times),
    )


def _subtitle(rows: Sequence[RoundTrips]) -> str:
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
        # Neighbours in time stand on different levels, so that equal ones do not hide each other.
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
