"""External addresses of containers: which are free, and from which nodes a container is reachable.

An address is free if no host answers ARP, the DHCP pool does not contain it, and no engine has assigned it.
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
from runbook_lib.model.parameters import PORT, External, ExternalMode, Probes, usable
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.prober import run_probers

From = Literal["another node", "its own node"]


@dataclass(frozen=True)
class ExternalState:
    """A container with an external address, and its current state.

    ``address`` is empty while it does not run; ``node_mac`` is that of its node's interface; ``boot`` is its node's;
    ``trouble`` is why the kernel cannot create such a link (empty if it can).
    """

    spec: External
    container: ContainerFacts | None
    address: str
    mac: str
    node_mac: str
    boot: Boot
    trouble: str = ""


@dataclass(frozen=True)
class ReachProbe:
    """One test of one container from one node; ``reach`` is ``None`` if the container has no address."""

    mode: ExternalMode
    container: str
    seen_from: From
    node: str
    reach: Reach | None

    @property
    def reached(self) -> bool:
        """Whether the container itself answered: it serves its own name."""
        return self.reach is not None and self.reach.answer == self.container


def read_external_state(node: Node, spec: External, network: ClusterNetwork) -> ExternalState:
    """The state of one container, from its node. Raises ``RunbookError``."""
    current = read_cluster_address(node, network)
    found = read_container(node, spec.container)
    trouble = "" if spec.mode == "published" else read_link_types(node, spec.mode)[spec.mode]
    address, mac = "", ""
    if found is not None and found.running:
        published = spec.mode == "published"
        address = current.address or "" if published else found.addresses.get(spec.network, "")
        mac = found.macs.get(spec.network, "")
    return ExternalState(spec, found, address, mac, current.mac, read_boot(node), trouble)


def probe_external(
    cluster: Cluster, specs: Sequence[External]
) -> tuple[tuple[ExternalState, ...], tuple[ReachProbe, ...]]:
    """Read each container's state, then test it from another node and from its own.

    Raises:
        RunbookError: a needed node does not answer.
    """
    network = cluster.inventory.network
    own = {spec.node for spec in specs}
    states = [
        state
        for outcome in cluster.each(
            lambda node: [read_external_state(node, spec, network) for spec in specs if spec.node == node.name],
            nodes=[cluster.node(name) for name in sorted(own)],
        )
        for state in outcome.result
    ]
    states.sort(key=lambda item: specs.index(item.spec))
    askers: dict[str, list[str]] = {}
    for item in states:
        for name in (item.spec.observer_node, item.spec.node):
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
        ReachProbe(item.spec.mode, item.spec.container, where, name, seen.get((name, item.address)))
        for item in states
        for where, name in places(item.spec)
    ]
    return tuple(states), tuple(looks)


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
        RunbookError: a node does not answer over SSH, or the container cannot be read.
    """
    found = read_container(cluster.node(spec.node), spec.container)
    if found is None or not found.running:
        raise PreconditionError(
            f"{spec.container} does not run on {spec.node}", remedy="notebook 08_fixed_external_address creates it"
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
    """From where a container is tested: the place in words, and the node."""
    return ("another node", spec.observer_node), ("its own node", spec.node)


def reachable_from(mode: ExternalMode, seen_from: From) -> bool:
    """Whether a container must be reachable from there.

    The kernel never passes a frame from an interface to its own macvlan or ipvlan links, nor back: they share one port,
    and a switch does not return a frame to its ingress port. (``ip-link(8)``, macvlan in bridge
    mode; Docker's "Networking with macvlan": *the host cannot reach the container*.)
    """
    return mode == "published" or seen_from == "another node"


def judge_reach(states: Iterable[ExternalState], looks: Iterable[ReachProbe]) -> tuple[Check, ...]:
    """Whether a container is reached from where it must be, and only from there: one check per test.

    A mode that the kernel lacks is skipped, with the kernel's message.
    """
    troubles = {item.spec.mode: item.trouble for item in states}
    checks = []
    for look in looks:
        wanted = reachable_from(look.mode, look.seen_from)
        claim = f"{look.container} is {'' if wanted else 'not '}reached from {look.seen_from}"
        expected = "it answers with its name" if wanted else "no answer"
        if troubles[look.mode]:
            found = f"no {look.mode} in its node's kernel: {troubles[look.mode]}"
            checks.append(Check(claim, look.node, Verdict.SKIP, found=found))
            continue
        if look.reach is None:
            remedy = f"apply the step for {look.mode} first"
            checks.append(Check(claim, look.node, Verdict.FAIL, expected, "the container does not run", remedy))
            continue
        verdict = Verdict.PASS if look.reached is wanted else Verdict.FAIL
        found = f"{look.reach.answer or 'no answer'} at {look.reach.address}"
        checks.append(Check(claim, look.node, verdict, expected, expected if verdict is Verdict.PASS else found))
    return tuple(checks)


def judge_kept(before: Iterable[ExternalState], after: Iterable[ExternalState]) -> tuple[Check, ...]:
    """Whether each container runs again at its previous address after its node's reboot.

    A mode that the kernel lacks is skipped, and so is a node that has not rebooted.
    """
    checks = []
    for old, new in zip(before, after, strict=True):
        claim, node = f"{new.spec.container} keeps its address across a restart", new.spec.node
        if new.trouble:
            checks.append(Check(claim, node, Verdict.SKIP, found=f"no {new.spec.mode} in its kernel"))
            continue
        if new.boot.same_as(old.boot):
            checks.append(Check(claim, node, Verdict.SKIP, found=f"{node} was not restarted"))
            continue
        verdict = Verdict.PASS if new.address and new.address == old.address else Verdict.FAIL
        moved = verdict is Verdict.FAIL and new.spec.mode == "published"
        remedy = "a published port is at its node's address: notebook 01_fix_node_ips fixes that" if moved else ""
        found = new.address or "it does not run"
        checks.append(Check(claim, node, verdict, old.address or "it runs", found, remedy))
    return tuple(checks)


@dataclass(frozen=True)
class Candidate:
    """A container's present or planned address (empty if none is free), and who uses it.

    ``answering`` holds, by the node that asked, the MAC that answered there; ``holder`` is the container to which any
    engine has assigned it.
    """

    spec: External
    address: str
    answering: Mapping[str, str]
    holder: ContainerFacts | None = None

    @property
    def ours(self) -> bool:
        """Whether our own container has it."""
        return self.holder is not None and (self.holder.node, self.holder.name) == (self.spec.node, self.spec.container)


def find_candidates(cluster: Cluster, specs: Sequence[External]) -> tuple[Candidate, ...]:
    """For each mode except published ports: the address of its container, else the first free one of its block.

    Who answers is asked from the container's node and from the observer_node, all addresses at once: a node does not
    hear the macvlan containers on its own interface, another one does.

    Raises:
        RunbookError: a node does not answer, so the free addresses are unknown.
    """
    network, nodes = cluster.inventory.network, {node.cluster_address for node in cluster.inventory.nodes}
    offers = {spec: tuple(usable(spec.block, network, nodes)) for spec in specs if spec.block is not None}

    def ask(node: Node) -> tuple[tuple[ContainerFacts, ...], dict[str, str | None]]:
        addresses = [
            item for spec, offer in offers.items() if node.name in (spec.node, spec.observer_node) for item in offer
        ]
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
    """The candidate of one mode, from the offered addresses, who answers there, and which containers have them."""
    candidates = [Candidate(spec, address, answers.get(address, {}), holders.get(address)) for address in offer]
    own = (item for item in candidates if item.ours)
    free = (item for item in candidates if not item.answering and item.holder is None)
    return next(own, None) or next(free, Candidate(spec, "", {}))


def judge_candidates(inventory: Inventory, candidates: Iterable[Candidate]) -> tuple[Check, ...]:
    """Whether each address may be used: four checks per container, on its node."""
    network = inventory.network
    checks: list[Check] = []
    for item in candidates:
        name, node = item.spec.container, item.spec.node
        if not item.address:
            remedy = "set another container_range in the inventory's network"
            found = f"every address of {item.spec.block} is in use"
            checks.append(Check(f"an address for {name}", node, Verdict.FAIL, "a free one", found, remedy))
            continue
        known = {other.cluster_address for other in inventory.nodes} | {network.gateway}
        others = "" if item.ours or item.holder is None else item.holder.full_name
        askers = f"{item.spec.node} and {item.spec.observer_node}"
        silence = "only its own MAC" if item.ours else f"no answer to ARP from {askers}"
        checks += [
            _check(f"{name}: in the inventory", node, item.address not in known, f"{item.address} is unused", "used"),
            _pool_check(name, node, item.address, network),
            _check(f"{name}: who answers there", node, _is_silent(item), silence, ", ".join(item.answering.values())),
            _check(f"{name}: assigned by an engine", node, not others, "to no other container", others),
        ]
    return tuple(checks)


def _is_silent(item: Candidate) -> bool:
    macs = set(item.answering.values())
    return not macs or (item.ours and len(macs) == 1)


def _pool_check(name: str, node: str, address: str, network: ClusterNetwork) -> Check:
    claim, pool = f"{name}: DHCP pool", network.pool
    if pool is None:
        remedy = "set dhcp_pool, or an own container_range, in the inventory's network"
        found = "the inventory names no pool: a lease may collide with it"
        return Check(claim, node, Verdict.WARN, "outside the pool", found, remedy)
    return _check(claim, node, address not in pool, f"outside {pool}", f"{address} is inside")


def _check(claim: str, node: str, passed: bool, expected: str, found: str) -> Check:
    return Check(claim, node, Verdict.PASS if passed else Verdict.FAIL, expected, expected if passed else found)
