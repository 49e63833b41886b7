"""Who reaches a container with an external address, from where, and whether that is as it must be.

Whether the address that a container is to have is free: by ARP, by the DHCP pool, by what every engine gave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError, PreconditionError
from runbook_lib.facts.docker.containers import ContainerFacts, read_container, read_containers
from runbook_lib.facts.host.addresses import Reach, arp_owners, read_cluster_address, read_reach
from runbook_lib.facts.host.host import Boot, read_boot, read_link_types
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.parameters import PORT, External, Probes, Way, usable
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.prober import run_probers

From = Literal["another node", "its own node"]


@dataclass(frozen=True)
class Standing:
    """A container with an external address as it stands now.

    ``address`` is empty while it does not run; ``node_mac`` is that of its node's interface; ``boot`` is its node's;
    ``trouble`` is why the kernel cannot make such a device (empty where it can).
    """

    spec: External
    container: ContainerFacts | None
    address: str
    mac: str
    node_mac: str
    boot: Boot
    trouble: str = ""


@dataclass(frozen=True)
class Look:
    """One look at one container from one node; ``reach`` is ``None`` when there is nothing to look at."""

    way: Way
    container: str
    seen_from: From
    node: str
    reach: Reach | None

    @property
    def reached(self) -> bool:
        """Whether the container itself answered: what it serves is its name."""
        return self.reach is not None and self.reach.answer == self.container


def read_overlay_access(node: Node, spec: External, network: ClusterNetwork) -> Standing:
    """How one container stands, from its node. Raises ``RunbookError``."""
    current = read_cluster_address(node, network)
    found = read_container(node, spec.container)
    trouble = "" if spec.way == "published" else read_link_types(node, spec.way)[spec.way]
    address, mac = "", ""
    if found is not None and found.running:
        published = spec.way == "published"
        address = current.address or "" if published else found.addresses.get(spec.network, "")
        mac = found.macs.get(spec.network, "")
    return Standing(spec, found, address, mac, current.mac, read_boot(node), trouble)


def look_around(cluster: Cluster, specs: Sequence[External]) -> tuple[tuple[Standing, ...], tuple[Look, ...]]:
    """Read how each container stands, then look at it from another node and from its own.

    Raises:
        RunbookError: a node that must be asked does not answer.
    """
    network = cluster.inventory.network
    own = {spec.node for spec in specs}
    standings = [
        standing
        for outcome in cluster.each(
            lambda node: [read_overlay_access(node, spec, network) for spec in specs if spec.node == node.name],
            nodes=[cluster.node(name) for name in sorted(own)],
        )
        for standing in outcome.result
    ]
    standings.sort(key=lambda item: specs.index(item.spec))
    askers: dict[str, list[str]] = {}
    for item in standings:
        for name in (item.spec.witness, item.spec.node):
            askers.setdefault(name, [])
            if item.address and item.address not in askers[name]:
                askers[name].append(item.address)
    seen = {
        (reach.node, reach.address): reach
        for outcome in cluster.each(
            lambda node: read_reach(node, network.interface, askers[node.name], PORT),
            nodes=[cluster.node(name) for name in askers],
        )
        for reach in outcome.result
    }
    looks = [
        Look(item.spec.way, item.spec.container, where, name, seen.get((name, item.address)))
        for item in standings
        for where, name in places(item.spec)
    ]
    return tuple(standings), tuple(looks)


class NodePing(NamedTuple):
    """A node, pinged from inside a container; ``ping_ms`` is the mean round trip."""

    container: str
    node: str
    address: str
    ping_ms: float | None
    answers: bool


def ping_nodes(cluster: Cluster, spec: External, probes: Probes) -> tuple[NodePing, ...]:
    """Ping every node from inside a container.

    Raises:
        PreconditionError: the container does not run.
        RunbookError: a node does not answer to SSH, or the container cannot be looked into.
    """
    found = read_container(cluster.node(spec.node), spec.container)
    if found is None or not found.running:
        raise PreconditionError(
            f"{spec.container} does not run on {spec.node}", remedy="notebook 08_fixed_external_address makes it"
        )
    network = cluster.inventory.network
    addresses = {
        outcome.node: outcome.result.address or ""
        for outcome in cluster.each(lambda node: read_cluster_address(node, network))
    }
    reading = run_probers(cluster, [found], addresses, probes, ("address",))[spec.container]
    if not reading.complete:
        raise NodeError(spec.node, f"cannot ping from {spec.container}: {reading.error or 'the prober did not finish'}")
    rows = []
    for node, address in addresses.items():
        echoes = reading.echoes.get((node, "address"))
        times = [time for time in (echoes.times if echoes is not None else ()) if time is not None]
        rows.append(NodePing(spec.container, node, address, fmean(times) if times else None, bool(times)))
    return tuple(rows)


def places(spec: External) -> tuple[tuple[From, str], tuple[From, str]]:
    """From where a container is looked at: the place in words, and the node."""
    return ("another node", spec.witness), ("its own node", spec.node)


def reachable_from(way: Way, seen_from: From) -> bool:
    """Whether a container must be reached from there.

    The kernel never hands a frame from an interface to its own macvlan or ipvlan devices, nor back: all of them share
    one wire, and a switch does not return a frame to the port that it came from. (``ip-link(8)``, macvlan in bridge
    mode; Docker's "Networking with macvlan": *the host cannot reach the container*.)
    """
    return way == "published" or seen_from == "another node"


def judge_looks(standings: Iterable[Standing], looks: Iterable[Look]) -> tuple[Check, ...]:
    """Whether everybody who must reach a container does, and whoever cannot does not: one check a look.

    A way that the kernel does not know is skipped, with the kernel's words.
    """
    troubles = {item.spec.way: item.trouble for item in standings}
    checks = []
    for look in looks:
        wanted = reachable_from(look.way, look.seen_from)
        claim = f"{look.container} is {'' if wanted else 'not '}reached from {look.seen_from}"
        expected = "it answers with its name" if wanted else "no answer"
        if troubles[look.way]:
            found = f"no {look.way} in its node's kernel: {troubles[look.way]}"
            checks.append(Check(claim, look.node, Verdict.SKIP, found=found))
            continue
        if look.reach is None:
            remedy = f"apply the step for {look.way} first"
            checks.append(Check(claim, look.node, Verdict.FAIL, expected, "the container does not run", remedy))
            continue
        verdict = Verdict.PASS if look.reached is wanted else Verdict.FAIL
        found = f"{look.reach.answer or 'no answer'} at {look.reach.address}"
        checks.append(Check(claim, look.node, verdict, expected, expected if verdict is Verdict.PASS else found))
    return tuple(checks)


def judge_kept(before: Iterable[Standing], after: Iterable[Standing]) -> tuple[Check, ...]:
    """Whether each container runs again, at the address of before, after its node has been restarted.

    A way that the kernel does not know is skipped, and so is a node that is still in its boot of before: it proves
    nothing.
    """
    checks = []
    for old, new in zip(before, after, strict=True):
        claim, node = f"{new.spec.container} keeps its address across a restart", new.spec.node
        if new.trouble:
            checks.append(Check(claim, node, Verdict.SKIP, found=f"no {new.spec.way} in its kernel"))
            continue
        if new.boot.same_as(old.boot):
            checks.append(Check(claim, node, Verdict.SKIP, found=f"{node} was not restarted"))
            continue
        verdict = Verdict.PASS if new.address and new.address == old.address else Verdict.FAIL
        moved = verdict is Verdict.FAIL and new.spec.way == "published"
        remedy = "a published port is at its node's address: notebook 01_fix_node_ips fixes that" if moved else ""
        found = new.address or "it does not run"
        checks.append(Check(claim, node, verdict, old.address or "it runs", found, remedy))
    return tuple(checks)


@dataclass(frozen=True)
class Candidate:
    """The address that a container has or is to have (empty when none is free), and all that is known of it.

    ``answering`` holds, by the node that asked, the MAC that answered there; ``holder`` is the container to which any
    engine has given it.
    """

    spec: External
    address: str
    answering: Mapping[str, str]
    holder: ContainerFacts | None = None

    @property
    def ours(self) -> bool:
        """Whether our own container has it already."""
        return self.holder is not None and (self.holder.node, self.holder.name) == (self.spec.node, self.spec.container)


def find_candidates(cluster: Cluster, specs: Sequence[External]) -> tuple[Candidate, ...]:
    """For each way but published ports: the address that its container has, else the first free one of its block.

    Who answers is asked from the container's node and from the witness, all addresses at once: a node does not hear the
    macvlan containers on its own interface, another one does.

    Raises:
        RunbookError: a node does not answer, so nobody can tell what is free.
    """
    network, nodes = cluster.inventory.network, {node.cluster_address for node in cluster.inventory.nodes}
    offers = {spec: tuple(usable(spec.block, network, nodes)) for spec in specs if spec.block is not None}

    def ask(node: Node) -> tuple[tuple[ContainerFacts, ...], dict[str, str | None]]:
        addresses = [item for spec, offer in offers.items() if node.name in (spec.node, spec.witness) for item in offer]
        return read_containers(node), arp_owners(node, network.interface, list(dict.fromkeys(addresses)))

    outcomes = cluster.each(ask)
    holders = {
        address: container
        for outcome in outcomes
        for container in outcome.result[0]
        for address in (*container.addresses.values(), *container.fixed_addresses.values())
    }
    answers = {
        address: {outcome.node: mac for outcome in outcomes if (mac := outcome.result[1].get(address)) is not None}
        for offer in offers.values()
        for address in offer
    }
    return tuple(choose(spec, offer, answers, holders) for spec, offer in offers.items())


def choose(
    spec: External,
    offer: Sequence[str],
    answers: Mapping[str, Mapping[str, str]],
    holders: Mapping[str, ContainerFacts],
) -> Candidate:
    """The candidate of one way, from the addresses on offer, who answers at each, and which containers have which."""
    candidates = [Candidate(spec, address, answers.get(address, {}), holders.get(address)) for address in offer]
    own = (item for item in candidates if item.ours)
    free = (item for item in candidates if not item.answering and item.holder is None)
    return next(own, None) or next(free, Candidate(spec, "", {}))


def judge_candidates(inventory: Inventory, candidates: Iterable[Candidate]) -> tuple[Check, ...]:
    """Whether each address may be taken: four checks a container, on the node that it is for."""
    network = inventory.network
    checks: list[Check] = []
    for item in candidates:
        name, node = item.spec.container, item.spec.node
        if not item.address:
            remedy = "name another container_range in the inventory's network"
            found = f"every address of {item.spec.block} is taken"
            checks.append(Check(f"an address for {name}", node, Verdict.FAIL, "a free one", found, remedy))
            continue
        known = {other.cluster_address for other in inventory.nodes} | {network.gateway}
        others = "" if item.ours or item.holder is None else item.holder.full_name
        askers = f"{item.spec.node} and {item.spec.witness}"
        silence = "its own MAC alone" if item.ours else f"nobody, asked by ARP from {askers}"
        checks += [
            _check(
                f"{name}: in the inventory", node, item.address not in known, f"{item.address} is nobody's", "taken"
            ),
            _pool_check(name, node, item.address, network),
            _check(f"{name}: who answers there", node, _is_silent(item), silence, ", ".join(item.answering.values())),
            _check(f"{name}: given out by an engine", node, not others, "to nobody else", others),
        ]
    return tuple(checks)


def _is_silent(item: Candidate) -> bool:
    macs = set(item.answering.values())
    return not macs or (item.ours and len(macs) == 1)


def _pool_check(name: str, node: str, address: str, network: ClusterNetwork) -> Check:
    claim, pool = f"{name}: DHCP pool", network.pool
    if pool is None:
        remedy = "name dhcp_pool, or a container_range that is yours, in the inventory's network"
        found = "the inventory names no pool: a lease may collide with it"
        return Check(claim, node, Verdict.WARN, "outside the pool", found, remedy)
    return _check(claim, node, address not in pool, f"outside {pool}", f"{address} is inside")


def _check(claim: str, node: str, passed: bool, expected: str, found: str) -> Check:
    return Check(claim, node, Verdict.PASS if passed else Verdict.FAIL, expected, expected if passed else found)
