"""The experiment that shows what docker_gwbridge is for.

Ping a peer over the overlay and count packets, then ping an outside address and count. East-west traffic (container
to container) uses the overlay's interfaces, in a hidden namespace of the node, and not docker_gwbridge. North-south
traffic (to the outside, by the default route) uses docker_gwbridge and not the overlay.

The checks use what the container sends by each of its two interfaces. The interfaces of the node and the overlay count
all containers' packets: they are shown, and must have carried at least the container's.

``judge_bridge`` checks that every node that needs docker_gwbridge has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runbook_lib.cluster import Cluster
from runbook_lib.errors import CommandError, PreconditionError
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import GATEWAY_BRIDGE, GatewayBridge, read_network
from runbook_lib.facts.overlay.hidden_namespace import FIND_NAMESPACE
from runbook_lib.facts.sections import reading
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.ping_matrix import find_containers, on_two_nodes
from runbook_lib.verify.prober import parse_ping, program
from runbook_lib.verify.way_out import check_ways_out

Direction = Literal["east-west", "north-south"]
Role = Literal["overlay", "gateway bridge", "container on overlay", "container on gateway bridge", "cluster network"]

_PHASES: tuple[tuple[Direction, str, str], ...] = (
    ("east-west", "before", "between"),
    ("north-south", "between", "after"),
)


@dataclass(frozen=True)
class Traffic:
    """Packets (received and sent together) that one interface counted while one kind of traffic flowed.

    ``place`` is ``node``, ``overlay`` (its hidden namespace) or ``container``.
    """

    traffic: Direction
    target: str
    node: str
    place: str
    interface: str
    role: Role
    packets_before: int
    packets_after: int
    moved: int


@dataclass(frozen=True)
class BridgeExperiment:
    """What each interface counted, the container's default route, and the verdicts."""

    traffic: tuple[Traffic, ...]
    default_route: str
    checks: tuple[Check, ...]


def gateway_bridge_experiment(
    cluster: Cluster,
    container: str,
    peer: str,
    network: str,
    *,
    others: Collection[str] = (),
    outside: str = "",
    packets: int = 20,
) -> BridgeExperiment:
    """Ping the peer over the overlay, then an outside address, and compare what each interface counted.

    Before that, the gateway path is tested from both containers and the ``others`` that run on the network.

    ``outside`` is by default the cluster address of the peer's node. Changes nothing; needs root over SSH.

    Raises:
        PreconditionError: no such containers, not running, not on the network.
        InputError: both on one node, where no packet would cross the overlay's tunnel.
        CommandError: the counters cannot be read.
    """
    source, target = on_two_nodes(cluster, container, peer, network)
    node = cluster.node(source.node)
    facts = read_network(node, network)
    if facts is None:
        raise PreconditionError(
            f"{source.node} has no network {network}", remedy="notebook 03_create_overlay creates it"
        )
    found, _ = find_containers(cluster, {container, peer, *others})
    ways = check_ways_out(cluster, [each for each in found.values() if network in each.addresses], network)
    address = target.addresses[network]
    outside = outside or cluster.node(target.node).spec.cluster_address
    arguments = (str(source.pid), facts.id, address, outside, str(packets))
    script = FIND_NAMESPACE + program("bridge.sh")
    result = node.ssh.script(script, *arguments, sudo=True, check=False, timeout=30 + 2 * packets)
    with reading(node.name, "packet counters"):
        frames = parse_frames(result.stdout)
        if "after container" not in frames:
            raise CommandError(
                node.name,
                ("nsenter",),
                exit_status=result.exit_status,
                stderr=result.stderr,
                destination=node.ssh.destination,
                remedy="the experiment needs root over SSH (sudo) and nsenter on the node",
            )
        underlay = cluster.inventory.network.interface
        return evaluate(frames, source, network, underlay, address, outside, packets, ways)


def parse_frames(text: str) -> dict[str, str]:
    """The framed outputs of bridge.sh by their title, for example ``before node``."""
    return {match[1]: match[2] for match in re.finditer(r"^#>> (.+)\n((?:.*\n)*?)#<<$", text, re.MULTILINE)}


def parse_counters(text: str, *, only_sent: bool = False) -> dict[str, int]:
    """Packets received plus sent by interface, or only those sent, from the text of ``/proc/net/dev``.

    Raises:
        ValueError: no counters in it.
    """
    counters = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and len(fields) >= 16:
            counters[name.strip()] = int(fields[9]) + (0 if only_sent else int(fields[1]))
    if not counters:
        raise ValueError(f"no interface counters: {text.strip()[:80]!r}")
    return counters


def evaluate(
    frames: Mapping[str, str],
    source: ContainerFacts,
    network: str,
    underlay: str,
    address: str,
    outside: str,
    packets: int,
    ways: Sequence[Check] = (),
) -> BridgeExperiment:
    """Rows and verdicts from the outputs of bridge.sh, after those on the ``ways`` out of each node.

    Raises:
        ValueError, KeyError: an output is not understood.
    """
    roles = _roles(frames, source.addresses[network], underlay)
    rows = []
    for direction, first, second in _PHASES:
        for (place, interface), role in roles.items():
            before = parse_counters(frames[f"{first} {place}"])[interface]
            after = parse_counters(frames[f"{second} {place}"])[interface]
            target = address if direction == "east-west" else outside
            rows.append(Traffic(direction, target, source.node, place, interface, role, before, after, after - before))
    route = next((line.strip() for line in frames["facts routes"].splitlines() if line.startswith("default")), "")
    verdicts = _verdicts(rows, frames, route, source.node, packets, ways)
    return BridgeExperiment(tuple(rows), route, (*ways, *verdicts))


def _roles(frames: Mapping[str, str], own: str, underlay: str) -> dict[tuple[str, str], Role]:
    inside: dict[str, str] = {}
    for line in frames["facts addresses"].splitlines():
        match = re.match(r"\d+: (\S+)\s+inet ([\d.]+)", line)
        if match and match[1] != "lo":
            inside[match[1]] = match[2]
    roles: dict[tuple[str, str], Role] = {}
    for interface, address in inside.items():
        roles["container", interface] = "container on overlay" if address == own else "container on gateway bridge"
    for interface in parse_counters(frames["before overlay"]):
        if interface.startswith(("vxlan", "vx-")):
            roles["overlay", interface] = "overlay"
    if GATEWAY_BRIDGE in parse_counters(frames["before node"]):  # else it was deleted: check_ways_out reports that
        roles["node", GATEWAY_BRIDGE] = "gateway bridge"
    roles["node", underlay] = "cluster network"
    return roles


_BUSY = "the container sent other packets meanwhile, or its routes are not Docker's: repeat it, then check its routes"
_LOST = "notebook 00_meet_the_cluster tests what the overlay's packets need between the nodes"
_NO_ANSWER = "check whether the pinged address answers at all"


# Which interfaces of the container lead there.
_INSIDE: Mapping[Role, Role] = {
    "overlay": "container on overlay",
    "gateway bridge": "container on gateway bridge",
}


def _sent_by_container(rows: Sequence[Traffic], frames: Mapping[str, str]) -> dict[tuple[Direction, Role], int]:
    """How many packets the container sent by each interface: received ones may be broadcasts."""
    sent = {}
    for direction, first, second in _PHASES:
        before = parse_counters(frames[f"{first} container"], only_sent=True)
        after = parse_counters(frames[f"{second} container"], only_sent=True)
        for way, inside in _INSIDE.items():
            names = {row.interface for row in rows if row.role == inside}
            sent[direction, way] = sum(after[name] - before[name] for name in names)
    return sent


def _verdicts(
    rows: Sequence[Traffic],
    frames: Mapping[str, str],
    route: str,
    node: str,
    packets: int,
    ways: Sequence[Check],
) -> tuple[Check, ...]:
    def moved(direction: Direction, role: Role) -> int:
        return sum(row.moved for row in rows if row.traffic == direction and row.role == role)

    cause = next((way.remedy for way in ways if way.node == node and way.verdict is Verdict.FAIL), "")
    sent = _sent_by_container(rows, frames)
    checks = []
    expected: tuple[tuple[Direction, Role, Role, str], ...] = (
        ("east-west", "overlay", "gateway bridge", _LOST),
        ("north-south", "gateway bridge", "overlay", cause or _NO_ANSWER),
    )
    for direction, busy, idle, lost in expected:
        answered = sum(time is not None for time in parse_ping(frames[f"{direction} ping"], packets)[0])
        # each answered ping was sent by the container and passed the node's interface, which also carries other traffic
        carried, right, wrong = moved(direction, busy), sent[direction, busy], sent[direction, idle]
        holds = answered > 0 and min(carried, right) >= answered and wrong < answered
        checks.append(
            Check(
                check=f"{direction} traffic is carried by the {busy}",
                node=node,
                verdict=Verdict.PASS if holds else Verdict.FAIL,
                expected=f"{packets} pings leave the container by the {busy}, not by the {idle}",
                found=f"{answered} answered; sent by the {busy} {right}, by the {idle} {wrong}; {busy} +{carried}",
                remedy="" if holds else _BUSY if answered else lost,
            )
        )
    gateway = [row.interface for row in rows if row.role == _INSIDE["gateway bridge"]]
    leads = any(f"dev {interface}" in route for interface in gateway)
    internal = "an internal network has no way out; that is what --internal is for"
    checks.append(
        Check(
            check="the default route leads to docker_gwbridge",
            node=node,
            verdict=Verdict.PASS if leads else Verdict.FAIL,
            expected=f"default via {GATEWAY_BRIDGE}'s address",
            found=route or "no default route",
            remedy="" if leads else cause or internal,
        )
    )
    return tuple(checks)


CLAIM = f"{GATEWAY_BRIDGE} is where it is needed"


def judge_bridge(row: GatewayBridge, wanted: Collection[str], *, every_node: bool) -> Check:
    """One node's check.

    A missing bridge fails if one of the ``wanted`` containers needs it or ``every_node`` has one (in a swarm), and is a
    warning if only other containers need it. An unused bridge is a harmless warning with how to remove it: Docker
    never does.
    """
    needed = [item.name for item in row.needed_by]
    ours = [name for name in needed if name in wanted]
    if row.bridge is None:
        return _without(row.node, needed, ours, every_node)
    if every_node:
        return Check(CLAIM, row.node, Verdict.PASS, "one on every node of a swarm", "there")
    if needed:
        return Check(CLAIM, row.node, Verdict.PASS, f"one for {', '.join(needed)}", "there")
    if row.endpoints:
        users = row.users(row.containers) or tuple(item.name for item in row.endpoints)
        return Check(CLAIM, row.node, Verdict.PASS, f"one for {', '.join(users)}", "there")
    by_hand = f"docker network rm {GATEWAY_BRIDGE}"
    found = f"an unused one: Docker never removes it ({by_hand} on that node does)"
    remedy = f"it does no harm, and the next container on an overlay uses it; on {row.node}: {by_hand}"
    return Check(CLAIM, row.node, Verdict.WARN, "none", found, remedy)


def _without(node: str, needed: list[str], ours: list[str], every_node: bool) -> Check:
    if every_node:
        remedy = f"restart the engine of {node}: it creates the bridge for the swarm's ingress network"
        return Check(CLAIM, node, Verdict.FAIL, "one on every node of a swarm", "none", remedy)
    if not needed:
        return Check(CLAIM, node, Verdict.PASS, "none", "none")
    expected = f"one for {', '.join(ours or needed)}"
    remedy = (
        f"Docker creates it when a container joins: on {node}, disconnect the container from the overlay and connect it"
    )
    return Check(CLAIM, node, Verdict.FAIL if ours else Verdict.WARN, expected, "none", remedy)
