"""VXLAN packets taken apart, layer by layer. The one module that knows scapy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["sent", "received"]
Layer = Literal[
    "outer Ethernet", "outer IPv4", "UDP", "VXLAN", "inner Ethernet", "inner IPv4", "ICMP", "ping's own data"
]

# What the underlay's IP packet has more than the overlay's: these headers stand between the two.
OVERHEAD: tuple[Layer, ...] = ("outer IPv4", "UDP", "VXLAN", "inner Ethernet")

_ECHO = {8: "echo request", 0: "echo reply"}


@dataclass(frozen=True)
class Header:
    """One header: its length in bytes, from and to whom (MAC, address or UDP port), and what else it says."""

    layer: Layer
    length: int
    source: str
    destination: str
    says: str


@dataclass(frozen=True)
class WirePacket:
    """One VXLAN packet as one node's interface sent or received it.

    ``time`` is the node's clock in seconds since the epoch. ``what`` is ``echo request``, ``echo reply``, ``fragment``
    or ``other``; ``inner`` the overlay's frame, which travels untouched.
    """

    node: str
    direction: Direction
    time: float
    what: str
    vni: int
    headers: tuple[Header, ...]
    inner: bytes

    def header(self, layer: Layer) -> Header:
        """One of its headers. Raises ``KeyError``."""
        for header in self.headers:
            if header.layer == layer:
                return header
        raise KeyError(layer)

    def length_from(self, layer: Layer) -> int:
        """Bytes from that header's first to the packet's last."""
        place = [header.layer for header in self.headers].index(layer)
        return sum(header.length for header in self.headers[place:])

    @property
    def overhead(self) -> int:
        """How many bytes longer the underlay's IP packet is than the overlay's."""
        return self.length_from("outer IPv4") - self.length_from("inner IPv4")


def decode(node: str, direction: Direction, time: float, frame: bytes) -> WirePacket | None:
    """Take a captured frame apart; ``None`` for one that is no VXLAN packet with IPv4 inside.

    Raises:
        ValueError: the frame ends in the middle of a header.
    """
    # opening a notebook must not pay for scapy's import
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.layers.vxlan import VXLAN

    layers = Ether(frame)
    if not (layers.haslayer(UDP) and layers.haslayer(VXLAN)):
        return None
    outer, tunnel = layers[IP], layers[VXLAN]
    inner = tunnel.payload
    if not inner.haslayer(IP):
        return None
    packet = inner[IP]
    headers = [
        _ethernet("outer Ethernet", layers),
        _ip("outer IPv4", outer),
        _header("UDP", 8, outer[UDP].sport, outer[UDP].dport, f"{outer[UDP].len} bytes"),
        _header("VXLAN", 8, "", "", f"VNI {tunnel.vni}"),
        _ethernet("inner Ethernet", inner),
        _ip("inner IPv4", packet),
    ]
    what, rest = "other", packet.len - 4 * packet.ihl
    if packet.frag:
        what = "fragment"
    elif packet.haslayer(ICMP) and packet[ICMP].type in _ECHO:
        what = _ECHO[packet[ICMP].type]
        headers.append(_header("ICMP", 8, "", "", f"{what} {packet[ICMP].seq}"))
        rest -= 8
    headers.append(_header("ping's own data", rest, "", "", ""))
    whole = sum(header.length for header in headers)
    if whole > len(frame):
        raise ValueError(f"a packet of {whole} bytes of which {len(frame)} were captured")
    # a frame may be padded to Ethernet's least length
    carried = bytes(inner.original[: sum(header.length for header in headers[4:])])
    return WirePacket(node, direction, time, what, int(tunnel.vni), tuple(headers), carried)


def _ethernet(layer: Layer, frame: Any) -> Header:
    kind = "IPv4" if frame.type == 0x0800 else f"type {frame.type:#06x}"
    return _header(layer, 14, frame.src, frame.dst, kind)


def _ip(layer: Layer, packet: Any) -> Header:
    protocol = {1: "ICMP", 17: "UDP"}.get(packet.proto, f"protocol {packet.proto}")
    fragment = f", fragment at byte {packet.frag * 8}" if packet.frag else ""
    more = ", more fragments follow" if "MF" in packet.flags else ""
    says = f"{protocol}, {packet.len} bytes, TTL {packet.ttl}{fragment}{more}"
    return _header(layer, 4 * packet.ihl, packet.src, packet.dst, says)


def _header(layer: Layer, length: int, source: object, destination: object, says: str) -> Header:
    return Header(layer, int(length), str(source), str(destination), says)


def between(packets: Sequence[WirePacket], one: str, other: str, vni: int | None) -> tuple[WirePacket, ...]:
    """The packets of one overlay between two of its addresses, in either direction."""
    pair = {one, other}
    return tuple(
        packet
        for packet in packets
        if {packet.header("inner IPv4").source, packet.header("inner IPv4").destination} == pair
        and vni in (None, packet.vni)
    )
