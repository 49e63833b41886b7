"""The path of one packet from container to container through the overlay, with the cluster's real names and numbers.

The upper part shows the interfaces that it passes. The lower part shows the packet inside the container and on the
nodes' network, with equal parts in one column, so that the overlay's headers are visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.charts.palette import (
    ACCENT,
    BRIDGE_WASH,
    FAINT,
    INK,
    MUTED,
    NETWORK_WASH,
    OVERLAY_WASH,
    PAPER,
    WARN,
    WASH,
)
from runbook_lib.charts.svg import Canvas

WIDTH = 1200
_MARGIN = 24
_CARD = 548
_PART_HEIGHT = 46
# the minimum width of a part with its text
_LEAST, _PIXELS_A_BYTE, _MOST = 74, 5.2, 210


@dataclass(frozen=True)
class End:
    """One end of the path: a container and the interfaces of its node that the packet passes.

    ``veth`` is the other end of the container's ``interface``; ``leads_to`` is the node address that the VXLAN
    interface's forwarding table has for the other container, empty without an entry.
    """

    node: str
    node_interface: str
    node_address: str
    node_mac: str
    node_mtu: int | None
    namespace: str
    bridge: str
    tunnel: str
    veth: str
    container: str
    interface: str
    address: str
    mac: str
    mtu: int | None
    leads_to: str = ""


@dataclass(frozen=True)
class Part:
    """One header, or the data: its name, its bytes, and whether the overlay adds it."""

    name: str
    length: int
    added: bool


@dataclass(frozen=True)
class PacketPath:
    """The path of a packet. ``parts`` are those of the packet on the wire, from its first byte to its last."""

    network: str
    vni: int | None
    port: int
    underlay: str
    source: End
    target: End
    parts: Sequence[Part] = ()

    @property
    def overhead(self) -> int:
        """Bytes by which the nodes' IP packet is longer than the containers'."""
        return sum(part.length for part in self.parts if part.added)


def packet_path(path: PacketPath) -> str:
    """The SVG, 1200 wide, light and dark. Its ``<desc>`` is ``path_text``."""
    canvas = Canvas()
    title = f"The way of one packet: {path.source.container} to {path.target.container} on {path.network}"
    canvas.text(_MARGIN, 32, title, size=20, bold=True)
    words = f"VXLAN, VNI {path.vni}, UDP port {path.port}; follow the numbers: down on the left, up on the right"
    canvas.text(_MARGIN, 53, words, size=12.5, fill=MUTED)
    right = WIDTH - _MARGIN - _CARD
    _end(canvas, path, path.source, _MARGIN, "①②③④", "▼")
    _end(canvas, path, path.target, right, "⑨⑧⑦⑥", "▲")
    _underlay(canvas, path, 474)
    height = 540.0
    if path.parts:
        height = _packets(canvas, path, 560)
    return canvas.document(WIDTH, height, title, path_text(path))


def path_text(path: PacketPath) -> str:
    """The text alternative."""
    one, other = path.source, path.target
    sentences = [
        f"{one.container} ({one.address}) on {one.node} sends a packet to {other.container} ({other.address}) on "
        f"{other.node}.",
        f"It leaves by {one.interface}, comes out of {one.veth or 'the veth'} in the hidden namespace {one.namespace}, "
        f"crosses the bridge {one.bridge} to {one.tunnel}, whose forwarding table says that {other.mac} is at "
        f"{one.leads_to or 'an address that it has to ask for'}.",
        f"{one.tunnel} puts it into a UDP packet with VNI {path.vni}, which {one.node} sends by {one.node_interface} "
        f"from {one.node_address} to {other.node_address}, port {path.port}.",
        f"On {other.node}, {other.tunnel} takes it out again; {other.bridge} and {other.veth or 'the veth'} bring it "
        f"to {other.interface} of {other.container}.",
    ]
    if path.parts:
        parts = ", ".join(f"{part.name} {part.length}" for part in path.parts)
        sentences.append(f"On the wire, in bytes: {parts}. The overlay adds {path.overhead} bytes.")
    return " ".join(sentences)


def _end(canvas: Canvas, path: PacketPath, end: End, left: float, steps: str, arrow: str) -> None:
    canvas.box(left, 72, _CARD, 378, fill=WASH, stroke=FAINT, radius=10)
    canvas.text(left + 16, 96, end.node, size=16, bold=True)
    inner, room = left + 16, _CARD - 32
    middle = left + _CARD / 2
    mtu = f"MTU {end.mtu}" if end.mtu else ""
    words = f"{end.interface} · {end.address} · {end.mac}"
    _station(canvas, inner, 108, room, steps[0], f"container {end.container}", words, mtu, stroke=ACCENT)
    canvas.line(middle, 160, middle, 222, stroke=ACCENT)
    _arrow(canvas, middle, 194, arrow, f"veth pair {end.interface} – {end.veth or '?'}")
    canvas.box(inner, 204, room, 164, fill=OVERLAY_WASH, stroke=ACCENT)
    canvas.text(inner + 12, 222, f"hidden namespace {end.namespace}", size=12, fill=ACCENT)
    _station(canvas, inner + 12, 232, room - 24, steps[1], end.bridge, "the overlay's bridge: MAC to port", "")
    canvas.line(middle, 284, middle, 306, stroke=ACCENT)
    _arrow(canvas, middle, 301, arrow, "")
    table = f"{_other(path, end).mac} is at {end.leads_to or '?'}"
    says = f"forwarding table: {table}" if end is path.source else "takes the packet out again"
    _station(canvas, inner + 12, 306, room - 24, steps[2], end.tunnel, says, f"VNI {path.vni}", stroke=WARN)
    canvas.line(middle, 358, middle, 394, stroke=INK)
    _arrow(canvas, middle, 387, arrow, "")
    words = f"{end.node_address} · {end.node_mac}"
    mtu = f"MTU {end.node_mtu}" if end.node_mtu else ""
    _station(canvas, inner, 394, room, steps[3], end.node_interface, words, mtu, stroke=INK, height=46)
    canvas.line(middle, 440, middle, 474, stroke=INK)
    _arrow(canvas, middle, 466, arrow, "")


def _other(path: PacketPath, end: End) -> End:
    return path.target if end is path.source else path.source


def _arrow(canvas: Canvas, x: float, y: float, arrow: str, words: str) -> None:
    canvas.text(x, y, arrow, size=13, anchor="middle", fill=INK)
    if words:
        canvas.text(x + 14, y - 10, words, size=11.5, fill=MUTED, width=_CARD / 2 - 34)


def _station(
    canvas: Canvas,
    left: float,
    top: float,
    width: float,
    step: str,
    name: str,
    words: str,
    note: str,
    *,
    stroke: str = ACCENT,
    height: float = 52,
) -> None:
    canvas.box(left, top, width, height, fill=PAPER, stroke=stroke)
    canvas.text(left + 12, top + height / 2 + 7, step, size=19, fill=INK)
    canvas.text(left + 42, top + height / 2 - 4, name, size=13, bold=True, width=width - 150)
    canvas.text(left + 42, top + height / 2 + 14, words, size=11.5, mono=True, width=width - 54)
    if note:
        canvas.text(left + width - 12, top + height / 2 - 4, note, size=12, anchor="end", bold=True)


def _underlay(canvas: Canvas, path: PacketPath, top: float) -> None:
    canvas.box(_MARGIN, top, WIDTH - 2 * _MARGIN, 46, fill=NETWORK_WASH, stroke=MUTED)
    canvas.text(_MARGIN + 28, top + 31, "⑤", size=19)
    canvas.text(_MARGIN + 58, top + 20, f"cluster network {path.underlay}", size=13, bold=True)
    words = f"an ordinary UDP packet: {path.source.node_address} to {path.target.node_address}, port {path.port}"
    canvas.text(_MARGIN + 58, top + 37, words, size=12)


def _packets(canvas: Canvas, path: PacketPath, top: float) -> float:
    widths = [_width(part) for part in path.parts]
    left = (WIDTH - sum(widths)) / 2
    places = [left + sum(widths[:place]) for place in range(len(widths))]
    first = next(place for place, part in enumerate(path.parts) if _is_inner(part))
    inner = sum(part.length for part in path.parts[first:])
    whole = sum(part.length for part in path.parts)
    canvas.text(left, top + 12, f"① the frame that {path.source.container} sends: {inner} bytes", size=13, bold=True)
    for part, x, width in list(zip(path.parts, places, widths, strict=True))[first:]:
        _part(canvas, part, x, top + 22, width, fill=PAPER, stroke=ACCENT)
    second = top + 22 + _PART_HEIGHT + 46
    for x in (places[first], places[-1] + widths[-1]):
        canvas.line(x, top + 22 + _PART_HEIGHT, x, second, stroke=FAINT, thick=1)
    canvas.text(left, second - 10, f"⑤ the frame on the wire: {whole} bytes", size=13, bold=True)
    for part, x, width in zip(path.parts, places, widths, strict=True):
        fill = BRIDGE_WASH if part.added else PAPER
        _part(canvas, part, x, second, width, fill=fill, stroke=WARN if part.added else ACCENT)
    _brace(canvas, path, places, widths, second + _PART_HEIGHT + 8)
    return second + _PART_HEIGHT + 62


def _is_inner(part: Part) -> bool:
    return part.name.startswith("inner")


def _width(part: Part) -> float:
    return min(_MOST, max(_LEAST, 9.5 * len(part.name), part.length * _PIXELS_A_BYTE))


def _part(canvas: Canvas, part: Part, x: float, y: float, width: float, *, fill: str, stroke: str) -> None:
    canvas.box(x, y, width, _PART_HEIGHT, fill=fill, stroke=stroke, radius=0)
    canvas.text(x + width / 2, y + 19, part.name, size=11.5, anchor="middle", width=width)
    canvas.text(x + width / 2, y + 37, str(part.length), size=13, anchor="middle", bold=True)


def _brace(canvas: Canvas, path: PacketPath, places: Sequence[float], widths: Sequence[float], top: float) -> None:
    added = [place for place, part in enumerate(path.parts) if part.added]
    if not added:
        return
    start, end = places[added[0]] + 2, places[added[-1]] + widths[added[-1]] - 2
    canvas.line(start, top, start, top + 8, stroke=WARN)
    canvas.line(start, top + 8, end, top + 8, stroke=WARN)
    canvas.line(end, top, end, top + 8, stroke=WARN)
    sizes = " + ".join(str(path.parts[place].length) for place in added)
    words = f"{sizes} = {path.overhead} bytes between the nodes' IP packet and the containers'"
    canvas.text(start, top + 26, words, size=12.5, bold=True)
    if path.source.node_mtu and path.source.mtu:
        left = f"{path.source.node_mtu} − {path.overhead} = {path.source.node_mtu - path.overhead}"
        words = f"an MTU of {left} bytes is left for the containers (theirs is {path.source.mtu})"
        canvas.text(start, top + 43, words, size=12)
