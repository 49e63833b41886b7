"""Has an engine joined the gossip in which engines tell each other where containers are?

An engine with a cluster store learns of its peers from there and only then opens port 7946. That comes after its API
answers: at once when the store ran before it, else with the next look at the store (one heartbeat, 20 s by default).
It matters, because an overlay's namespace that is made *before* never asks the peers for addresses it does not know
(libnetwork ``drivers/overlay/ov_network.go``: ``watchMiss`` starts only if serf is alive): names resolve, and pings
from that node vanish.
"""

from __future__ import annotations

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.reading import read_sections, reading

GOSSIP_PORT = 7946

_LISTEN = "0A"
_SCRIPT = "section tcp cat /proc/net/tcp\nsection tcp6 cat /proc/net/tcp6\n"


def read_gossip(node: Node) -> bool:
    """True when something listens on the gossip port of this node.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: its kernel's list of sockets is unreadable.
    """
    sections = read_sections(node, _SCRIPT)
    if sections["tcp"].exit_status != 0:
        raise NodeError(node.name, f"cannot list sockets: {sections['tcp'].text.strip()}")
    with reading(node.name, "list of sockets"):
        ports = parse_listeners(sections["tcp"].text)
        if sections["tcp6"].exit_status == 0:  # absent where IPv6 is off
            ports |= parse_listeners(sections["tcp6"].text)
    return GOSSIP_PORT in ports


def parse_listeners(text: str) -> frozenset[int]:
    """The ports of listening sockets in the text of ``/proc/net/tcp``. Raises ``ValueError``."""
    ports = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or ":" not in fields[1]:
            raise ValueError(f"not a socket: {line!r}")
        if fields[3] == _LISTEN:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(ports)
