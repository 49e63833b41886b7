"""Do the engines know each other in the gossip in which they tell where containers are?

An engine with a cluster store learns of its peers from there and only then opens port 7946. That comes after its API
answers: at once when the store ran before it, else with the next look at the store (one heartbeat, 20 s by default).
It matters, because an overlay's namespace that is made *before* never asks the peers for addresses it does not know
(libnetwork ``drivers/overlay/ov_network.go``: ``watchMiss`` starts only if serf is alive): names resolve, and pings
from that node vanish.

An open port is not enough. An engine tries each peer once, when it discovers it (``ov_serf.go``: ``nodeJoin``). Where
all start at once, all tries of one may come before the others listen, and no other needs to try that one any more: then
there are islands which do not know of each other, for ever, and pings between them vanish as well. So the engine is
asked whom it knows.

What an engine's gossip says: the answer to a push/pull request, in which members tell each other whom they know.

The engines' gossip (serf, on hashicorp/memberlist) exchanges its whole state over TCP: a byte for the kind of message,
a header with the number of members, then the members, all in MessagePack; mostly inside a compressed message (LZW).
A request that announces no member is answered all the same and changes nothing: that is ``REQUEST``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.host.ip import parse_listeners
from runbook_lib.facts.sections import read_sections, reading

PUSH_PULL, COMPRESSED = 6, 9
REQUEST = bytes([PUSH_PULL]) + b"\x83\xa5Nodes\x00\xacUserStateLen\x00\xa4Join\xc2"

_CLEAR, _END = 256, 257
_FIRST_WIDTH, _WIDEST = 9, 12
_ALIVE = (0, 1)  # alive, and suspected to be dead but not found so yet


@dataclass(frozen=True)
class Member:
    """A member of the gossip as another one knows it."""

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
        wrapped = _Reader(body).mapping()
        return parse_members(decompress(wrapped["Buf"]))
    if kind != bytes([PUSH_PULL]):
        raise ValueError(f"no push/pull message: {message[:16].hex(' ') or 'nothing'}")
    reader = _Reader(body)
    count = reader.mapping()["Nodes"]
    return tuple(_member(reader.mapping()) for _ in range(count))


def _member(data: Mapping[str, Any]) -> Member:
    # an IPv4 address may be mapped into IPv6
    address = ".".join(str(byte) for byte in data["Addr"][-4:])
    return Member(data["Name"].decode(), address, data["State"] in _ALIVE)


def decompress(data: bytes) -> bytes:
    """LZW as Go's ``compress/lzw`` writes it: least significant bit first, literals of 8 bits.

    Raises:
        ValueError: a code that cannot be.
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
    raise ValueError("compressed text without an end")


def _entry(code: int, table: Mapping[int, bytes], last: bytes | None, following: int) -> bytes:
    if code < _CLEAR:
        return bytes([code])
    if code in table:
        return table[code]
    if code == following and last is not None:
        return last + last[:1]
    raise ValueError(f"compressed text with the impossible code {code}")


# MessagePack's type byte: how its number, or the length of its bytes, is packed.
_NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """Reads MessagePack values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def mapping(self) -> dict[str, Any]:
        """The next value, which must be a short mapping from names to values."""
        kind = self._take(1)[0]
        if kind & 0xF0 != 0x80:
            raise ValueError(f"no mapping where one must be: type {kind:#x}")
        return {self._value().decode(): self._value() for _ in range(kind & 0x0F)}

    def _value(self) -> Any:
        kind = self._take(1)[0]
        if kind < 0x80:
            return kind
        if 0xA0 <= kind < 0xC0:
            return self._take(kind & 0x1F)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind in _BYTES:
            return self._take(self._number(_BYTES[kind]))
        if 0x90 <= kind < 0xA0:
            return [self._value() for _ in range(kind & 0x0F)]
        raise ValueError(f"a value of the unexpected type {kind:#x}")

    def _number(self, packed: str) -> int:
        return int(struct.unpack(packed, self._take(struct.calcsize(packed)))[0])

    def _take(self, count: int) -> bytes:
        if self._place + count > len(self._data):
            raise ValueError("the message was cut off")
        self._place += count
        return self._data[self._place - count : self._place]


GOSSIP_PORT = 7946

_SOCKETS = "section tcp cat /proc/net/tcp\nsection tcp6 cat /proc/net/tcp6\n"
_ANYWHERE = frozenset({"0.0.0.0", "::"})
# Standard input goes to the engine, its answer comes back in hexadecimal.
_EXCHANGE = """\
if command -v busybox >/dev/null; then timeout 5 busybox nc "$1" "$2"
else timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"; cat >&3; cat <&3' "$1" "$2"
fi | od -An -v -tx1
"""


@dataclass(frozen=True)
class Gossip:
    """Whom one engine knows: the addresses of the engines that it takes to be alive, its own (``address``) included.

    Both are empty when it does not gossip. ``trouble`` is why one that does was not heard. ``topics`` are what engines
    must have in common to hear of each other; ``None`` where all of them do.
    """

    node: str
    address: str = ""
    members: frozenset[str] = frozenset()
    topics: frozenset[str] | None = None
    trouble: str = ""

    def hears_of(self, other: Gossip) -> bool:
        """Whether it ought to know the other engine."""
        return self.topics is None or other.topics is None or bool(self.topics & other.topics)


def strangers(rows: Iterable[Gossip]) -> dict[str, tuple[str, ...]]:
    """For every engine that gossips, the nodes of other such engines that it does not know; empty tuples are good."""
    gossiping = [row for row in rows if row.address]
    return {
        row.node: tuple(other.node for other in gossiping if other.address not in row.members and row.hears_of(other))
        for row in gossiping
        if not row.trouble  # whom such a one knows, nobody can tell
    }


def splits(rows: Iterable[Gossip]) -> tuple[str, ...]:
    """What is wrong with the gossip, in a sentence each: of the one node that all of it has in common, if there is one,
    else of each engine that does not know another."""
    unknown = strangers(rows)
    common = common_stranger(unknown)
    if common:
        ends = [node for node, others in unknown.items() if node != common and common in others]
        ends += [other for other in unknown.get(common, ()) if other not in ends]
        return (f"{common}: its engine and those of {', '.join(sorted(ends))} do not know each other",)
    return tuple(f"{node}: its engine does not know {', '.join(others)}" for node, others in unknown.items() if others)


def common_stranger(unknown: Mapping[str, tuple[str, ...]]) -> str:
    """The node that is in every pair of ``strangers``; empty where there is not just one."""
    return common_node(frozenset((node, other)) for node, others in unknown.items() for other in others)


def common_node(ends: Iterable[frozenset[str]]) -> str:
    """The node that all broken connections have in common, given both ends of each; empty where that is not just one.

    A connection between two nodes alone says nothing of which of them is to blame.
    """
    pairs = set(ends)
    common = frozenset.intersection(*pairs) if pairs else frozenset[str]()
    return next(iter(common)) if len(common) == 1 else ""


def read_gossip(node: Node) -> Gossip:
    """Whom the node's engine knows.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: its kernel's list of sockets or its engine's answer is unreadable.
    """
    address = read_gossip_address(node)
    if not address:
        return Gossip(node.name)
    with reading(node.name, f"gossip of the engine at {address}"):
        answer = exchange(node, address, REQUEST)
        if not answer:
            trouble = f"its engine listens at {address}:{GOSSIP_PORT}, and nothing comes back from there"
            return Gossip(node.name, address, trouble=trouble)
        members = parse_members(answer)
    return Gossip(node.name, address, frozenset(member.address for member in members if member.alive))


def read_gossip_address(node: Node) -> str:
    """Where the node's engine gossips; empty when it does not. Raises as ``read_gossip``."""
    # it listens at the address that it advertises, never everywhere
    addresses = sorted(read_gossip_listeners(node) - _ANYWHERE)
    return addresses[0] if addresses else ""


def gossips_at(node: Node, address: str) -> bool:
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
        NodeError: the answer cannot be had (the engine is going down, or there is neither busybox nor bash).
    """
    argv = ["sh", "-c", _EXCHANGE, "sh", address, str(GOSSIP_PORT)]
    result = node.ssh.run(argv, stdin=message)
    with reading(node.name, f"gossip of the engine at {address}"):
        return bytes.fromhex(result.stdout)
