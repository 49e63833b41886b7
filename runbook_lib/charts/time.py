"""Pictures over time: a peer's probes around a change, a metric over runs, addresses before and after a restart."""

from __future__ import annotations

import ipaddress
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from runbook_lib.charts.palette import ACCENT, BAD, BAD_WASH, FAINT, GOOD, GOOD_WASH, INK, MUTED, WARN
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.model.results import Trend, TrendPoint

if TYPE_CHECKING:
    from runbook_lib.verify.convergence import Convergence, Sample


_WIDTH, _HEIGHT = 10.5, 3.5
_NAME, _ANSWER = 1.0, 0.0
_HALF = 0.2  # half of a lane's height


@dataclass(frozen=True)
class Phase:
    """Consecutive probes with the same result: from when to when (seconds since the event), how many, and the result.

    ``resolved`` is the address that the name resolved to, or empty; ``slowest_ms`` is the slowest answer among them.
    """

    begin: float
    end: float
    looks: int
    resolved: str
    answered: bool
    slowest_ms: float | None


def phases(samples: Sequence[Sample]) -> tuple[Phase, ...]:
    """The time line as phases."""
    found = []
    for (resolved, answered), group in groupby(samples, key=lambda sample: (sample.resolved, sample.answered)):
        own = list(group)
        slowest = max((sample.milliseconds for sample in own if sample.milliseconds is not None), default=None)
        found.append(Phase(own[0].elapsed, own[-1].elapsed, len(own), resolved, answered, slowest))
    return tuple(found)


def convergence_timeline(convergence: Convergence) -> Figure:
    """A dot where the name resolved or the peer answered, a cross where not; the event is a vertical line.

    The lanes are shaded in between, have the result as text, and show the time until the final state.
    """
    figure = blank(_WIDTH, _HEIGHT)
    title(figure, f"{convergence.target}, as {convergence.source} sees it: {convergence.event}", _subtitle(convergence))
    axes = figure.add_axes((0.075, 0.235, 0.905, 0.53))
    samples, step = convergence.samples, convergence.interval
    first, last = min(samples[0].elapsed, 0), max(samples[-1].elapsed, 0.1)
    axes.set_xlim(first - step, last + step)
    axes.set_ylim(-0.62, 1.72)
    names = [sample.resolved for sample in samples]
    answers = ["answers" if sample.answered else "" for sample in samples]
    _lane(axes, samples, _NAME, names, "does not resolve", step)
    _lane(axes, samples, _ANSWER, answers, "silent", step)
    axes.axvline(0, color=ACCENT, linewidth=1.8, zorder=2)
    _beside(axes, (0, 1.64), convergence.event, color=ACCENT)
    _span(axes, convergence.resolves_after, _NAME)
    _span(axes, convergence.answers_after, _ANSWER)
    axes.set_yticks([_NAME, _ANSWER], ["name", "ping"], fontsize=10.5)
    axes.tick_params(axis="x", labelsize=9)
    axes.set_xlabel("seconds since the event", fontsize=9.5, color=MUTED)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    bare(axes)
    legend = f"● resolves, answers   ·   × does not   ·   one look every {convergence.interval * 1000:.0f} ms"
    figure.text(0.3 / _WIDTH, 0.035, f"{legend}, {len(samples)} looks", fontsize=8.5, color=MUTED)
    return figure


def timeline_text(convergence: Convergence) -> str:
    """The text alternative: the two times, and every phase."""
    seen = [
        f"{phase.begin:+.1f} s: {f'resolves to {phase.resolved}' if phase.resolved else 'does not resolve'}, "
        f"{'answers' if phase.answered else 'silent'}"
        for phase in phases(convergence.samples)
    ]
    return (
        f"{convergence.event} of {convergence.target}, seen from {convergence.source}. {'; '.join(seen)}. "
        f"{_subtitle(convergence)}."
    )


def _subtitle(convergence: Convergence) -> str:
    if convergence.reachable:
        name = _after("resolves", "never resolves", convergence.resolves_after)
        answer = _after("answers", "never answers", convergence.answers_after)
    else:
        name = _after("resolves no more", "still resolves", convergence.resolves_after)
        answer = _after("is silent", "still answers", convergence.answers_after)
    return f"its name {name}, it {answer}"


def _after(words: str, otherwise: str, seconds: float | None) -> str:
    return f"{words} after {seconds:.1f} s" if seconds is not None else f"{otherwise} while it was watched"


def _lane(
    axes: Any, samples: Sequence[Sample], height: float, states: Sequence[str], otherwise: str, step: float
) -> None:
    """One lane: a bar per phase, with its text if there is space, and a mark per probe."""
    width = samples[-1].elapsed - samples[0].elapsed + 2 * step
    looks = list(zip(samples, states, strict=True))
    begin = samples[0].elapsed - step / 2
    for state, group in groupby(enumerate(states), key=lambda look: look[1]):
        last = [number for number, _ in group][-1]
        following = samples[last + 1].elapsed if last + 1 < len(samples) else samples[last].elapsed + step
        end = (samples[last].elapsed + following) / 2
        face, edge = (GOOD_WASH, GOOD) if state else (BAD_WASH, BAD)
        box = Rectangle((begin, height - _HALF), end - begin, 2 * _HALF, facecolor=face, linewidth=0.8)
        box.set(edgecolor=edge if state else FAINT, hatch=None if state else "///", zorder=1)
        axes.add_patch(box)
        words = state or otherwise
        if (end - begin) / width > 0.011 * len(words):
            axes.text(begin, height - _HALF - 0.07, words, fontsize=8.5, color=edge, va="top", ha="left")
        begin = end
    size = 30 if len(samples) <= 80 else 8
    good = [sample.elapsed for sample, state in looks if state]
    bad = [sample.elapsed for sample, state in looks if not state]
    axes.scatter(good, [height] * len(good), s=size, marker="o", color=GOOD, linewidths=0, zorder=3)
    axes.scatter(bad, [height] * len(bad), s=size, marker="x", color=BAD, linewidths=1.5, zorder=3)


def _span(axes: Any, seconds: float | None, height: float) -> None:
    """Show above the lane how long after the event the expected state was reached."""
    if seconds is None or seconds <= 0:
        return
    level = height + _HALF + 0.14
    ends = {"arrowstyle": "|-|,widthA=0.2,widthB=0.2", "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (seconds, level), (0, level), arrowprops=ends)
    _beside(axes, (seconds, level), f"{seconds:.1f} s", color=INK)


def _beside(axes: Any, place: tuple[float, float], words: str, *, color: str) -> None:
    """Text to the right of a position."""
    style = {"fontsize": 9.5, "fontweight": "bold", "color": color, "va": "center", "ha": "left"}
    axes.annotate(words, place, xytext=(5, 0), textcoords="offset points", **style)


# Distinguished by line and mark too, because not all readers see or print colours.
_STYLES = ((ACCENT, "-", "o"), (GOOD, "--", "s"), (WARN, "-.", "D"), (INK, ":", "^"))
_MOST_WITH_MARKS = 120


def trend_picture(trend: Trend) -> Figure:
    """The values over time, from zero; the thin line is the median."""
    figure = blank(9.6, 3.9)
    title(figure, f"{trend.metric} of {trend.notebook}", _trend_subtitle(trend))
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
    return f"{trend.metric} of {trend.notebook}: {_trend_subtitle(trend)}."


def _times(points: Sequence[TrendPoint]) -> Any:
    """Dates as matplotlib accepts them, though its annotations do not say so."""
    return [point.started for point in points]


def _trend_subtitle(trend: Trend) -> str:
    values = [point.value for point in trend.points]
    failed = sum(not point.passed for point in trend.points)
    runs = f"{len(values)} runs" if len(values) > 1 else "one run"
    crosses = f", {failed} did not pass (×)" if failed else ""
    return f"{runs}{crosses}; median {statistics.median(values):.4g} {trend.unit}, last {values[-1]:.4g} {trend.unit}"


_NONE = "no address"


def address_drift(before: Sequence[ClusterAddress], after: Sequence[ClusterAddress]) -> Figure:
    """One row per address; a moved node is a solid arrow between rows, one that stayed a dashed horizontal line."""
    rows = _rows([*before, *after])
    height = 1.35 + 0.46 * len(rows)
    figure = blank(8.6, height)
    title(figure, "Addresses before and after", _drift_subtitle(before, after))
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
    return f"Addresses before and after. {_drift_subtitle(before, after)}: {', '.join(moves)}."


def _address(item: ClusterAddress | None) -> str:
    return (item.address if item else None) or _NONE


def _rows(items: Sequence[ClusterAddress]) -> list[str]:
    addresses = {item.address for item in items if item.address}
    ordered = sorted(addresses, key=ipaddress.ip_address)
    return [*ordered, *([_NONE] if any(not item.address for item in items) else [])]


def _drift_subtitle(before: Sequence[ClusterAddress], after: Sequence[ClusterAddress]) -> str:
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
