"""Which peers each engine knows through gossip, by which engines share where containers are.

An engine with a cluster store reads its peers there and only then opens port 7946: at once if the store ran before it,
else when it reads the store again (one heartbeat, 20 s by default). An overlay's namespace that is created *before*
never asks the peers for unknown addresses (libnetwork ``drivers/overlay/ov_network.go``: ``watchMiss`` starts only if
serf is alive): names resolve, but pings from that node are lost.

An open port is not enough. An engine contacts each peer once, when it discovers it (``ov_serf.go``: ``nodeJoin``). If
all engines start at once, all attempts of one may come before the others listen, and nothing retries: the gossip stays
partitioned, and pings between the partitions are lost. So each engine is asked which members it knows.

The gossip (serf, on hashicorp/memberlist) exchanges its whole state over TCP: a byte for the kind of message, a header
with the number of members, then the members, all in MessagePack, usually inside a compressed message (LZW). A request
that announces no member is answered too and changes nothing: that is ``REQUEST``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.host.ip import parse_listeners
from runbook_lib.facts.sections import read_sections, reading

GOSSIP_PORT = 7946
PUSH_PULL, COMPRESSED = 6, 9
REQUEST = bytes([PUSH_PULL]) + b"\x83\xa5Nodes\x00\xacUserStateLen\x00\xa4Join\xc2"

_CLEAR, _END = 256, 257
_FIRST_WIDTH, _WIDEST = 9, 12
_ALIVE = (0, 1)  # alive, or suspected to be dead

_SOCKETS = "section tcp cat /proc/net/tcp\nsection tcp6 cat /proc/net/tcp6\n"
_ANYWHERE = frozenset({"0.0.0.0", "::"})
# Standard input goes to the engine, its answer comes back in hexadecimal.
_EXCHANGE = """\
if command -v busybox >/dev/null; then timeout 5 busybox nc "$1" "$2"
else timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"; cat >&3; cat <&3' "$1" "$2"
fi | od -An -v -tx1
"""


@dataclass(frozen=True)
class Member:
    """A member of the gossip as another member knows it."""

    name: str
    address: str
    alive: bool


def parse_members(message: bytes) -> tuple[Member, ...]:
    """The members in an answer to ``REQUEST``.

    Raises:
        ValueError: not such an answer.
    """
    kind, body = message[:1], message[1:]
    if kind == bytes([COMPRESSED]):
        return parse_members(decompress(_next_mapping(_unpacker(body))[b"Buf"]))
    if kind != bytes([PUSH_PULL]):
        raise ValueError(f"not a push/pull message: {message[:16].hex(' ') or 'empty'}")
    unpacker = _unpacker(body)
    count = _next_mapping(unpacker)[b"Nodes"]
    return tuple(_member(_next_mapping(unpacker)) for _ in range(count))


def _unpacker(data: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(strict_map_key=False, raw=True)
    unpacker.feed(data)
    return unpacker


def _member(data: Mapping[bytes, Any]) -> Member:
    # an IPv4 address may be mapped into IPv6
    address = ".".join(str(byte) for byte in data[b"Addr"][-4:])
    return Member(data[b"Name"].decode(), address, data[b"State"] in _ALIVE)


def decompress(data: bytes) -> bytes:
    """LZW as Go's ``compress/lzw`` writes it: least significant bit first, literals of 8 bits.

    Raises:
        ValueError: an impossible code, or no end.
    """
    result = bytearray()
    table: dict[int, bytes] = {}
    last: bytes | None = None
    width, following, bits, count = _FIRST_WIDTH, _END, 0, 0
    for byte in data:
        bits |= byte << count
        count += 8
        if count < width:
            continue
        code = bits & ((1 << width) - 1)
        bits >>= width
        count -= width
        if code == _END:
            return bytes(result)
        if code == _CLEAR:
            table, last, width, following = {}, None, _FIRST_WIDTH, _END
            continue
        entry = _entry(code, table, last, following)
        if last is not None:
            table[following] = last + entry[:1]
        result += entry
        last, following = entry, following + 1
        if following == 1 << width and width < _WIDEST:
            width += 1
        elif following == 1 << width:
            last, following = None, following - 1
    raise ValueError("compressed data without an end")


def _entry(code: int, table: Mapping[int, bytes], last: bytes | None, following: int) -> bytes:
    if code < _CLEAR:
        return bytes([code])
    if code in table:
        return table[code]
    if code == following and last is not None:
        return last + last[:1]
    raise ValueError(f"compressed data with the impossible code {code}")


def _next_mapping(unpacker: msgpack.Unpacker) -> dict[bytes, Any]:
    try:
        value = unpacker.unpack()
    except msgpack.OutOfData:
        raise ValueError("the message was cut off") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a MessagePack map: {value!r}")
    return value


@dataclass(frozen=True)
class Gossip:
    """The peers that one engine knows: the addresses of live engines, its own (``address``) included.

    Both are empty if it does not gossip. ``trouble`` is why it gave no answer. ``topics`` are the networks that engines
    must share to know each other; ``None`` where all know all.
    """

    node: str
    address: str = ""
    members: frozenset[str] = frozenset()
    topics: frozenset[str] | None = None
    trouble: str = ""

    def should_know(self, other: Gossip) -> bool:
        """Whether it ought to know the other engine."""
        return self.topics is None or other.topics is None or bool(self.topics & other.topics)


def unknown_peers(rows: Iterable[Gossip]) -> dict[str, tuple[str, ...]]:
    """Per gossiping engine, the nodes of other such engines that it does not know (empty: it knows all)."""
    gossiping = [row for row in rows if row.address]
    return {
        row.node: tuple(
            other.node for other in gossiping if other.address not in row.members and row.should_know(other)
        )
        for row in gossiping
        if not row.trouble  # its peers could not be read
    }


def gossip_faults(rows: Iterable[Gossip]) -> tuple[str, ...]:
    """One sentence per fault: about the one node that all faults share, if there is one, else about each engine that
    does not know another."""
    unknown = unknown_peers(rows)
    common = common_unknown_peer(unknown)
    if common:
        ends = [node for node, others in unknown.items() if node != common and common in others]
        ends += [other for other in unknown.get(common, ()) if other not in ends]
        return (f"{common}: its engine and those of {', '.join(sorted(ends))} do not know each other",)
    return tuple(f"{node}: its engine does not know {', '.join(others)}" for node, others in unknown.items() if others)


def common_unknown_peer(unknown: Mapping[str, tuple[str, ...]]) -> str:
    """The one node that is in every pair of ``unknown_peers``; empty if there is none."""
    return common_node(frozenset((node, other)) for node, others in unknown.items() for other in others)


def common_node(ends: Iterable[frozenset[str]]) -> str:
    """The one node that all broken connections share, given both ends of each; empty if there is none.

    A single broken connection does not show which of its two nodes is at fault.
    """
    pairs = set(ends)
    common = frozenset.intersection(*pairs) if pairs else frozenset[str]()
    return next(iter(common)) if len(common) == 1 else ""


def read_gossip(node: Node) -> Gossip:
    """The peers that the node's engine knows.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: its kernel's list of sockets or its engine's answer is not understood.
    """
    address = read_gossip_address(node)
    if not address:
        return Gossip(node.name)
    with reading(node.name, f"gossip of the engine at {address}"):
        answer = exchange(node, address, REQUEST)
        if not answer:
            trouble = f"its engine listens at {address}:{GOSSIP_PORT} but sends no answer"
            return Gossip(node.name, address, trouble=trouble)
        members = parse_members(answer)
    return Gossip(node.name, address, frozenset(member.address for member in members if member.alive))


def read_gossip_address(node: Node) -> str:
    """The address at which the node's engine gossips; empty if it does not. Raises as ``read_gossip``."""
    # it listens at its advertised address, never at all addresses
    addresses = sorted(read_gossip_listeners(node) - _ANYWHERE)
    return addresses[0] if addresses else ""


def listens_for_gossip(node: Node, address: str) -> bool:
    """Whether something listens at the gossip port of an address of the node. Raises as ``read_gossip``."""
    return bool(read_gossip_listeners(node) & {address, *_ANYWHERE})


def read_gossip_listeners(node: Node) -> frozenset[str]:
    """The addresses at which something listens on the gossip port, ``0.0.0.0`` or ``::`` for all of the node's.

    Raises as ``read_gossip``.
    """
    sections = read_sections(node, _SOCKETS)
    if sections["tcp"].exit_status != 0:
        raise NodeError(node.name, f"cannot list sockets: {sections['tcp'].text.strip()}")
    # a kernel without IPv6 has no such list
    texts = [section.text for section in sections.values() if section.exit_status == 0]
    with reading(node.name, "list of sockets"):
        listeners = [listener for text in texts for listener in parse_listeners(text, "tcp")]
    return frozenset(address for address, port, _ in listeners if port == GOSSIP_PORT)


def exchange(node: Node, address: str, message: bytes) -> bytes:
    """Send one message to the gossip port at ``address`` from the node itself; return the answer.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: no answer (the engine is shutting down, or the node has neither busybox nor bash).
    """
    argv = ["sh", "-c", _EXCHANGE, "sh", address, str(GOSSIP_PORT)]
    result = node.ssh.run(argv, stdin=message)
    with reading(node.name, f"gossip of the engine at {address}"):
        return bytes.fromhex(result.stdout)
