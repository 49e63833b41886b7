"""A number over time: a line a cluster, a filled mark where everything held, a cross where not."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from runbook_lib.charts.palette import ACCENT, BAD, FAINT, GOOD, INK, MUTED, WARN
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.model.trend import Trend, TrendPoint

# Told apart by their line and mark too, since not everybody sees or prints colours.
_STYLES = ((ACCENT, "-", "o"), (GOOD, "--", "s"), (WARN, "-.", "D"), (INK, ":", "^"))
_MOST_WITH_MARKS = 120


def trend_picture(trend: Trend) -> Figure:
    """Time from left to right, the value upwards from zero; the thin line is the median of all."""
    figure = blank(9.6, 3.9)
    title(figure, f"{trend.metric} of {trend.notebook}", _subtitle(trend))
    axes = figure.add_axes((0.085, 0.13, 0.895, 0.62))
    values = [point.value for point in trend.points]
    clusters = list(dict.fromkeys(point.cluster for point in trend.points))
    axes.axhline(statistics.median(values), color=FAINT, linewidth=1.4, zorder=1)
    for place, cluster in enumerate(clusters):
        color, line, mark = _STYLES[place % len(_STYLES)]
        points = [point for point in trend.points if point.cluster == cluster]
        size = 5 if len(points) <= _MOST_WITH_MARKS else 2
        good = [at for at, point in enumerate(points) if point.passed]
        axes.plot(
            _times(points),
            [point.value for point in points],
            color=color,
            linestyle=line,
            linewidth=1.4,
            marker=mark,
            markersize=size,
            markevery=good,
            label=cluster,
            zorder=2,
        )
    failed = [point for point in trend.points if not point.passed]
    axes.scatter(_times(failed), [point.value for point in failed], s=52, marker="x", color=BAD, zorder=3)
    axes.set_ylim(bottom=min(0, *values), top=max(values) * 1.12 or 1)
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylabel(trend.unit, fontsize=9.5, color=MUTED)
    axes.grid(axis="y", color=FAINT, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    bare(axes)
    if len(clusters) > 1:
        axes.legend(
            frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(4, len(clusters))
        )
    return figure


def trend_text(trend: Trend) -> str:
    """The text alternative."""
    return f"{trend.metric} of {trend.notebook}: {_subtitle(trend)}."


def _times(points: Sequence[TrendPoint]) -> Any:
    """Matplotlib draws moments, and does not say so in its annotations."""
    return [point.started for point in points]


def _subtitle(trend: Trend) -> str:
    values = [point.value for point in trend.points]
    failed = sum(not point.passed for point in trend.points)
    runs = f"{len(values)} runs" if len(values) > 1 else "one run"
    crosses = f", {failed} did not pass (×)" if failed else ""
    return f"{runs}{crosses}; median {statistics.median(values):.4g} {trend.unit}, last {values[-1]:.4g} {trend.unit}"
