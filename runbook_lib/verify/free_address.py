"""Whether the address that a container is to have is free: by ARP, by the DHCP pool, by what every engine gave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.arp import arp_owners
from runbook_lib.facts.containers import ContainerFacts, read_containers
from runbook_lib.model.external import External, usable
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.results import Check, Verdict


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
