"""One ping between two containers, captured at both of their nodes and decoded layer by layer.

No tcpdump is needed: each node runs a few lines of perl (``capture.pl``) that read a packet socket. The only user of
scapy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, InputError, NodeError
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import NetworkFacts, read_network
from runbook_lib.facts.overlay.hidden_namespace import OverlayLink, read_hidden_namespace
from runbook_lib.facts.sections import reading
from runbook_lib.model.results import Check, Verdict
from runbook_lib.transport.ssh import without_marks
from runbook_lib.verify.ping_matrix import on_two_nodes
from runbook_lib.verify.prober import program

Direction = Literal["sent", "received"]
Layer = Literal[
    "outer Ethernet", "outer IPv4", "UDP", "VXLAN", "inner Ethernet", "inner IPv4", "ICMP", "ping's own data"
]

# The headers that the underlay's IP packet has in addition to the overlay's.
OVERHEAD: tuple[Layer, ...] = ("outer IPv4", "UDP", "VXLAN", "inner Ethernet")

_ECHO = {8: "echo request", 0: "echo reply"}


@dataclass(frozen=True)
class Header:
    """One header: its length in bytes, source and destination (MAC, address or UDP port), and other fields."""

    layer: Layer
    length: int
    source: str
    destination: str
    says: str


@dataclass(frozen=True)
class WirePacket:
    """One VXLAN packet as one node's interface sent or received it.

    ``time`` is the node's clock in seconds since the epoch. ``what`` is ``echo request``, ``echo reply``, ``fragment``
    or ``other``; ``inner`` is the overlay's frame, which arrives unchanged.
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
    """Decode a captured frame; ``None`` if it is not a VXLAN packet with IPv4 inside.

    Raises:
        ValueError: the frame ends in the middle of a header.
    """
    # scapy is slow to import: only when needed
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
    # a frame may be padded to Ethernet's minimum length
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


# Limits only: a capture ends with the ping, and records only packets between the two containers.
SECONDS = 15.0
_LIMIT = 200
_VXLAN_OVERHEAD = 50
_NEEDS = "capturing needs root over SSH (sudo), nsenter, and perl with Socket and POSIX"


@dataclass(frozen=True)
class Capture:
    """The packets of one ping from ``source`` to ``target``.

    ``sender`` and ``receiver`` are their containers, ``tunnel`` is the VXLAN interface on the sender's node. Without
    packets, ``impossible`` says why the nodes could not capture.
    """

    source: ContainerFacts
    target: ContainerFacts
    network: str
    tunnel: OverlayLink | None
    packets: tuple[WirePacket, ...]
    checks: tuple[Check, ...]
    impossible: str = ""


def capture_ping(cluster: Cluster, source: str, target: str, network: str, *, size: int = 56) -> Capture:
    """Ping once with ``size`` bytes of data and capture it on the cluster's network at both nodes.

    Changes nothing. A node that cannot capture (no perl, no root) gives a result without packets that says why.

    Raises:
        PreconditionError: no such containers, not running, not on the network.
        InputError: both on one node, or an impossible size.
        UnreachableError: a node cannot be reached.
    """
    if not 0 <= size <= 65507:
        raise InputError(f"a ping cannot carry {size} bytes", place="size", remedy="0 to 65507")
    one, other = on_two_nodes(cluster, source, target, network)
    facts = read_network(cluster.node(one.node), network)
    tunnel = _tunnel(cluster.node(one.node), facts)
    if facts is not None and "encrypted" in facts.options:
        return _impossible(one, other, network, tunnel, f"{network} is encrypted: only ESP is visible on the wire")
    nodes = (cluster.node(one.node), cluster.node(other.node))
    ends = (one.addresses[network], other.addresses[network])
    vni = tunnel.vni if tunnel else None
    wanted = _Wanted(cluster.inventory.network.interface, (tunnel.port if tunnel else None) or 4789, *ends, vni)
    try:
        with ExitStack() as stack:
            taps = [stack.enter_context(_tap(node, wanted)) for node in nodes]
            answered = _ping(nodes[0], one, ends[1], size)
            packets = [packet for tap, node in zip(taps, nodes, strict=True) for packet in tap.packets(node.name)]
    except CommandError as error:
        return _impossible(one, other, network, tunnel, error.message)
    found = between(packets, *ends, vni)
    checks = judge(found, one, other, network, tunnel, answered, _addresses(cluster))
    return Capture(one, other, network, tunnel, found, checks)


def _tunnel(node: Node, facts: NetworkFacts | None) -> OverlayLink | None:
    hidden = read_hidden_namespace(node, facts.id) if facts is not None else None
    return hidden.vxlan if hidden is not None else None


def _addresses(cluster: Cluster) -> dict[str, str]:
    return {node.name: node.spec.cluster_address for node in cluster}


def _impossible(
    source: ContainerFacts, target: ContainerFacts, network: str, tunnel: OverlayLink | None, why: str
) -> Capture:
    check = Check("the ping is captured on the wire", source.node, Verdict.SKIP, found=why, remedy=_NEEDS)
    return Capture(source, target, network, tunnel, (), (check,), why)


@dataclass(frozen=True)
class _Wanted:
    """The capture filter: interface, VXLAN port, the two containers' addresses, VNI."""

    interface: str
    port: int
    one: str
    other: str
    vni: int | None

    @property
    def argv(self) -> tuple[str, ...]:
        """The program that captures them."""
        bounds = (f"{SECONDS:g}", str(_LIMIT))
        what = (self.one, self.other, *([] if self.vni is None else [str(self.vni)]))
        return ("perl", "-e", program("capture.pl"), self.interface, str(self.port), *bounds, *what)


class _Tap:
    """A running capture, ready when created; its packets can be read after the ping."""

    def __init__(self, node: Node, wanted: _Wanted, stack: ExitStack) -> None:
        self._channel = node.ssh.stream(wanted.argv, sudo=True)
        stack.callback(self._channel.close)
        # perl ends by itself; this is the limit for a hanging node
        self._channel.settimeout(SECONDS + 10)
        self._output = self._channel.makefile("r")
        try:
            ready = self._output.readline().strip()
        except TimeoutError as error:
            raise CommandError(
                node.name, wanted.argv[:1], exit_status=None, reason="no output", remedy=_NEEDS
            ) from error
        if ready != "ready":
            complaint = without_marks("".join(self._channel.makefile_stderr("r")))
            raise CommandError(
                node.name,
                ("perl", "capture.pl", wanted.interface),
                exit_status=self._channel.recv_exit_status(),
                stderr=complaint,
                remedy=_NEEDS,
            )

    def packets(self, node: str) -> tuple[WirePacket, ...]:
        """End the capture and decode its packets."""
        self._channel.shutdown_write()
        with reading(node, "captured packets"):
            try:
                return parse_capture(node, "".join(self._output))
            except TimeoutError as error:
                raise NodeError(node, "the capture did not end", remedy="check the node's load") from error


@contextmanager
def _tap(node: Node, wanted: _Wanted) -> Iterator[_Tap]:
    with ExitStack() as stack:
        yield _Tap(node, wanted, stack)


def _ping(node: Node, source: ContainerFacts, address: str, size: int) -> bool:
    namespace = f"--net=/proc/{source.pid}/ns/net"
    words = ("nsenter", namespace, "ping", "-c", "1", "-W", "2", "-s", str(size), address)
    return node.ssh.run(words, sudo=True, check=False, timeout=10).exit_status == 0


def parse_capture(node: str, text: str) -> tuple[WirePacket, ...]:
    """The packets in the output of capture.pl.

    Raises:
        ValueError: the capture or a packet was cut off.
    """
    if not re.search(r"^end\t\d+$", text, re.MULTILINE):
        raise ValueError("the capture was cut off")
    found = []
    for time, direction, frame in re.findall(r"^packet\t([\d.]+)\t(sent|received)\t([0-9a-f]+)$", text, re.MULTILINE):
        way: Direction = "sent" if direction == "sent" else "received"
        packet = decode(node, way, float(time), bytes.fromhex(frame))
        if packet is not None:
            found.append(packet)
    return tuple(found)


def judge(
    packets: Sequence[WirePacket],
    source: ContainerFacts,
    target: ContainerFacts,
    network: str,
    tunnel: OverlayLink | None,
    answered: bool,
    addresses: dict[str, str],
) -> tuple[Check, ...]:
    """Check the packets of one ping. ``addresses`` are the nodes' on the cluster's network."""

    def check(claim: str, expected: str, found: str, node: str = source.node) -> Check:
        verdict = Verdict.PASS if found == expected else Verdict.FAIL
        return Check(
            claim,
            node,
            verdict,
            expected,
            found,
            "" if found == expected else "repeat it; then use notebook 05_ping_tests",
        )

    left = [packet for packet in packets if packet.node == source.node and packet.direction == "sent"]
    came = [packet for packet in packets if packet.node == target.node and packet.direction == "received"]
    checks = [
        check("the ping is answered", "yes", "yes" if answered else "no"),
        check("it leaves its node inside a VXLAN packet", "yes", "yes" if left else "no"),
        check("the same packet arrives at the other node", "yes", "yes" if came else "no", target.node),
    ]
    if not left or not came:
        return tuple(checks)
    outer, inner = left[0].header("outer IPv4"), left[0].header("inner IPv4")
    ends = f"{addresses[source.node]} to {addresses[target.node]}"
    contained = f"{source.addresses[network]} to {target.addresses[network]}"
    vni = tunnel.vni if tunnel else None
    intact = [packet.inner for packet in left] == [packet.inner for packet in came]
    return (
        *checks,
        check("outside it goes from node to node", ends, f"{outer.source} to {outer.destination}"),
        check("inside it goes from container to container", contained, f"{inner.source} to {inner.destination}"),
        check("its VNI is that of the VXLAN interface", str(vni), str(left[0].vni)),
        check("it arrives untouched", "yes", "yes" if intact else "no", target.node),
        check("the headers in between cost 50 bytes", str(_VXLAN_OVERHEAD), str(left[0].overhead)),
    )
