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
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.memberlist import REQUEST, parse_members
from runbook_lib.facts.reading import read_sections, reading

GOSSIP_PORT = 7946

_LISTEN = "0A"
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
        listeners = frozenset[tuple[str, int]]().union(*(parse_listeners(text) for text in texts))
    return frozenset(address for address, port in listeners if port == GOSSIP_PORT)


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


def parse_listeners(text: str) -> frozenset[tuple[str, int]]:
    """Address and port of listening sockets in the text of ``/proc/net/tcp`` or ``tcp6``. Raises ``ValueError``."""
    found = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or ":" not in fields[1]:
            raise ValueError(f"not a socket: {line!r}")
        if fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            found.add((_dotted(address), int(port, 16)))
    return frozenset(found)


def _dotted(hexadecimal: str) -> str:
    """``6853A8C0`` as 192.168.83.104: the kernel writes an address as numbers of the machine's byte order."""
    packed = bytes.fromhex(hexadecimal)
    words = [packed[place : place + 4] for place in range(0, len(packed), 4)]
    ordered = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ip_address(ordered))
