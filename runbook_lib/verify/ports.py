"""Which ports are open between the nodes, tested by real packets.

For TCP, a connection. For UDP, only counting at the receiver is a proof: every node counts, behind its own firewall,
the probes of the others, whether a process uses the port or not. It also counts what it sent and what arrived before
the firewall, which shows where a probe was lost.
Three round trips, each to all nodes at once: start counting, send, read the counters and remove the counting rules.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from runbook_lib.cluster import Cluster, Node
from runbook_lib.model.parameters import Timeouts
from runbook_lib.verify.prober import program

PROBES = 3
# vxlan and memberlist both drop this first byte and length.
_PAYLOAD = "probe-pkt"
_LENGTH = 20 + 8 + len(_PAYLOAD)

Target = tuple[str, str, int]  # protocol, address, port
Stage = Literal["left", "arrived", "passed"]
Counts = Mapping[tuple[Stage, str, str, int], int]  # stage, protocol, the other end's address, port


@dataclass(frozen=True)
class NodeCounts:
    """One node's counts: probes by stage, and the iptables table that counted behind its filter.

    A probe has ``left`` its sender (behind the sender's own filter), then ``arrived`` (before the receiver routes or
    filters it), then ``passed`` the receiver's filter. ``stages`` are those that could be counted. ``rp_filtered`` are
    packets that the reverse-path filter dropped meanwhile, ``routes`` the interface that leads to each address.
    """

    table: str
    stages: frozenset[Stage] = frozenset(("passed",))
    packets: Counts = field(default_factory=dict)
    rp_filtered: int = 0
    routes: Mapping[str, str] = field(default_factory=dict)

    def of(self, stage: Stage, protocol: str, address: str, port: int) -> int | None:
        """How many probes to or from an address reached that stage; ``None`` if not counted."""
        return self.packets.get((stage, protocol, address, port), 0) if stage in self.stages else None


@dataclass(frozen=True)
class PortReading:
    """The results of all probes.

    ``tcp`` and ``sent`` map (sender, target) to the sender's result; ``counts`` are what each node counted that could,
    ``uncounted`` the reason where one could not. ``errors`` are nodes that could not take part.
    """

    tcp: Mapping[tuple[str, Target], str] = field(default_factory=dict)
    sent: Mapping[tuple[str, Target], str] = field(default_factory=dict)
    counts: Mapping[str, NodeCounts] = field(default_factory=dict)
    uncounted: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def try_ports(
    cluster: Cluster,
    addresses: Mapping[str, str],
    tcp: Mapping[str, Sequence[tuple[str, int]]],
    udp_ports: Sequence[int],
    *,
    length: int = _LENGTH,
) -> PortReading:
    """Connect from each node to its ``tcp`` targets and send UDP probes along all ordered pairs of ``addresses``.

    ``length`` is that of a probe's IP packet, in bytes; it must not be that of the ports' real packets.
    """
    nodes = [node for node in cluster if node.name in addresses]
    chain = f"RUNBOOK-{uuid4().hex[:8]}"
    ports = [f"udp:{port}" for port in udp_ports]
    ports += [f"tcp:{port}" for port in sorted({port for targets in tcp.values() for _, port in targets})]

    def others(node: Node) -> list[str]:
        return [address for name, address in addresses.items() if name != node.name]

    watchdog = str(_watchdog_seconds(cluster.timeouts))
    started = cluster.each(lambda node: _start(node, chain, watchdog, length, ports, others(node)), nodes=nodes)
    try:
        payload = _PAYLOAD.ljust(length - 28, ".")
        sent = cluster.each(
            lambda node: _send(node, payload, others(node), tcp.get(node.name, ()), udp_ports), nodes=nodes
        )
    finally:
        stopped = cluster.each(lambda node: _stop(node, chain, others(node)), nodes=nodes)
    errors: dict[str, str] = {}
    for outcomes in (started, sent, stopped):
        for outcome in outcomes:
            if outcome.error is not None:
                errors.setdefault(outcome.node, outcome.error.message)
    starts = {outcome.node: outcome.value or "" for outcome in started}
    stops = {outcome.node: outcome.value or "" for outcome in stopped}
    results = {(outcome.node, target): result for outcome in sent for target, result in (outcome.value or {}).items()}
    counts = {node: parse_counts(start, stops[node]) for node, start in starts.items() if node not in errors}
    return PortReading(
        tcp={key: result for key, result in results.items() if key[1][0] == "tcp"},
        sent={key: result for key, result in results.items() if key[1][0] == "udp"},
        counts={node: found for node, found in counts.items() if found is not None},
        uncounted={node: _why_not(starts[node]) for node, found in counts.items() if found is None},
        errors=errors,
    )


def _watchdog_seconds(timeouts: Timeouts) -> int:
    """When a node removes its counting rules by itself: after the longest duration of all three calls."""
    return math.ceil(3 * (timeouts.connect + timeouts.command))


def _start(node: Node, chain: str, watchdog: str, length: int, ports: Sequence[str], others: Sequence[str]) -> str:
    arguments = (chain, watchdog, str(length), " ".join(ports), *others)
    result = node.ssh.script(program("count.sh"), "start", *arguments, sudo=True, check=False)
    words = result.stdout.strip()
    if "counting " in words or "cannot " in words:
        return words
    return f"cannot count: {result.stderr.strip() or 'no root over SSH'}"


def _send(
    node: Node, payload: str, others: Sequence[str], tcp: Sequence[tuple[str, int]], ports: Sequence[int]
) -> dict[Target, str]:
    targets = [f"tcp:{address}:{port}" for address, port in tcp]
    targets += [f"udp:{address}:{port}" for address in others for port in ports]
    result = node.ssh.script(program("send.sh"), str(PROBES), payload, *targets)
    return parse_results(result.stdout)


def _stop(node: Node, chain: str, others: Sequence[str]) -> str:
    return node.ssh.script(program("count.sh"), "stop", chain, *others, sudo=True, check=False).stdout


def _why_not(started: str) -> str:
    gone = "the counting rules could not be read again: they were gone, or another program held the lock of iptables"
    return next((line for line in started.splitlines() if line.startswith("cannot")), gone)


def parse_results(text: str) -> dict[Target, str]:
    """The lines of send.sh by target."""
    results: dict[Target, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(tcp|udp):([\d.]+):(\d+) (.*)", line)
        if match:
            results[match[1], match[2], int(match[3])] = match[4].strip()
    return results


_STAGES: tuple[tuple[str, Stage], ...] = (("-in", "arrived"), ("-out", "left"), ("", "passed"))
_RULE = re.compile(r"\s*(\d+)\s+\d+\s+.*?([\d.]+)(?:/\d+)?\s+([\d.]+)(?:/\d+)?\s+(tcp|udp) dpt:(\d+)")
_ANYWHERE = "0.0.0.0"


def parse_counts(started: str, stopped: str) -> NodeCounts | None:
    """Counts from the output of count.sh at its start and stop; ``None`` if it could not count.

    A chain that is missing or empty when the counters are read gives no result: its stage is left out, which is not
    the same as no packets.
    """
    counting = re.search(r"^counting (\w+)(.*)$", started, re.MULTILINE)
    if counting is None:
        return None
    packets = parse_chains(stopped)
    hooked = {stage for suffix, stage in _STAGES if not suffix or suffix.removeprefix("-") in counting[2].split()}
    stages = frozenset(hooked & {stage for stage, *_ in packets})
    if "passed" not in stages:
        return None
    routes = dict(re.findall(r"^route (\S+) (\S+)$", stopped, re.MULTILINE))
    rp_filtered = _rp_filtered(stopped) - _rp_filtered(started)
    return NodeCounts(counting[1], stages, packets, rp_filtered, routes)


def parse_chains(text: str) -> dict[tuple[Stage, str, str, int], int]:
    """Packets by stage, protocol, the other end's address and port, from ``iptables -nvxL`` of the counting chains."""
    packets: dict[tuple[Stage, str, str, int], int] = {}
    stage: Stage = "passed"
    for line in text.splitlines():
        title = re.match(r"Chain (\S+) ", line)
        if title:
            stage = next(stage for suffix, stage in _STAGES if title[1].endswith(suffix))
        rule = _RULE.match(line)
        if rule:
            source, target = rule[2], rule[3]
            packets[stage, rule[4], source if target == _ANYWHERE else target, int(rule[5])] = int(rule[1])
    return packets


def _rp_filtered(text: str) -> int:
    found = re.search(r"^rp_filtered (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0
