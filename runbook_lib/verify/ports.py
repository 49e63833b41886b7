"""Which ports are open between the nodes, proven by real packets.

TCP is connected to. For UDP nothing less than counting at the receiver proves anything: every node counts, behind
its own firewall, the probes that the others send it, so it does not matter who owns the port or whether anybody does.
Three round trips, each to all nodes at once: start counting, send, read the counters and remove the counting rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from runbook_lib.cluster import Cluster, Node
from runbook_lib.verify.prober import program

PROBES = 3
# Neither the first byte nor the length is one that vxlan or memberlist takes for its own: both drop it.
_PAYLOAD = "probe-pkt"
_LENGTH = 20 + 8 + len(_PAYLOAD)
_WATCHDOG_SECONDS = 60

Target = tuple[str, str, int]  # protocol, address, port


@dataclass(frozen=True)
class PortReading:
    """What came of all trials.

    ``tcp`` and ``sent`` map (sender, target) to the sender's result; ``counted`` maps (receiver, sender's address,
    port) to UDP probes that passed the receiver's firewall; ``tables`` tells the iptables table that counted on a node.
    ``errors`` are nodes that could not take part, ``uncounted`` the reason where a node could not count.
    """

    tcp: Mapping[tuple[str, Target], str] = field(default_factory=dict)
    sent: Mapping[tuple[str, Target], str] = field(default_factory=dict)
    counted: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    uncounted: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def try_ports(
    cluster: Cluster,
    addresses: Mapping[str, str],
    tcp: Mapping[str, Sequence[tuple[str, int]]],
    udp_ports: Sequence[int],
) -> PortReading:
    """Connect from each node to its ``tcp`` targets and send UDP probes along all ordered pairs of ``addresses``."""
    nodes = [node for node in cluster if node.name in addresses]
    chain = f"RUNBOOK-{uuid4().hex[:8]}"
    started = cluster.each(lambda node: _start(node, chain, addresses, udp_ports), nodes=nodes)
    try:
        sent = cluster.each(lambda node: _send(node, addresses, tcp.get(node.name, ()), udp_ports), nodes=nodes)
    finally:
        counters = cluster.each(lambda node: _stop(node, chain), nodes=nodes)
    errors: dict[str, str] = {}
    for outcomes in (started, sent, counters):
        for outcome in outcomes:
            if outcome.error is not None:
                errors.setdefault(outcome.node, outcome.error.message)
    words = {outcome.node: outcome.value or "" for outcome in started}
    results = {(outcome.node, target): result for outcome in sent for target, result in (outcome.value or {}).items()}
    return PortReading(
        tcp={key: result for key, result in results.items() if key[1][0] == "tcp"},
        sent={key: result for key, result in results.items() if key[1][0] == "udp"},
        counted={
            (outcome.node, source, port): packets
            for outcome in counters
            for (source, port), packets in (outcome.value or {}).items()
        },
        tables={node: word.removeprefix("counting ") for node, word in words.items() if word.startswith("counting ")},
        uncounted={
            node: word for node, word in words.items() if not word.startswith("counting ") and node not in errors
        },
        errors=errors,
    )


def _start(node: Node, chain: str, addresses: Mapping[str, str], ports: Sequence[int]) -> str:
    pairs = [f"{address}:{port}" for name, address in addresses.items() if name != node.name for port in ports]
    result = node.ssh.script(
        program("count.sh"), "start", chain, str(_WATCHDOG_SECONDS), str(_LENGTH), *pairs, sudo=True, check=False
    )
    return result.stdout.strip() or f"cannot count: {result.stderr.strip() or 'no root over SSH'}"


def _send(
    node: Node, addresses: Mapping[str, str], tcp: Sequence[tuple[str, int]], ports: Sequence[int]
) -> dict[Target, str]:
    others = [address for name, address in addresses.items() if name != node.name]
    targets = [f"tcp:{address}:{port}" for address, port in tcp]
    targets += [f"udp:{address}:{port}" for address in others for port in ports]
    result = node.ssh.script(program("send.sh"), str(PROBES), _PAYLOAD, *targets)
    return parse_results(result.stdout)


def _stop(node: Node, chain: str) -> dict[tuple[str, int], int]:
    return parse_chain(node.ssh.script(program("count.sh"), "stop", chain, sudo=True, check=False).stdout)


def parse_results(text: str) -> dict[Target, str]:
    """The lines of send.sh by target."""
    results: dict[Target, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(tcp|udp):([\d.]+):(\d+) (.*)", line)
        if match:
            results[match[1], match[2], int(match[3])] = match[4].strip()
    return results


def parse_chain(text: str) -> dict[tuple[str, int], int]:
    """Packets by source and destination port, from ``iptables -nvxL CHAIN``."""
    return {
        (match[2].removesuffix("/32"), int(match[3])): int(match[1])
        for match in re.finditer(r"^\s*(\d+)\s+\d+\s+.*?([\d./]+)\s+0\.0\.0\.0/0\s+udp dpt:(\d+)", text, re.MULTILINE)
    }
