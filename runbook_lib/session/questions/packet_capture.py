"""One captured ping: its packets, its headers, and its path as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from runbook_lib.charts.packet_path import End, PacketPath, Part, packet_path, path_text
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace
from runbook_lib.facts.overlay.interfaces import HostInterface, Inside
from runbook_lib.model.inventory import ClusterNetwork
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import DECIMAL, WHOLE, Column, Table, document_columns
from runbook_lib.verify.capture import OVERHEAD, Capture, Header, WirePacket


def _from_to(header: Header) -> str:
    return f"{header.source} → {header.destination}"


PACKETS = Table[tuple[WirePacket, float]](
    "One row per packet and node.",
    Column("node", lambda row: row[0].node),
    Column("direction", lambda row: row[0].direction, meaning="``sent`` or ``received``"),
    Column("what", lambda row: row[0].what),
    Column("outer from → to", lambda row: _from_to(row[0].header("outer IPv4")), meaning="the nodes' addresses"),
    Column("inner from → to", lambda row: _from_to(row[0].header("inner IPv4")), meaning="the containers' addresses"),
    Column("outer IP", lambda row: row[0].length_from("outer IPv4"), WHOLE, "bytes"),
    Column("inner IP", lambda row: row[0].length_from("inner IPv4"), WHOLE, "bytes"),
    Column("after", lambda row: round((row[0].time - row[1]) * 1000, 3), DECIMAL, "ms", "the node's first packet"),
)


class _OwnedHeader(NamedTuple):
    header: Header
    overhead: int
    between: str


HEADERS = Table[_OwnedHeader](
    "One row per header, from the packet's first byte to its last.",
    Column("header", lambda row: row.header.layer),
    Column("bytes", lambda row: row.header.length, WHOLE),
    Column("overhead", lambda row: row.overhead, WHOLE, "bytes", "what is there only because of the overlay"),
    Column("from", lambda row: row.header.source),
    Column("to", lambda row: row.header.destination),
    Column("says", lambda row: row.header.says),
    Column("between", lambda row: row.between, meaning="whose addresses these are"),
)
# Drawn if no packet could be captured: a ping of 56 bytes without IP options.
_NOMINAL = (14, 20, 8, 8, 14, 20, 8, 56)
_NAMES = ("outer Ethernet", "outer IPv4", "UDP", "VXLAN", "inner Ethernet", "inner IPv4", "ICMP", "data")


@dataclass(frozen=True)
class CaptureContext:
    """The interfaces that the packet passes, by node (by container for ``insides``)."""

    underlay: ClusterNetwork
    hidden: Mapping[str, HiddenNamespace] = field(default_factory=dict)
    insides: Mapping[str, Inside] = field(default_factory=dict)
    hosts: Mapping[str, HostInterface] = field(default_factory=dict)


@dataclass(frozen=True)
class CapturedPing:
    """A captured ping; ``capture`` is ``None`` in plan mode without containers."""

    capture: Capture | None
    capture_context: CaptureContext

    @property
    @document_columns(PACKETS)
    def table(self) -> pd.DataFrame:
        """All packets that the nodes captured."""
        packets = self.capture.packets if self.capture else ()
        first: dict[str, float] = {}
        for packet in packets:
            first[packet.node] = min(packet.time, first.get(packet.node, packet.time))
        return PACKETS((packet, first[packet.node]) for packet in packets)

    @property
    @document_columns(HEADERS)
    def headers(self) -> pd.DataFrame:
        """The headers of the first packet."""
        rows = []
        for header in self._first.headers if self._first else ():
            whose = f"{self._owner(header.source)} → {self._owner(header.destination)}"
            overhead = header.length if header.layer in OVERHEAD else 0
            rows.append(_OwnedHeader(header, overhead, whose if self._owner(header.source) else ""))
        return HEADERS(rows)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The verdicts."""
        if self.capture is None:
            return (Check("a ping is captured", "", Verdict.SKIP, found="plan mode: no containers to ping between"),)
        return self.capture.checks

    @property
    def overhead(self) -> int | None:
        """Bytes by which the nodes' IP packet is longer than the containers'; ``None`` without a captured packet."""
        return self._first.overhead if self._first else None

    @property
    def request_count(self) -> int:
        """How many packets left the sender's node: more than one if the ping was fragmented."""
        if self.capture is None:
            return 0
        source = self.capture.source.node
        return sum(packet.node == source and packet.direction == "sent" for packet in self.capture.packets)

    def picture(self) -> Picture | None:
        """The packet's path from container to container; ``None`` in plan mode without containers."""
        if self.capture is None:
            return None
        path = self._path(self.capture)
        return Picture(packet_path(path), path_text(path))

    @property
    def _first(self) -> WirePacket | None:
        packets = self.capture.packets if self.capture else ()
        return next((packet for packet in packets if packet.direction == "sent"), None)

    def _owner(self, address: str) -> str:
        """The owner of a MAC or IP address, such as ``node3 eth1``; empty if unknown."""
        for node, host in self.capture_context.hosts.items():
            if address and address in (host.mac, host.address.partition("/")[0]):
                return f"{node} {host.name}"
        for name, inside in self.capture_context.insides.items():
            for item in inside.interfaces:
                if address and item.name != "lo" and address in (item.mac, item.address):
                    return f"{name} {item.name}"
        return ""

    def _path(self, capture: Capture) -> PacketPath:
        first = self._first
        sizes = [header.length for header in first.headers] if first and len(first.headers) == len(_NAMES) else _NOMINAL
        tunnel = capture.tunnel
        return PacketPath(
            network=capture.network,
            vni=tunnel.vni if tunnel else None,
            port=(tunnel.port if tunnel else None) or 4789,
            underlay=self.capture_context.underlay.subnet,
            source=self._end(capture.source, capture.target, capture.network),
            target=self._end(capture.target, capture.source, capture.network),
            parts=[Part(name, size, name in OVERHEAD) for name, size in zip(_NAMES, sizes, strict=True)],
        )

    def _end(self, item: ContainerFacts, other: ContainerFacts, network: str) -> End:
        context = self.capture_context
        hidden, inside = context.hidden.get(item.node), context.insides.get(item.name)
        host = context.hosts.get(item.node)
        own = [link for link in (inside.interfaces if inside else ()) if link.address == item.addresses[network]]
        ends = (own[0].peer_index, own[0].index) if own and own[0].peer_index else None
        links = [link for link in (hidden.links if hidden else ()) if (link.index, link.peer_index) == ends]
        rows = hidden.forwarding if hidden else ()
        there = [row.vtep for row in rows if row.vtep and row.mac == other.macs.get(network)]
        return End(
            node=item.node,
            node_interface=context.underlay.interface,
            node_address=host.address.partition("/")[0] if host else "",
            node_mac=host.mac if host else "",
            node_mtu=host.mtu if host else None,
            namespace=hidden.name if hidden else "",
            bridge=hidden.bridge.name if hidden and hidden.bridge else "br0",
            tunnel=hidden.vxlan.name if hidden and hidden.vxlan else "vxlan0",
            veth=links[0].name if links else "",
            container=item.name,
            interface=own[0].name if own else "eth0",
            address=item.addresses[network],
            mac=item.macs.get(network, ""),
            mtu=own[0].mtu if own else None,
            leads_to=there[0] if there else "",
        )
