"""Who answers at an address on a node's link, by ARP probes (duplicate address detection)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.reading import read_sections, reading

_REPLY = re.compile(r"(?:Unicast|Broadcast) reply from \S+ \[([0-9A-Fa-f:]+)\]")
_SUMMARY = re.compile(r"Received (\d+) ")

# A probe names no sender (-D), so it changes nobody's ARP table. Unanswered it lasts two seconds; all are sent at
# once. Each one's output is kept in a variable: a reading leaves no file behind.
_ARP_SCRIPT = """\
interface=$1
shift
if busybox arping --help >/dev/null 2>&1; then tool='busybox arping'; else tool=arping; fi
probe() {
    $tool -D -c 2 -w 2 -I "$interface" "$1"
}
for address in "$@"; do
    (output=$(section "$address" probe "$address"); printf '%s\\n' "$output") &
done
wait
"""


def arp_owner(node: Node, interface: str, address: str) -> str | None:
    """The MAC that answers at ``address`` on the link of ``interface``, or ``None``.

    A node's own addresses do not answer its own probe.

    Raises:
        NodeError: the probe cannot be sent (no such interface, no ``arping``).
    """
    return arp_owners(node, interface, [address])[address]


def arp_owners(node: Node, interface: str, addresses: Sequence[str]) -> dict[str, str | None]:
    """``arp_owner`` for many addresses, all probed at once in one round trip (at most two seconds)."""
    if not addresses:
        return {}
    sections = read_sections(node, _ARP_SCRIPT, interface, *addresses, sudo=True)
    if any(section.exit_status == 127 for section in sections.values()):
        raise NodeError(
            node.name,
            "there is no arping, so nobody can tell whether an address is free",
            remedy="install iputils-arping or busybox on the node",
        )
    with reading(node.name, f"ARP probe on {interface}"):
        return {address: parse_arping(sections[address].text) for address in addresses}


def parse_arping(text: str) -> str | None:
    """The MAC in the output of ``arping -D`` (iputils or busybox), in lower case, or ``None`` if nobody answered.

    Raises:
        ValueError: the output does not say how many answers came, so the probe was not made.
    """
    summary = _SUMMARY.search(text)
    if summary is None:
        raise ValueError(text.strip() or "arping said nothing")
    reply = _REPLY.search(text)
    if reply is not None:
        return reply[1].lower()
    if summary[1] != "0":
        raise ValueError(f"arping counted {summary[1]} answers and showed none: {text.strip()!r}")
    return None
