"""What a peer saw before, during and after a change: one mark a look, a lane for the name and one for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from runbook_lib.charts.palette import ACCENT, BAD, BAD_WASH, FAINT, GOOD, GOOD_WASH, INK, MUTED
from runbook_lib.charts.style import bare, blank, title

if TYPE_CHECKING:
    from runbook_lib.verify.samples import Convergence, Sample

_WIDTH, _HEIGHT = 10.5, 3.5
_NAME, _ANSWER = 1.0, 0.0
_HALF = 0.2  # half of a lane's height


@dataclass(frozen=True)
class Phase:
    """Looks in a row that saw the same: from when to when (seconds since the event), how many, and what.

    ``resolved`` is the address that the name led to, or empty; ``slowest_ms`` is the slowest answer among them.
    """

    begin: float
    end: float
    looks: int
    resolved: str
    answered: bool
    slowest_ms: float | None


def phases(samples: Sequence[Sample]) -> tuple[Phase, ...]:
    """The time line in as few rows as say everything."""
    found = []
    for (resolved, answered), group in groupby(samples, key=lambda sample: (sample.resolved, sample.answered)):
        own = list(group)
        slowest = max((sample.milliseconds for sample in own if sample.milliseconds is not None), default=None)
        found.append(Phase(own[0].elapsed, own[-1].elapsed, len(own), resolved, answered, slowest))
    return tuple(found)


def convergence_timeline(convergence: Convergence) -> Figure:
    """A filled dot where the name resolved or the peer answered, a cross where not; the event is a vertical line.

    The lanes are shaded in between, say in words what was seen, and show how long it took until that was so for good.
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
    """The text alternative: the two times, and every phase of what was seen."""
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
    """One lane: a stretch for each run of equal states with its words where there is room, and a mark a look."""
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
    """How long after the event it was as it should be, above the lane."""
    if seconds is None or seconds <= 0:
        return
    level = height + _HALF + 0.14
    ends = {"arrowstyle": "|-|,widthA=0.2,widthB=0.2", "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (seconds, level), (0, level), arrowprops=ends)
    _beside(axes, (seconds, level), f"{seconds:.1f} s", color=INK)


def _beside(axes: Any, place: tuple[float, float], words: str, *, color: str) -> None:
    """Words to the right of a place."""
    style = {"fontsize": 9.5, "fontweight": "bold", "color": color, "va": "center", "ha": "left"}
    axes.annotate(words, place, xytext=(5, 0), textcoords="offset points", **style)
