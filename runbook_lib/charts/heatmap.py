"""The ping matrix as a heat map that reads in black and white: every cell says what it is."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from runbook_lib.charts.palette import BAD, BAD_WASH, FAINT, GOOD, INK, MUTED, PAPER, SHADES, WARN, WASH
from runbook_lib.charts.style import bare, blank, title
from runbook_lib.model.results import Verdict

if TYPE_CHECKING:
    from runbook_lib.verify.probe import Probe

# Where the next shade begins, in milliseconds: the same in every picture, so that two of them can be compared.
_STEPS_MS = (0.05, 0.2, 1.0, 10.0)
_NUMBERS_UP_TO = 12  # containers; in a larger matrix numbers would be too small to read
_COLD_UP_TO = 6


def ping_heatmap(probes: Sequence[Probe]) -> Figure:
    """One panel for each way (by name, by address); a row a source, a column a target, in the order of the probes.

    A cell holds the warm probes' average in milliseconds (and, in a small matrix, the cold first probe's), ``✗`` for
    a failure with its loss or the largest packet that passes, ``!`` with the loss for a warning, ``silent`` where no
    answer is what was expected. A bar at its foot is as long as the part that was lost without being expected to.
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
    """What the shades mean, in boxes; what the marks mean, in words."""
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
    """All cells of one colour are one path, which keeps the picture of a large matrix small."""
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
