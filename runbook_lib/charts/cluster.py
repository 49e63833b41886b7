"""The cluster as a picture, in layers: the overlay above, containers, nodes, and the cluster's network below.

Broken parts are dashed, crossed out and described in words, never marked by colour alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runbook_lib.charts.card import Card, Levels
from runbook_lib.charts.palette import ACCENT, BAD, BAD_WASH, INK, MUTED, NETWORK_WASH, OVERLAY_WASH, PAPER
from runbook_lib.charts.svg import Canvas
from runbook_lib.charts.view import (
    ClusterView,
    Thing,
    describe,
    differences,
    member_words,
    missing_overlay_words,
    vni_words,
)

WIDTH = 1200
COLUMNS = 4
SHOWN_DIFFERENCES = 16
_MARGIN = 28
_MIDDLE = 56
_GAP = 18
_BAND, _THIN_BAND = 34, 22
_DROP = 24
_BETWEEN = 22
_CROWDED = 8
_DEEP = 6


@dataclass(frozen=True)
class Frame:
    """The area of a cluster: its left edge, its width, and the nodes per row."""

    left: float
    width: float
    columns: int

    @property
    def card(self) -> float:
        """The width of one node."""
        return (self.width - (self.columns - 1) * _GAP) / self.columns

    def span(self, cards: int) -> float:
        """The width of some nodes side by side, wide enough for a band's text."""
        return max(cards * (self.card + _GAP) - _GAP, min(3, self.columns) * (self.card + _GAP) - _GAP)


def cluster_picture(view: ClusterView) -> str:
    """The SVG, 1200 wide, with four nodes per row. Its ``<desc>`` is the text alternative."""
    canvas = Canvas()
    title = f"Cluster of {len(view.nodes)} node{'s' if len(view.nodes) != 1 else ''}"
    canvas.text(_MARGIN, 32, title, size=20, bold=True)
    canvas.text(_MARGIN, 53, _subtitle(view), size=12.5, fill=MUTED, width=WIDTH - 2 * _MARGIN)
    bottom = _cluster(canvas, view, Frame(_MARGIN, WIDTH - 2 * _MARGIN, COLUMNS), 72)
    legend = f"dashed: missing or stopped   ·   ×: broken   ·   ▲: not as it should be   ·   ★: {view.terms.leads}"
    canvas.text(_MARGIN, bottom + 28, legend, size=11.5, fill=MUTED)
    return canvas.document(WIDTH, bottom + 46, title, describe(view))


def before_and_after(before: ClusterView, after: ClusterView) -> str:
    """Two pictures side by side, 1200 wide; differences are outlined in the second one and listed below."""
    canvas = Canvas()
    changed = differences(before, after)
    count = f"{len(changed)} thing{'s' if len(changed) != 1 else ''} changed" if changed else "nothing changed"
    canvas.text(_MARGIN, 32, f"Before and after: {count}", size=20, bold=True)
    half = (WIDTH - 2 * _MARGIN - _MIDDLE) / 2
    right = _MARGIN + half + _MIDDLE
    bottom = 0.0
    for left, words, view, marked in ((_MARGIN, "before", before, ()), (right, "→ after", after, changed)):
        canvas.text(left, 63, words, size=15, bold=True, fill=ACCENT)
        bottom = max(bottom, _cluster(canvas, view, Frame(left, half, 2), 76, marked, (before, after)))
    lines = _difference_lines(tuple(changed.values()))
    deep = len(lines) if len(lines) <= _DEEP else (len(lines) + 1) // 2
    for place, line in enumerate(lines):
        x, width = (_MARGIN, WIDTH - 2 * _MARGIN) if deep == len(lines) else ((_MARGIN, right)[place // deep], half)
        canvas.text(x, bottom + 32 + 20 * (place % deep), line, size=13, width=width)
    description = f"Before: {describe(before)} After: {describe(after)} {'. '.join(lines)}."
    return canvas.document(WIDTH, bottom + 32 + 20 * deep, f"Before and after: {count}", description)


def before_and_after_text(before: ClusterView, after: ClusterView) -> str:
    """The text alternative of both pictures: the differences, and the current state."""
    changed = differences(before, after)
    return f"Before and after: {'; '.join(changed.values()) or 'nothing changed'}. Now: {describe(after)}"


def _difference_lines(found: Sequence[str]) -> list[str]:
    more = len(found) - SHOWN_DIFFERENCES
    shown = [f"·  {words}" for words in found[:SHOWN_DIFFERENCES]]
    return [*shown, f"·  and {more} more"] if more > 0 else shown


def _subtitle(view: ClusterView) -> str:
    answering = len(view.nodes) - len(view.silent)
    parts = [f"{answering} of {len(view.nodes)} nodes answer"]
    if view.members:
        healthy = sum(member.health == "healthy" for member in view.members)
        parts.append(f"{healthy} of {len(view.members)} {view.terms.members} healthy")
    if view.registrations:
        connected = sum(item.connected for item in view.registrations)
        parts.append(f"{connected} of {len(view.registrations)} engines {view.terms.linked}")
    on_overlay = sum(view.overlay in item.addresses for item in view.containers)
    parts.append(f"{on_overlay} container{'s' if on_overlay != 1 else ''} on {view.overlay}")
    return "  ·  ".join(parts)


def _cluster(
    canvas: Canvas,
    view: ClusterView,
    frame: Frame,
    top: float,
    changed: Collection[Thing] = (),
    beside: Sequence[ClusterView] = (),
) -> float:
    """Draw all nodes in rows; each row has both networks, and lines at the sides connect those of all rows.

    ``beside`` are all views that are side by side, so that equal items are at equal heights.
    """
    tight = len(view.nodes) > _CROWDED
    overlays, networks = [], []
    for start in range(0, len(view.nodes), frame.columns):
        names = view.nodes[start : start + frame.columns]
        first, band = start == 0, _BAND if start == 0 else _THIN_BAND
        levels = Levels.of(beside or (view,), names, top + band + _DROP, tight=tight)
        _overlay(canvas, view, frame, len(names), top, band, marked=first and ("", view.overlay) in changed)
        _network(canvas, view, frame, len(names), levels.bottom + _DROP, band)
        for place, name in enumerate(names):
            left = frame.left + place * (frame.card + _GAP)
            Card(canvas, view, name, left, frame.card, levels, drop=_DROP, changed=changed).draw()
        overlays.append(top + band / 2)
        networks.append((levels.bottom + _DROP + band / 2, frame.left + frame.span(len(names))))
        top = levels.bottom + _DROP + band + _BETWEEN
    if view.members_nowhere:
        _nowhere(canvas, view, frame, top - 6)
        top += 30
    if len(overlays) > 1:
        _rails(canvas, view, frame, overlays, networks)
    return top - _BETWEEN


def _nowhere(canvas: Canvas, view: ClusterView, frame: Frame, top: float) -> None:
    """Draw members of the store that are on no node."""
    width = min(frame.card, (frame.width + _GAP) / len(view.members_nowhere) - _GAP)
    for place, member in enumerate(view.members_nowhere):
        left = frame.left + place * (width + _GAP)
        canvas.box(left, top, width, 24, fill=BAD_WASH, stroke=BAD, broken=True, radius=12)
        canvas.cross(left + 15, top + 12, 4)
        canvas.text(left + 26, top + 16, f"{member.name} {member_words(member)}", size=11.5, fill=BAD, width=width - 36)


def _rails(
    canvas: Canvas, view: ClusterView, frame: Frame, overlays: Sequence[float], networks: Sequence[tuple[float, float]]
) -> None:
    if view.overlay_network is not None:
        rail = frame.left - 12
        canvas.line(rail, overlays[0], rail, overlays[-1], stroke=ACCENT, thick=2.2)
        for level in overlays:
            canvas.line(rail, level, frame.left, level, stroke=ACCENT, thick=2.2)
    rail = frame.left + frame.width + 12
    canvas.line(rail, networks[0][0], rail, networks[-1][0], stroke=INK)
    for level, end in networks:
        canvas.line(end, level, rail, level, stroke=INK)


def _overlay(
    canvas: Canvas, view: ClusterView, frame: Frame, cards: int, top: float, band: float, *, marked: bool
) -> None:
    overlay, span = view.overlay_network, frame.span(cards)
    fill, stroke = (OVERLAY_WASH, ACCENT) if overlay else (PAPER, MUTED)
    missing = overlay is None
    canvas.box(frame.left, top, span, band, fill=fill, stroke=stroke, broken=missing, marked=marked, thick=1.5)
    x, y = frame.left + 14, top + band / 2 + 5
    if overlay is None:
        if band == _BAND:
            canvas.text(x, y, missing_overlay_words(view), size=13, fill=MUTED, width=span - 28)
        return
    canvas.text(x, y, overlay.name, size=14 if band == _BAND else 12, bold=True, fill=ACCENT)
    if band == _BAND:
        vni = f"  ·  {vni_words(view)}" if vni_words(view) else ""
        words = f"overlay {overlay.subnet}{vni}  ·  id {overlay.id[:10]}"
        indent = 24 + 10 * len(overlay.name)
        canvas.text(x + indent, y, words, size=12.5, width=span - 28 - indent)


def _network(canvas: Canvas, view: ClusterView, frame: Frame, cards: int, top: float, band: float) -> None:
    span = frame.span(cards)
    canvas.box(frame.left, top, span, band, fill=NETWORK_WASH, stroke=MUTED)
    x, y = frame.left + 14, top + band / 2 + 4.5
    if band != _BAND:
        canvas.text(x, y, view.network.subnet, size=11.5, width=span - 28)
        return
    words = f"cluster network {view.network.subnet}"
    split = any(view.unknown_peers(node) for node in view.nodes)
    if split:
        canvas.cross(frame.left + span - 20, top + band / 2)
        end = frame.left + span - 34
        canvas.text(end, y, "gossip is split: packets will vanish", size=12, fill=BAD, anchor="end", bold=True)
    elif frame.columns == COLUMNS:
        words += f" carries the overlay's tunnels (VXLAN, UDP port 4789), gossip, and {view.terms.kept}"
    canvas.text(x, y, words, size=12.5, width=span - 28)
