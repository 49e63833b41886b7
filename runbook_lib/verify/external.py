"""Who reaches a container with an external address, from where, and whether that is as it must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError, PreconditionError
from runbook_lib.facts.addresses import read_cluster_address
from runbook_lib.facts.boot import Boot, read_boot
from runbook_lib.facts.containers import ContainerFacts, read_container
from runbook_lib.facts.link_types import read_link_types
from runbook_lib.facts.reach import Reach, read_reach
from runbook_lib.model.external import PORT, External, Way
from runbook_lib.model.inventory import ClusterNetwork
from runbook_lib.model.parameters import Probes
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


def read_standing(node: Node, spec: External, network: ClusterNetwork) -> Standing:
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
            lambda node: [read_standing(node, spec, network) for spec in specs if spec.node == node.name],
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


def ping_nodes(
    cluster: Cluster, spec: External, probes: Probes
) -> tuple[tuple[str, str, str, float | None, bool], ...]:
    """Ping every node from inside a container: container, node, address, mean round trip in ms, whether it answers.

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
        rows.append((spec.container, node, address, fmean(times) if times else None, bool(times)))
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
