"""What a peer saw before, during and after a change: one mark a sample, a lane for the name and one for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from runbook_lib.charts.palette import ACCENT, BAD, FAINT, GOOD, INK, MUTED
from runbook_lib.charts.style import bare, blank, title

if TYPE_CHECKING:
    from runbook_lib.verify.samples import Convergence, Sample

_NAME, _ANSWER = 1.0, 0.0


def convergence_timeline(convergence: Convergence) -> Figure:
    """A filled dot where the name resolved or the peer answered, a cross where not; the event is a vertical line."""
    figure = blank(10.5, 3.1)
    title(figure, f"{convergence.target}, as {convergence.source} sees it: {convergence.event}", _subtitle(convergence))
    axes = figure.add_axes((0.125, 0.25, 0.85, 0.47))
    samples = convergence.samples
    _lane(axes, samples, _NAME, [bool(sample.resolved) for sample in samples])
    _lane(axes, samples, _ANSWER, [sample.answered for sample in samples])
    first, last = samples[0].elapsed, samples[-1].elapsed
    margin = max(0.05, (last - first) * 0.03)
    axes.set_xlim(min(first, 0) - margin, max(last, 0.1) + margin)
    axes.set_ylim(-0.75, 1.85)
    axes.axvline(0, color=ACCENT, linewidth=1.6)
    axes.text(0, 1.8, f" {convergence.event}", color=ACCENT, fontsize=9.5, va="top", ha="left")
    _span(axes, convergence.resolves_after, _NAME)
    _span(axes, convergence.answers_after, _ANSWER)
    axes.set_yticks([_NAME, _ANSWER], ["name", "ping"], fontsize=10.5)
    axes.set_xlabel("seconds since the event", fontsize=9.5, color=MUTED)
    axes.grid(axis="x", color=FAINT, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    bare(axes)
    figure.text(
        0.3 / 10.5,
        0.04,
        f"●  resolves, answers     ×  does not     one sample every {convergence.interval * 1000:.0f} ms",
        fontsize=8.5,
        color=MUTED,
    )
    return figure


def timeline_text(convergence: Convergence) -> str:
    """The text alternative."""
    return f"{convergence.event} of {convergence.target}, seen from {convergence.source}. {_subtitle(convergence)}."


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


def _lane(axes: Any, samples: Sequence[Sample], height: float, states: Sequence[bool]) -> None:
    good = [sample.elapsed for sample, state in zip(samples, states, strict=True) if state]
    bad = [sample.elapsed for sample, state in zip(samples, states, strict=True) if not state]
    size = 46 if len(samples) <= 80 else 20
    axes.axhline(height, color=FAINT, linewidth=1, zorder=1)
    axes.scatter(good, [height] * len(good), s=size, marker="o", color=GOOD, zorder=3)
    axes.scatter(bad, [height] * len(bad), s=size, marker="x", color=BAD, linewidths=1.5, zorder=3)


def _span(axes: Any, seconds: float | None, height: float) -> None:
    if seconds is None or seconds <= 0:
        return
    level = height + 0.36
    axes.annotate(
        "", (seconds, level), (0, level), arrowprops={"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "color": INK}
    )
    axes.text(seconds, level, f"  {seconds:.1f} s", fontsize=9.5, color=INK, va="center", ha="left")
