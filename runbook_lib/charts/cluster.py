"""The cluster as a picture, in layers: the overlay above, containers, nodes, and the cluster's network below.

What is broken is drawn broken: dashed, crossed out and said in words, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.charts.style import ACCENT, BAD, FAINT, GOOD, INK, MUTED, PAPER, WARN, WASH
from runbook_lib.charts.svg import Canvas
from runbook_lib.charts.view import GATEWAY_BRIDGE, ClusterView, describe
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.etcd import EtcdMember

WIDTH = 1200
COLUMNS = 4
SHOWN_CONTAINERS = 12
_MARGIN = 24
_GAP = 18
_BAND = 34
_DROP = 26
_ROW = 36
_PAD = 12
_OVERLAY_FILL, _UNDERLAY_FILL, _BRIDGE_FILL = "#e6f0fa", "#eef1f4", "#fdf3e1"


def cluster_picture(view: ClusterView) -> str:
    """The SVG, 1200 wide; four nodes a row. Its ``<desc>`` is the same in words."""
    canvas = Canvas()
    title = f"Cluster of {len(view.nodes)} node{'s' if len(view.nodes) != 1 else ''}"
    canvas.text(_MARGIN, 32, title, size=20, bold=True)
    canvas.text(_MARGIN, 53, _subtitle(view), size=12.5, fill=MUTED, width=WIDTH - 2 * _MARGIN)
    top = 72.0
    for start in range(0, len(view.nodes), COLUMNS):
        top = _row(canvas, view, view.nodes[start : start + COLUMNS], top) + 28
    canvas.text(_MARGIN, top, "dashed: missing   ·   ×: broken   ·   ★: leads the store", size=11.5, fill=MUTED)
    return canvas.document(WIDTH, top + 18, title, describe(view))


def _subtitle(view: ClusterView) -> str:
    answering = len(view.nodes) - len(view.silent)
    parts = [f"{answering} of {len(view.nodes)} nodes answer"]
    if view.members:
        healthy = sum(member.health == "healthy" for member in view.members)
        parts.append(f"{healthy} of {len(view.members)} etcd members healthy")
    if view.registrations:
        connected = sum(item.connected for item in view.registrations)
        parts.append(f"{connected} of {len(view.registrations)} engines connected to the store")
    on_overlay = sum(view.overlay in item.addresses for item in view.containers)
    parts.append(f"{on_overlay} container{'s' if on_overlay != 1 else ''} on {view.overlay}")
    return "   ·   ".join(parts)


def _row(canvas: Canvas, view: ClusterView, names: Sequence[str], top: float) -> float:
    width = (WIDTH - 2 * _MARGIN - (COLUMNS - 1) * _GAP) / COLUMNS
    span = len(names) * width + (len(names) - 1) * _GAP
    rows = max(_rows_of(view, name) for name in names)
    members = max(len(view.members_on(name)) for name in names)
    bridge = any(view.gateway_bridge(name) is not None for name in names)
    card_top = top + _BAND + _DROP
    card_height = _PAD + rows * _ROW + (38 if bridge else 0) + 64 + 30 * members + 34
    bottom = card_top + card_height + _DROP
    _overlay(canvas, view, top, max(span, 3 * width))
    canvas.box(_MARGIN, bottom, max(span, 3 * width), _BAND, fill=_UNDERLAY_FILL, stroke=MUTED)
    words = f"cluster network {view.network.subnet}: carries the overlay's tunnel (vxlan), gossip and the store"
    canvas.text(_MARGIN + 14, bottom + 22, words, size=12.5, fill=INK, width=max(span, 3 * width) - 28)
    for place, name in enumerate(names):
        left = _MARGIN + place * (width + _GAP)
        Card(canvas, view, name, left, card_top, width, card_height).draw(rows, bridge=bridge, members=members)
    return bottom + _BAND


def _rows_of(view: ClusterView, node: str) -> int:
    count = len(view.containers_on(node))
    return max(1, min(count, SHOWN_CONTAINERS) + (1 if count > SHOWN_CONTAINERS else 0))


def _overlay(canvas: Canvas, view: ClusterView, top: float, span: float) -> None:
    overlay = view.overlay_network
    fill, stroke = (_OVERLAY_FILL, ACCENT) if overlay else (PAPER, MUTED)
    canvas.box(_MARGIN, top, span, _BAND, fill=fill, stroke=stroke, broken=overlay is None, thick=1.5)
    if overlay is None:
        canvas.text(_MARGIN + 14, top + 22, f"there is no overlay network {view.overlay}", size=13, fill=MUTED)
        return
    canvas.text(_MARGIN + 14, top + 22, overlay.name, size=14, bold=True, fill=ACCENT)
    words = f"overlay network {overlay.subnet}   ·   {overlay.scope} scope   ·   id {overlay.id[:10]}"
    canvas.text(_MARGIN + 28 + 10 * len(overlay.name), top + 22, words, size=12.5)


class Card:
    """One node: its containers on top (nearest the overlay), then docker_gwbridge, engine, etcd, cluster address."""

    def __init__(
        self, canvas: Canvas, view: ClusterView, node: str, left: float, top: float, width: float, height: float
    ) -> None:
        self._canvas = canvas
        self._view = view
        self._node = node
        self._left = left
        self._top = top
        self._width = width
        self._height = height
        self._inner = left + 26
        self._room = width - 52

    def draw(self, rows: int, *, bridge: bool, members: int) -> None:
        """Draw it; every card of a row keeps the same levels, so that equal things stand side by side."""
        silent = self._node in self._view.silent
        stroke = BAD if silent else FAINT
        self._canvas.box(
            self._left, self._top, self._width, self._height, fill=WASH, stroke=stroke, broken=silent, radius=10
        )
        level = self._top + _PAD
        if not silent:
            self._containers(level)
        level += rows * _ROW
        if bridge:
            if not silent:
                self._bridge(level)
            level += 38
        self._head(level + 14, silent)
        level += 64
        for place, member in enumerate(self._view.members_on(self._node)):
            self._member(member, level + 30 * place)
        self._address(level + 30 * members, silent)

    def _containers(self, level: float) -> None:
        containers = self._view.containers_on(self._node)
        if not containers:
            self._canvas.text(self._inner, level + 20, "no containers", size=12, fill=MUTED)
            return
        shown = containers[:SHOWN_CONTAINERS]
        joined = [place for place, item in enumerate(shown) if self._view.overlay in item.addresses]
        trunk = self._left + 13
        if joined:
            below = level + joined[-1] * _ROW + 14
            self._canvas.line(trunk, self._top - _DROP, trunk, below, stroke=ACCENT, thick=2.2)
        for place, container in enumerate(shown):
            self._container(container, level + place * _ROW, trunk)
        if len(containers) > len(shown):
            more = f"and {len(containers) - len(shown)} more"
            self._canvas.text(self._inner, level + len(shown) * _ROW + 20, more, size=12, fill=MUTED)

    def _container(self, container: ContainerFacts, level: float, trunk: float) -> None:
        address = container.addresses.get(self._view.overlay, "")
        middle = level + 14
        if address:
            self._canvas.line(trunk, middle, self._inner, middle, stroke=ACCENT, thick=2.2)
        else:
            self._canvas.cross(self._inner - 10, middle, 4)
        self._canvas.box(
            self._inner, level, self._room, 28, stroke=ACCENT if address else BAD, broken=not container.running
        )
        self._canvas.text(self._inner + 9, level + 18.5, container.name, size=12.5, bold=True, width=self._room * 0.48)
        right = self._inner + self._room - 9
        if address:
            self._canvas.text(right, level + 18.5, address, size=12, anchor="end", mono=True)
        else:
            words = container.state if not container.running else f"not on {self._view.overlay}"
            self._canvas.text(right, level + 18.5, words, size=11.5, fill=BAD, anchor="end", width=self._room * 0.5)

    def _bridge(self, level: float) -> None:
        bridge = self._view.gateway_bridge(self._node)
        if bridge is None:
            return
        self._canvas.box(self._inner, level, self._room, 26, fill=_BRIDGE_FILL, stroke=WARN)
        self._canvas.text(self._inner + 9, level + 17, GATEWAY_BRIDGE, size=11.5, fill=INK)
        self._canvas.text(self._inner + self._room - 9, level + 17, "to the outside", size=11, fill=MUTED, anchor="end")
        joined = [
            place
            for place, item in enumerate(self._view.containers_on(self._node)[:SHOWN_CONTAINERS])
            if self._view.overlay in item.addresses
        ]
        if joined:
            right, inner = self._left + self._width - 13, self._inner + self._room
            first = self._top + _PAD + joined[0] * _ROW + 14
            self._canvas.line(right, first, right, level + 13, stroke=WARN, thick=1.4)
            self._canvas.line(right, level + 13, inner, level + 13, stroke=WARN, thick=1.4)
            for place in joined:
                stub = self._top + _PAD + place * _ROW + 14
                self._canvas.line(inner, stub, right, stub, stroke=WARN, thick=1.4)

    def _head(self, level: float, silent: bool) -> None:
        self._canvas.line(self._left + 12, level - 8, self._left + self._width - 12, level - 8, stroke=FAINT, thick=1)
        self._canvas.text(self._inner, level + 14, self._node, size=16, bold=True, width=self._room)
        if silent:
            self._canvas.cross(self._left + 13, level + 9)
            self._canvas.text(self._inner, level + 35, "does not answer", size=12, fill=BAD)
            return
        engine, registration = self._view.engine(self._node), self._view.registration(self._node)
        if engine is None:
            return
        right = self._inner + self._room
        version = f"Docker {engine.version.partition('+')[0]}"
        self._canvas.text(self._inner, level + 35, version, size=12, width=self._room * 0.6)
        lost = registration is not None and not registration.connected
        if engine.mode == "none" or lost:
            self._canvas.cross(self._left + 13, level + 31)
            words = "no store" if engine.mode == "none" else "store lost"
            self._canvas.text(right, level + 35, words, size=11.5, fill=BAD, anchor="end")
        elif registration is not None:
            self._canvas.text(right, level + 35, "store connected", size=11.5, fill=GOOD, anchor="end")

    def _member(self, member: EtcdMember, level: float) -> None:
        down = member.health != "healthy"
        self._canvas.box(
            self._inner, level, self._room, 24, stroke=BAD if down else GOOD, broken=down, fill=PAPER, radius=12
        )
        if down:
            self._canvas.cross(self._inner + 15, level + 12, 4)
        name = f"{'★ ' if member.leader else ''}{member.name}"
        state = member.health if member.container_state == "running" or not down else member.container_state
        if member.leader:
            state += ", leader"
        self._canvas.text(self._inner + (26 if down else 12), level + 16, name, size=11.5, bold=True)
        self._canvas.text(
            self._inner + self._room - 12, level + 16, state, size=11.5, anchor="end", fill=BAD if down else GOOD
        )

    def _address(self, level: float, silent: bool) -> None:
        bottom = self._top + self._height
        address = self._view.address(self._node)
        has_address = not silent and address is not None and bool(address.address)
        known = silent or address is not None
        trunk = self._left + 13
        self._canvas.line(
            trunk,
            level + 12,
            trunk,
            bottom + _DROP,
            stroke=INK if has_address or not known else BAD,
            broken=known and not has_address,
        )
        if silent or address is None:
            return
        self._canvas.line(trunk, level + 12, self._inner - 4, level + 12, stroke=INK if has_address else BAD)
        words = f"{address.interface} {address.address or 'no address'}"
        self._canvas.text(self._inner, level + 16, words, size=12, mono=True, fill=INK if has_address else BAD)
        if has_address and address.address != address.expected:
            note, fill = f"! not .{address.expected.rpartition('.')[2]}", WARN
        else:
            note, fill = address.assigned_by, MUTED
        self._canvas.text(self._inner + self._room, level + 16, note, size=11.5, anchor="end", fill=fill)
