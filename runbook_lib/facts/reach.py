"""Whether a node reaches an address: by ping, by what is served there, and under which MAC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import Section, read_sections, reading

_SENT = re.compile(r"(\d+) packets transmitted, (\d+)(?: packets)? received")
# The last line of iputils says "rtt min/avg/max/mdev", that of busybox "round-trip min/avg/max".
_TIMES = re.compile(r"min/avg/max\S* = [\d.]+/([\d.]+)/")
_MAC = re.compile(r"lladdr ([0-9a-f:]{17})")

# Two seconds at most for an address that does not answer; all are asked at once. netcat is everywhere, and unlike
# bash's /dev/tcp it gives up by itself. Each one's output is kept in a variable: a reading leaves no file behind.
_SCRIPT = """\
interface=$1 port=$2
shift 2
if busybox nc --help >/dev/null 2>&1; then netcat='busybox nc'; else netcat=nc; fi
fetch() { printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 $netcat -w 2 "$1" "$port"; }
fetch_section() {
    echo "#>> web $1"
    fetch "$1" 2>/dev/null
    ended=$?
    echo "
#<< web $1 $ended"
}
look() {
    section "ping $1" ping -c 2 -W 1 "$1"
    fetch_section "$1"
    section "neighbour $1" ip neigh show to "$1" dev "$interface"
}
for address in "$@"; do
    (output=$(look "$address"); printf '%s\\n' "$output") &
done
wait
"""


@dataclass(frozen=True)
class Reach:
    """What one node sees at an address.

    ``ping_ms`` is the mean round trip, ``None`` when no echo request was answered; ``answer`` the first line that is
    served there, empty when nothing is; ``mac`` the neighbour's on the cluster's interface, empty when there is none
    (the node's own addresses have none).
    """

    node: str
    address: str
    sent: int
    received: int
    ping_ms: float | None
    answer: str
    mac: str

    @property
    def pinged(self) -> bool:
        """Whether every echo request was answered (the first may wait for ARP, it is not lost by it)."""
        return self.sent > 0 and self.received == self.sent


def read_reach(node: Node, interface: str, addresses: Sequence[str], port: int) -> tuple[Reach, ...]:
    """Ping each address from a node and fetch what it serves at a TCP port; all at once, in at most four seconds.

    Raises:
        UnreachableError, NodeError: the node does not answer, or answers nonsense.
    """
    if not addresses:
        return ()
    sections = read_sections(node, _SCRIPT, interface, str(port), *addresses, sudo=True)
    with reading(node.name, "pings"):
        return tuple(
            parse_reach(
                node.name,
                address,
                sections[f"ping {address}"].text,
                sections[f"web {address}"],
                sections[f"neighbour {address}"].text,
            )
            for address in addresses
        )


def parse_reach(node: str, address: str, ping: str, web: Section, neighbour: str) -> Reach:
    """One reading, from the texts of ``ping``, of the HTTP answer, and of ``ip neigh``.

    Raises:
        ValueError: the ping does not say how many requests were sent and answered.
    """
    counts = _SENT.search(ping)
    if counts is None:
        raise ValueError(ping.strip() or "ping said nothing")
    times = _TIMES.search(ping)
    mac = _MAC.search(neighbour)
    head, _, body = web.text.replace("\r\n", "\n").partition("\n\n")
    lines = body.strip().splitlines() if head.startswith("HTTP/") else []
    return Reach(
        node=node,
        address=address,
        sent=int(counts[1]),
        received=int(counts[2]),
        ping_ms=float(times[1]) if times else None,
        answer=lines[0] if lines else "",
        mac=mac[1] if mac else "",
    )
