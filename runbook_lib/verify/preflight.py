"""Pre-flight checks: what an overlay needs of its nodes, each tested and not assumed.

Full-size packets are tested as well as small ones. ``why_lost`` explains pairs of containers that lose pings by the
port checks and the overlay's tables.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network
from statistics import median
from typing import TypeVar

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import RunbookError
from runbook_lib.facts.control_planes.base import ControlPlane
from runbook_lib.facts.docker.engine import EngineFacts, read_engine
from runbook_lib.facts.docker.networks import NetworkFacts, read_network, read_networks
from runbook_lib.facts.host.host import REMEDY, HostFacts, read_encryption, read_host
from runbook_lib.facts.overlay.interfaces import HostInterface, Route, read_host_network
from runbook_lib.model.parameters import Overlay
from runbook_lib.model.results import Check, Probe, Verdict
from runbook_lib.verify.members import check_advertised, check_manager, check_members
from runbook_lib.verify.overlay_tables import check_entries
from runbook_lib.verify.ping_matrix import read_tables
from runbook_lib.verify.port_checks import MTU_OPTION, NO_ADDRESS, NO_ANSWER, check_ports, judge_udp
from runbook_lib.verify.ports import PortReading, try_ports

VXLAN_OVERHEAD = 50
_ASSUMED = 1500  # Docker's default MTU of the nodes' network
FULL_SIZE = "full-size packets between nodes"


@dataclass(frozen=True)
class Link:
    """A node's interface on the cluster's network: its name, address and MTU (bytes)."""

    interface: str
    address: str
    mtu: int


def needed_bytes(overlay: Overlay) -> int:
    """The largest IP packet (bytes) that the nodes' network must carry for the overlay."""
    wanted = overlay.options.get(MTU_OPTION, "")
    return int(wanted) + VXLAN_OVERHEAD if wanted.isdigit() else _ASSUMED


def mtu_remedy(interface: str, node: str, needed: int, room: int) -> str:
    """The remedy for an interface with an MTU of only ``room`` bytes."""
    return (
        f"ip link set {interface} mtu {needed} on {node}, and in its configuration; where its network carries no more,"
        f" create the overlay with overlay.options {MTU_OPTION}: {room - VXLAN_OVERHEAD}"
    )


def check_full_size(cluster: Cluster, overlay: Overlay, port: int, ports: Sequence[Check]) -> tuple[Check, ...]:
    """Each node's MTU, and UDP packets of full size to the overlay's port along all ordered pairs; a row per receiver.

    ``ports`` are the rows of ``check_ports``: a port where small packets do not pass is not tried with large ones.
    """
    interface, needed = cluster.inventory.network.interface, needed_bytes(overlay)

    def ask(node: Node) -> Link | None:
        for item in read_host_network(node)[0]:
            if item.name == interface and item.address:
                return Link(interface, probed_address(item, cluster.inventory.network.prefix), item.mtu)
        return None

    outcomes = cluster.each(ask)
    links = {outcome.node: outcome.value for outcome in outcomes if outcome.value is not None}
    errors = {outcome.node: outcome.error.message for outcome in outcomes if outcome.error is not None}
    closed = {row.node for row in ports if row.check == f"udp {port} between nodes" and row.verdict is Verdict.FAIL}
    addresses = {name: link.address for name, link in links.items()}
    # one byte less than a transfer's full packets, so that those are not counted
    reading = try_ports(cluster, addresses, {}, (port,), length=needed - 1)
    return tuple(judge_full_size([node.name for node in cluster], needed, port, links, errors, closed, reading))


def probed_address(interface: HostInterface, subnet: IPv4Network) -> str:
    """The interface's first address in the cluster's subnet: the source of its packets there.

    Packets are counted by their source, so it may be another than the one that the engine advertises.
    """
    found = [item.ip for item in map(IPv4Interface, interface.addresses) if item.ip in subnet]
    return str(found[0]) if found else interface.address.partition("/")[0]


def judge_full_size(
    names: Sequence[str],
    needed: int,
    port: int,
    links: Mapping[str, Link],
    errors: Mapping[str, str],
    closed: set[str],
    reading: PortReading,
) -> Iterator[Check]:
    """Rows from the nodes' interfaces (``links``) and from what was counted of packets of that size."""
    expected = f"{needed} bytes from every other node"
    # a node that cannot take part gets its own row, and is no evidence against others
    able = {name: link for name, link in links.items() if link.mtu >= needed and name not in (*errors, *closed)}
    addresses = {name: link.address for name, link in able.items()}
    interface = next((link.interface for link in able.values()), "")
    judged = {row.node: row for row in judge_udp(list(able), addresses, reading, interface, port, needed)}
    for name in names:
        link, error = links.get(name), errors.get(name, "")
        if error or link is None:
            found = (error or "the node has no address on the cluster's network").splitlines()[0]
            yield Check(FULL_SIZE, name, Verdict.FAIL, expected, found, NO_ANSWER if error else NO_ADDRESS)
        elif link.mtu < needed:
            found = f"its {link.interface} takes {link.mtu}"
            yield Check(
                FULL_SIZE, name, Verdict.FAIL, expected, found, mtu_remedy(link.interface, name, needed, link.mtu)
            )
        elif name in closed:
            yield Check(FULL_SIZE, name, Verdict.SKIP, expected, f"not tried: small ones do not pass (udp {port})")
        else:
            yield replace(judged[name], check=FULL_SIZE, expected=expected)


T = TypeVar("T")

SKEW_WARN_MS = 500.0
SKEW_FAIL_MS = 2000.0
ALL = "all"
# In a temporary network namespace, so that the device vanishes when the command ends, however it ends.
_VXLAN_PROBE = "exec unshare --net ip link add probe0 type vxlan id 1 dstport 4789"


def preflight(
    cluster: Cluster, control_plane: ControlPlane, overlay: Overlay, *, containers: int = 2
) -> tuple[Check, ...]:
    """All checks, in a fixed order; a node that does not answer fails each of its checks.

    ``containers`` is how many free addresses the overlay needs if it does not exist yet. Changes nothing permanently:
    rules that count probes are removed at once, and by a watchdog if this is killed.
    """
    engines = cluster.each(read_engine)
    known = {outcome.node: outcome.value for outcome in engines if outcome.value is not None}
    ports = check_ports(cluster, known, control_plane)
    hosts = cluster.each(read_host)
    return (
        *check_manager(cluster),
        *judge_engines(engines, control_plane),
        *judge_engine_ids(known),
        *check_advertised(cluster, control_plane),
        *check_members(cluster, control_plane, overlay.name),
        *ports,
        *check_full_size(cluster, overlay, control_plane.ports(known).data_path, ports),
        *judge_clocks(hosts),
        *judge_forwarding(hosts),
        *check_subnets(cluster, overlay),
        *check_pool(cluster, overlay, containers),
        *check_vxlan(cluster),
        *(check_encryption(cluster) if overlay.encrypted else ()),
    )


def _silent(check: str, expected: str, outcomes: Sequence[Outcome[T]]) -> Iterator[Check]:
    for outcome in outcomes:
        if outcome.error is not None:
            error = outcome.error
            yield Check(check, outcome.node, Verdict.FAIL, expected, error.message.splitlines()[0], error.remedy)


def judge_engines(outcomes: Sequence[Outcome[EngineFacts]], control_plane: ControlPlane) -> Iterator[Check]:
    """Whether each engine can use the control plane, and does."""
    check, expected = "engine", control_plane.engines
    yield from _silent(check, expected, outcomes)
    for outcome in outcomes:
        facts = outcome.value
        if facts is None:
            continue
        remedy = control_plane.incompatibility(facts)
        verdict = Verdict.FAIL if remedy else Verdict.PASS
        where = facts.cluster_store if facts.mode == "etcd" else f"mode {facts.mode}"
        yield Check(check, facts.node, verdict, expected, f"{facts.version}, {where}", remedy)


def judge_engine_ids(engines: Mapping[str, EngineFacts]) -> Iterator[Check]:
    """Whether engine IDs are unique (cloned hosts share one); a row per node that answered."""
    for name, facts in engines.items():
        twins = [other for other, each in engines.items() if other != name and each.engine_id == facts.engine_id]
        found = f"{facts.engine_id}, also the ID of {', '.join(twins)}" if twins else facts.engine_id
        remedy = (
            f"cloned hosts: delete /etc/docker/key.json on all but one of {', '.join((name, *twins))}, restart dockerd"
        )
        verdict = Verdict.FAIL if twins else Verdict.PASS
        yield Check("engine IDs", name, verdict, "every engine has a unique ID", found, remedy if twins else "")


def judge_clocks(outcomes: Sequence[Outcome[HostFacts]]) -> Iterator[Check]:
    """Each clock's offset from the median; half the round trip is the uncertainty."""
    check, expected = "clock", f"within {SKEW_WARN_MS:.0f} ms of the others"
    yield from _silent(check, expected, outcomes)
    facts = [outcome.value for outcome in outcomes if outcome.value is not None]
    middle = median(item.clock_offset_ms for item in facts) if facts else 0.0
    for item in facts:
        skew = item.clock_offset_ms - middle
        certain = abs(skew) - item.clock_uncertainty_ms
        verdict = Verdict.FAIL if certain > SKEW_FAIL_MS else Verdict.WARN if certain > SKEW_WARN_MS else Verdict.PASS
        remedy = "" if verdict is Verdict.PASS else "set the clock (NTP): certificates and leases in etcd depend on it"
        found = f"{skew:+.0f} ms (± {item.clock_uncertainty_ms:.0f} ms)"
        yield Check(check, item.node, verdict, expected, found, remedy)


def judge_forwarding(outcomes: Sequence[Outcome[HostFacts]]) -> Iterator[Check]:
    """A row per node without IPv4 forwarding: the overlay works, but its containers reach no outside address."""
    for outcome in outcomes:
        if outcome.value is not None and not outcome.value.forwards:
            yield Check(
                "forwarding",
                outcome.node,
                Verdict.WARN,
                "the node forwards what its containers send outside",
                "net.ipv4.ip_forward is 0",
                f"sysctl -w net.ipv4.ip_forward=1 on {outcome.node}, and correct what set it to 0 (/etc/sysctl.d)",
            )


def check_subnets(cluster: Cluster, overlay: Overlay) -> Iterator[Check]:
    """Whether the overlay's subnet overlaps with a node's route or another network."""
    check = "overlapping subnets"
    if overlay.subnet is None:
        yield Check(check, ALL, Verdict.SKIP, "", "Docker chooses the overlay's subnet")
        return
    expected = f"nothing else uses {overlay.subnet}"

    def ask(node: Node) -> tuple[Sequence[Route], Sequence[NetworkFacts]]:
        return read_host_network(node)[1], read_networks(node)

    outcomes = cluster.each(ask)
    yield from _silent(check, expected, outcomes)
    for outcome in outcomes:
        if outcome.value is not None:
            yield judge_subnets(outcome.node, overlay.name, overlay.subnet, *outcome.value)


def judge_subnets(
    node: str, name: str, subnet: str, routes: Sequence[Route], networks: Sequence[NetworkFacts]
) -> Check:
    """The row of one node; ignores the default route and the overlay itself."""
    own = ipaddress.ip_network(subnet)
    others = [
        (f"route {route.destination} dev {route.interface}", route.destination)
        for route in routes
        if route.destination != "default"
    ]
    others += [(f"network {item.name} {item.subnet}", item.subnet) for item in networks if item.name != name]
    clashes = [
        words for words, text in others if text and ":" not in text and own.overlaps(ipaddress.ip_network(text, False))
    ]
    return Check(
        "overlapping subnets",
        node,
        Verdict.FAIL if clashes else Verdict.PASS,
        f"nothing else uses {subnet}",
        ", ".join(clashes) or f"{len(others)} routes and networks, none overlaps",
        "give the overlay another subnet (overlay.subnet)" if clashes else "",
    )


def check_pool(cluster: Cluster, overlay: Overlay, containers: int) -> Iterator[Check]:
    """Whether the overlay's pool has addresses left."""
    check = "free addresses"
    outcomes = cluster.each(lambda node: read_network(node, overlay.name))
    networks = [outcome.value for outcome in outcomes if outcome.value is not None]
    subnet = networks[0].subnet if networks else overlay.subnet
    if not subnet:
        yield Check(check, ALL, Verdict.SKIP, "", "Docker chooses the overlay's subnet")
        return
    ends = [endpoint for network in networks for endpoint in (*network.endpoints, *network.balancers)]
    used = {endpoint.address for endpoint in ends if endpoint.address}
    yield judge_pool(overlay.name, subnet, len(used), containers if not networks else 1, exists=bool(networks))


def judge_pool(name: str, subnet: str, used: int, needed: int, *, exists: bool) -> Check:
    """The pool's row; without the network, broadcast and gateway addresses."""
    free = max(0, ipaddress.ip_network(subnet).num_addresses - 3) - used
    enough = free >= needed
    state = f"{used} in use" if exists else f"{name} does not exist yet"
    return Check(
        "free addresses",
        ALL,
        Verdict.PASS if enough else Verdict.FAIL,
        f"at least {needed} in {subnet}",
        f"{free} free, {state}",
        "" if enough else "a larger subnet; look for leaked endpoints with 'docker network inspect'",
    )


def check_encryption(cluster: Cluster) -> Iterator[Check]:
    """Whether each kernel can encrypt an overlay (tested in a temporary namespace)."""
    check, expected = "kernel encryption", "ESP with AES-GCM, and iptables' match bpf or u32"
    outcomes = cluster.each(read_encryption)
    yield from _silent(check, expected, outcomes)
    for outcome in outcomes:
        if outcome.value is not None:
            verdict = Verdict.FAIL if outcome.value else Verdict.PASS
            found = outcome.value or "created and removed again"
            yield Check(check, outcome.node, verdict, expected, found, REMEDY if outcome.value else "")


def check_vxlan(cluster: Cluster) -> Iterator[Check]:
    """Whether each kernel can create a vxlan device (tested in a temporary namespace)."""
    check, expected = "kernel vxlan", "a vxlan device can be created"
    outcomes = cluster.each(lambda node: node.ssh.run(["sh", "-c", _VXLAN_PROBE], sudo=True, check=False))
    yield from _silent(check, expected, outcomes)
    for outcome in outcomes:
        result = outcome.value
        if result is None:
            continue
        if result.exit_status == 0:
            yield Check(check, outcome.node, Verdict.PASS, expected, "created and removed again")
        else:
            words = (result.stderr.strip().splitlines() or [f"exit status {result.exit_status}"])[-1]
            missing = "not supported" in words or "Unknown device type" in words
            verdict = Verdict.FAIL if missing else Verdict.WARN
            found = words if missing else f"not proven: {words}"
            yield Check(check, outcome.node, verdict, expected, found, "modprobe vxlan; or a kernel that has it")


def why_lost(
    cluster: Cluster, control_plane: ControlPlane, overlay: Overlay, probes: Sequence[Probe]
) -> tuple[Check, ...]:
    """Faults between the nodes of the pairs that unexpectedly failed.

    Returns the failed rows of the port checks and the table audit, each with its remedy, or one passed row if there are
    none. Returns nothing if no pair failed between two nodes.
    """
    lost = [
        probe
        for probe in probes
        if probe.verdict is Verdict.FAIL
        and probe.expected == "reachable"
        and probe.target_node
        and probe.source_node not in ("", probe.target_node)
    ]
    if not lost:
        return ()
    nodes = {node for probe in lost for node in (probe.source_node, probe.target_node)}
    part = cluster.part(nodes)
    odd = [
        check
        for check in _looked_at(part, control_plane, overlay, lost)
        if check.verdict in (Verdict.FAIL, Verdict.WARN)
    ]
    between = ", ".join(node.name for node in part)
    return tuple(odd) or (
        Check("ports and tables of lost pairs", between, Verdict.PASS, "nothing wrong", "no fault found there"),
    )


def _looked_at(part: Cluster, control_plane: ControlPlane, overlay: Overlay, lost: Sequence[Probe]) -> list[Check]:
    try:
        engines = {outcome.node: outcome.value for outcome in part.each(read_engine) if outcome.value is not None}
        ports = check_ports(part, engines, control_plane)
        sizes = check_full_size(part, overlay, control_plane.ports(engines).data_path, ports)
        before = read_tables(part, {name for probe in lost for name in (probe.source, probe.target)}, overlay.name)
    except RunbookError as error:
        found = f"not checked: {error.message.splitlines()[0]}"
        return [
            Check("ports and tables of lost pairs", error.place, Verdict.WARN, "nothing wrong", found, error.remedy)
        ]
    # do not repeat the pair's own row
    rows = [
        entry
        for probe in lost
        for entry in before.rows(probe.source, probe.target)
        if f"{entry.table} table before the first packet: {entry.key}" not in probe.detail
    ]
    unread = [
        Check("tables of lost pairs", node, Verdict.WARN, "they can be read", reason)
        for node, reason in before.unread.items()
    ]
    return [*ports, *sizes, *check_entries(dict.fromkeys(rows)), *unread]
