"""One node in the picture of the cluster: containers on top, then docker_gwbridge, engine, store, address."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runbook_lib.charts.palette import (
    ACCENT,
    BAD,
    BAD_WASH,
    BRIDGE_WASH,
    FAINT,
    GOOD,
    INK,
    MUTED,
    PAPER,
    WARN,
    WASH,
)
from runbook_lib.charts.svg import Canvas
from runbook_lib.charts.view import (
    GATEWAY_BRIDGE,
    NODE,
    ClusterView,
    Thing,
    container_words,
    gossip_words,
    member_name,
    member_words,
    store_words,
)
from runbook_lib.facts.control_planes.base import Member
from runbook_lib.facts.docker.containers import ContainerFacts

SHOWN_CONTAINERS = 12
_PAD = 12
_BRIDGE = 38
_HEAD = 64
_MEMBER = 30
_GOSSIP = 26
_ADDRESS = 34


@dataclass(frozen=True)
class Levels:
    """The vertical positions in every card of one row, so that equal items are aligned."""

    top: float
    step: float  # from one container to the next
    containers: int
    bridge: bool
    members: int
    gossip: bool

    @classmethod
    def of(cls, views: Sequence[ClusterView], nodes: Sequence[str], top: float, *, tight: bool) -> Levels:
        """The levels that the largest of some nodes needs, in all views that are side by side."""
        cards = [(view, node) for view in views for node in nodes]
        return cls(
            top=top,
            step=30 if tight else 36,
            containers=max(_rows(view, node) for view, node in cards),
            bridge=any(view.gateway_bridge(node) is not None for view, node in cards),
            members=max(len(view.members_on(node)) for view, node in cards),
            gossip=any(gossip_words(view, node)[0] for view, node in cards),
        )

    @property
    def box(self) -> float:
        """The height of a container."""
        return self.step - 8

    @property
    def first(self) -> float:
        """The position of the first container."""
        return self.top + _PAD

    @property
    def gateway(self) -> float:
        """The position of docker_gwbridge."""
        return self.first + self.containers * self.step

    @property
    def head(self) -> float:
        """The position of the node's name and engine."""
        return self.gateway + (_BRIDGE if self.bridge else 0) + 14

    @property
    def store(self) -> float:
        """The position of the members of the store."""
        return self.head - 14 + _HEAD

    @property
    def talk(self) -> float:
        """The position of the line about gossip."""
        return self.store + _MEMBER * self.members

    @property
    def address(self) -> float:
        """The position of the node's address."""
        return self.talk + (_GOSSIP if self.gossip else 0)

    @property
    def bottom(self) -> float:
        """The end of the card."""
        return self.address + _ADDRESS


def _rows(view: ClusterView, node: str) -> int:
    count = len(view.containers_on(node))
    return max(1, min(count, SHOWN_CONTAINERS) + (1 if count > SHOWN_CONTAINERS else 0))


class Card:
    """One node, between the overlay's band ``drop`` above it and the network's band ``drop`` below."""

    def __init__(
        self,
        canvas: Canvas,
        view: ClusterView,
        node: str,
        left: float,
        width: float,
        levels: Levels,
        *,
        drop: float,
        changed: Collection[Thing] = (),
    ) -> None:
        self._canvas = canvas
        self._view = view
        self._node = node
        self._width = width
        self._at = levels
        self._drop = drop
        self._changed = changed
        self._left = left
        self._inner = left + 26
        self._room = width - 52
        self._end = self._inner + self._room
        self._trunk = left + 13

    def draw(self) -> None:
        """Draw it."""
        silent = self._node in self._view.silent
        height = self._at.bottom - self._at.top
        self._canvas.box(
            self._left,
            self._at.top,
            self._width,
            height,
            fill=PAPER if silent else WASH,
            stroke=BAD if silent else FAINT,
            broken=silent,
            hatched=silent,
            marked=self._differs(NODE),
            radius=10,
        )
        if silent:
            self._silence()
            return
        self._containers()
        self._bridge()
        self._head()
        for place, member in enumerate(self._view.members_on(self._node)):
            self._member(member, self._at.store + _MEMBER * place)
        self._gossip()
        self._address()

    def _differs(self, thing: str) -> bool:
        return (self._node, thing) in self._changed

    def _silence(self) -> None:
        level = self._at.head
        self._canvas.box(self._inner - 8, level - 6, self._room + 16, 66, stroke=BAD, fill=BAD_WASH)
        self._canvas.cross(self._inner + 6, level + 9)
        self._canvas.text(self._inner + 20, level + 14, self._node, size=16, bold=True, width=self._room - 24)
        self._canvas.text(self._inner, level + 33, "does not answer", size=12.5, bold=True, fill=BAD)
        self._canvas.text(self._inner, level + 50, self._view.silent[self._node], size=11, width=self._room)
        below = self._at.bottom + self._drop
        self._canvas.line(self._trunk, self._at.address + 12, self._trunk, below, stroke=BAD, broken=True)

    def _containers(self) -> None:
        containers, level = self._view.containers_on(self._node), self._at.first
        if not containers:
            words = "containers unknown" if self._node in self._view.engineless else "no containers"
            self._canvas.text(self._inner, level + 19, words, size=12, fill=MUTED)
            return
        shown = containers[:SHOWN_CONTAINERS]
        joined = [place for place, item in enumerate(shown) if self._view.overlay in item.addresses]
        if joined:
            below = level + joined[-1] * self._at.step + self._at.box / 2
            self._canvas.line(self._trunk, self._at.top - self._drop, self._trunk, below, stroke=ACCENT, thick=2.2)
        for place, container in enumerate(shown):
            self._container(container, level + place * self._at.step)
        if len(containers) > len(shown):
            more = f"and {len(containers) - len(shown)} more"
            self._canvas.text(self._inner, level + len(shown) * self._at.step + 19, more, size=12, fill=MUTED)

    def _container(self, container: ContainerFacts, level: float) -> None:
        words, broken = container_words(self._view, container)
        joined = self._view.overlay in container.addresses
        middle, height = level + self._at.box / 2, self._at.box
        if joined:
            self._canvas.line(self._trunk, middle, self._inner, middle, stroke=ACCENT, thick=2.2)
        elif broken:
            self._canvas.cross(self._inner - 13, middle, 4.5)
        self._canvas.box(
            self._inner,
            level,
            self._room,
            height,
            fill=BAD_WASH if broken else PAPER,
            stroke=BAD if broken else ACCENT if joined else MUTED,
            broken=broken or not container.running,
            marked=self._differs(container.name),
        )
        wide = self._room - 18
        # The container's name has priority; without space, a foreign address is shown without its network's name.
        name = min(len(container.name) * 8.3, wide * 0.62)
        if len(words) * 7.4 > wide - name - 6 and not (joined or broken):
            words = ", ".join(container.addresses.values()) or words
        name = max(name, wide - len(words) * 7.4 - 8)
        self._canvas.text(self._inner + 9, middle + 4.5, container.name, size=12.5, bold=True, width=name)
        self._canvas.text(
            self._end - 9,
            middle + 4.5,
            words,
            size=12 if joined else 11.5,
            fill=BAD if broken else INK if joined else MUTED,
            anchor="end",
            mono=joined and container.running,
            width=max(wide - name - 6, wide * 0.36),
        )

    def _bridge(self) -> None:
        bridge, level = self._view.gateway_bridge(self._node), self._at.gateway
        if bridge is None:
            return
        marked = self._differs(GATEWAY_BRIDGE)
        self._canvas.box(self._inner, level, self._room, 26, fill=BRIDGE_WASH, stroke=WARN, marked=marked)
        self._canvas.text(self._inner + 9, level + 17, GATEWAY_BRIDGE, size=11.5)
        self._canvas.text(self._end - 9, level + 17, bridge.subnet, size=11, anchor="end", mono=True, fill=MUTED)
        containers = self._view.containers_on(self._node)[:SHOWN_CONTAINERS]
        joined = [place for place, item in enumerate(containers) if self._view.overlay in item.addresses]
        if joined:
            right, half = self._left + self._width - 13, self._at.box / 2
            first = self._at.first + joined[0] * self._at.step + half
            self._canvas.line(right, first, right, level + 13, stroke=WARN, thick=1.4)
            self._canvas.line(right, level + 13, self._end, level + 13, stroke=WARN, thick=1.4)
            for place in joined:
                stub = self._at.first + place * self._at.step + half
                self._canvas.line(self._end, stub, right, stub, stroke=WARN, thick=1.4)

    def _head(self) -> None:
        level, right = self._at.head, self._left + self._width - 12
        self._canvas.line(self._left + 12, level - 8, right, level - 8, stroke=FAINT, thick=1)
        self._canvas.text(self._inner, level + 14, self._node, size=16, bold=True, width=self._room)
        if self._differs("engine") or self._differs("store"):
            self._canvas.box(self._inner - 4, level + 21, self._room + 8, 20, stroke=FAINT, fill=WASH, marked=True)
        engine = self._view.engine(self._node)
        if self._node in self._view.engineless:
            self._canvas.cross(self._trunk, level + 31)
            self._canvas.text(self._inner, level + 35, "engine does not answer", size=12, bold=True, fill=BAD)
            return
        if engine is None:
            return
        version = f"Docker {engine.version.partition('+')[0]}"
        self._canvas.text(self._inner, level + 35, version, size=12, width=self._room * 0.6)
        words, lost = store_words(self._view, self._node)
        if lost:
            self._canvas.cross(self._trunk, level + 31)
        self._canvas.text(self._end, level + 35, words, size=11.5, fill=BAD if lost else GOOD, anchor="end", bold=lost)

    def _member(self, member: Member, level: float) -> None:
        down = member.health != "healthy"
        self._canvas.box(
            self._inner,
            level,
            self._room,
            24,
            fill=BAD_WASH if down else PAPER,
            stroke=BAD if down else GOOD,
            broken=down,
            marked=self._differs(member.name),
            radius=12,
            thick=2.2 if member.leader else 1.2,
        )
        if down:
            self._canvas.cross(self._inner + 15, level + 12, 4)
        name = f"{'★ ' if member.leader else ''}{member_name(member)}"
        self._canvas.text(self._inner + (26 if down else 12), level + 16, name, size=11.5, bold=True)
        fill = BAD if down else GOOD
        self._canvas.text(self._end - 12, level + 16, member_words(member), size=11.5, anchor="end", fill=fill)

    def _gossip(self) -> None:
        words, split = gossip_words(self._view, self._node)
        level = self._at.talk
        if split:
            self._canvas.cross(self._trunk, level + 9)
        if split or self._differs("gossip"):
            marked = self._differs("gossip")
            fill, stroke = (BAD_WASH, BAD) if split else (WASH, FAINT)
            self._canvas.box(
                self._inner, level - 1, self._room, 20, fill=fill, stroke=stroke, broken=split, marked=marked
            )
        self._canvas.text(
            self._inner + (7 if split else 0),
            level + 13,
            words,
            size=11.5,
            fill=BAD if split else MUTED,
            bold=split,
            width=self._room - 12,
        )

    def _address(self) -> None:
        level, address = self._at.address, self._view.address(self._node)
        missing = address is not None and not address.address
        colour = BAD if missing else INK
        below = self._at.bottom + self._drop
        self._canvas.line(self._trunk, level + 12, self._trunk, below, stroke=colour, broken=missing)
        if address is None:
            return
        if self._differs("address"):
            self._canvas.box(self._inner - 2, level + 2, self._room + 4, 20, stroke=FAINT, fill=WASH, marked=True)
        self._canvas.line(self._trunk, level + 12, self._inner - 4, level + 12, stroke=colour)
        words = f"{address.interface} {address.address or 'no address'}"
        self._canvas.text(self._inner, level + 16, words, size=12, mono=True, fill=colour)
        drifted = bool(address.address) and address.address != address.expected
        note = f"▲ not .{address.expected.rpartition('.')[2]}" if drifted else address.assigned_by
        fill = WARN if drifted else MUTED
        self._canvas.text(self._end, level + 16, note, size=11.5, anchor="end", fill=fill, bold=drifted)
        if drifted:
            self._canvas.warning(self._trunk, self._at.bottom + self._drop / 2)
