"""Gives a container a fixed address on the cluster's network by Docker's macvlan or ipvlan driver, and removes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.containers import ContainerFacts, read_container, read_containers
from runbook_lib.facts.docker.networks import NetworkFacts, read_networks
from runbook_lib.facts.host.addresses import arp_owners, read_cluster_address
from runbook_lib.facts.host.host import read_link_types
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import External, usable
from runbook_lib.steps.base import (
    EXTERNAL_LABEL,
    OWNER_LABEL,
    Difference,
    Finding,
    Say,
    Step,
    blocked,
    pending,
    refused,
    satisfied,
    skipped,
    unequal,
)
from runbook_lib.steps.containers import has_image, no_image
from runbook_lib.steps.published_port import changed_since_boot, create, differences, labels

_PARENT_DRIVERS = ("macvlan", "ipvlan")


@dataclass(frozen=True)
class ExternalReading:
    """One node's view: the hosts that answer in the block; the rest only on the container's node.

    ``answering`` maps each address of the block to the MAC that answered an ARP probe there, or ``None``; ``mac`` is
    the node's own; ``trouble`` is why the kernel cannot create such a link (empty if it can).
    """

    answering: Mapping[str, str | None]
    mac: str = ""
    networks: tuple[NetworkFacts, ...] = ()
    container: ContainerFacts | None = None
    has_image: bool = True
    trouble: str = ""


@dataclass(frozen=True)
class ExternalJob:
    """What is left to do, in this order: a network that never assigns ``reserved`` addresses, a container."""

    network: bool = False
    reserved: tuple[str, ...] = ()
    create: bool = False
    start: bool = False
    address: str = ""


@dataclass(frozen=True)
class _Target:
    """The container's address, its MAC as others should see it (empty until it runs), what to do."""

    finding: Finding[ExternalJob]
    address: str = ""
    mac: str = ""


class ExternalAddress(Step[ExternalReading, ExternalJob]):
    """Creates a macvlan or ipvlan network on the cluster's interface, and a container with a fixed address on it.

    The address is the first of the block without an answer to ARP probes from the container's node and the observer
    (``observer_node``); used addresses are reserved in the network, so that Docker never assigns them. Afterwards the
    observer must see the container at its address with the right MAC. Existing objects that differ are never changed. A
    node whose kernel lacks the link type is skipped with the kernel's message.
    """

    settle_seconds = 5.0

    def __init__(self, spec: External, inventory: Inventory, owner: str) -> None:
        assert spec.block is not None  # a published port has no block, and its own step
        self.name = f"fixed address by {spec.mode}"
        self._spec = spec
        self._block = spec.block
        self._network = inventory.network
        self._owner = owner
        nodes = {node.cluster_address for node in inventory.nodes}
        self._candidates = tuple(usable(spec.block, inventory.network, nodes))

    def nodes(self, cluster: Cluster) -> tuple[Node, ...]:
        """The container's node and the observer."""
        return cluster.node(self._spec.node), cluster.node(self._spec.observer_node)

    def read(self, node: Node) -> ExternalReading:
        """The hosts that answer in the block; on the container's node also network, container, image and kernel."""
        interface = self._network.interface
        if node.name != self._spec.node:
            return ExternalReading(arp_owners(node, interface, self._candidates))
        trouble = read_link_types(node, self._spec.mode)[self._spec.mode]
        return ExternalReading(
            {} if trouble else arp_owners(node, interface, self._candidates),
            read_cluster_address(node, self._network).mac,
            read_networks(node),
            read_container(node, self._spec.container),
            has_image(node, self._spec.image),
            trouble,
        )

    def assess(
        self, readings: Mapping[str, ExternalReading], missing: frozenset[str]
    ) -> Mapping[str, Finding[ExternalJob]]:
        """The container is at its address, and the observer sees it there."""
        own, seen = readings.get(self._spec.node), readings.get(self._spec.observer_node)
        findings: dict[str, Finding[ExternalJob]] = {}
        target = self._target(own, seen) if own is not None else None
        if target is not None:
            findings[self._spec.node] = target.finding
        if seen is not None:
            findings[self._spec.observer_node] = self._witnessed(seen, own, target)
        return findings

    def apply(self, cluster: Cluster, node: Node, work: ExternalJob, say: Say) -> None:
        """Create the network, then the container."""
        if work.network:
            say(f"creating {self._spec.network}")
            node.engine.create_network(
                self._spec.network,
                driver=self._spec.mode,
                subnet=self._network.subnet,
                gateway=self._network.gateway,
                ip_range=str(self._block),
                reserved={f"taken-{address.replace('.', '-')}": address for address in work.reserved},
                options={"parent": self._network.interface},
                labels=labels(self._spec.mode, self._owner),
            )
        if work.create:
            say(f"running {self._spec.container}")
            create(node, self._spec, self._owner, address=work.address)
        if work.start:
            node.engine.start(self._spec.container)

    def changed_since_boot(self, node: Node) -> str:
        """The container, if it has not come back from a boot yet."""
        return changed_since_boot(node, self._spec.container) if node.name == self._spec.node else ""

    def _target(self, own: ExternalReading, seen: ExternalReading | None) -> _Target:
        if own.trouble:
            return _Target(skipped(f"this kernel has no {self._spec.mode}: {own.trouble}"))
        refusal = self._network_refusal(own)
        if refusal is not None:
            return _Target(refusal)
        if own.container is not None:
            return self._existing(own, own.container)
        return self._new(own, seen)

    def _existing(self, own: ExternalReading, found: ContainerFacts) -> _Target:
        name, spec = found.name, self._spec
        address = found.fixed_addresses.get(spec.network, "")
        different = differences(found, spec, self._owner)
        if address not in self._candidates:
            different.append(Difference("fixed address", f"one of {self._block}", address))
        if different:
            why = f"{found.full_name} exists with other settings: {'; '.join(map(str, different))}"
            return _Target(refused(f"{name} {found.state}", why, remedy=f"remove it: docker rm -f {name}"))
        if found.running:
            mac = own.mac if spec.mode == "ipvlan" else found.macs.get(spec.network, "")
            return _Target(satisfied(self._described(address)), address, mac)
        other_mac = own.answering.get(address)
        if other_mac is not None:
            return _Target(refused(f"{name} {found.state}", f"{other_mac} now answers at its address {address}"))
        return _Target(
            pending(f"{name} {found.state}", self._described(address), ExternalJob(start=True, address=address)),
            address,
        )

    def _new(self, own: ExternalReading, seen: ExternalReading | None) -> _Target:
        before = f"{self._spec.container} absent"
        if seen is None:
            why = f"{self._spec.observer_node} did not answer, so it is unknown which addresses are free"
            return _Target(refused(before, why, remedy="bring that node back"))
        taken = {
            address: mac
            for answering in (own.answering, seen.answering)
            for address, mac in answering.items()
            if mac is not None
        }
        free = [address for address in self._candidates if address not in taken]
        if not free:
            remedy = "set another container_range in the inventory's network"
            return _Target(refused(before, f"every address of {self._block} is in use", remedy=remedy))
        after = self._described(free[0])
        if not own.has_image:
            why, remedy = no_image(self._spec.container, self._spec.image)
            return _Target(blocked(before, after, why, remedy=remedy), free[0])
        missing = not any(network.name == self._spec.network for network in own.networks)
        job = ExternalJob(missing, tuple(sorted(taken)) if missing else (), create=True, start=True, address=free[0])
        detail = f"taken: {', '.join(f'{address} by {mac}' for address, mac in taken.items())}" if taken else ""
        return _Target(pending(before, after, job, detail), free[0])

    def _network_refusal(self, own: ExternalReading) -> Finding[ExternalJob] | None:
        """Why the network differs, or cannot be created beside another one."""
        interface, wanted = self._network.interface, self._spec.network
        for network in own.networks:
            parent = network.options.get("parent", "")
            if network.name != wanted and network.driver in _PARENT_DRIVERS and parent == interface:
                why = f"the network {network.name} ({network.driver}) already uses {interface} here"
                return refused(
                    network.name, why, remedy=f"remove it once it is empty: docker network rm {network.name}"
                )
            if network.name == wanted:
                different = self._network_differences(network)
                if different:
                    why = f"{wanted} exists with other settings: {'; '.join(map(str, different))}"
                    return refused(wanted, why, remedy=f"remove it once it is empty: docker network rm {wanted}")
        return None

    def _network_differences(self, found: NetworkFacts) -> list[Difference]:
        rows = [
            ("driver", self._spec.mode, found.driver),
            ("parent", self._network.interface, found.options.get("parent", "")),
            ("subnet", self._network.subnet, found.subnet),
            ("range", str(self._block), found.ip_range),
            (OWNER_LABEL, self._owner, found.labels.get(OWNER_LABEL, "")),
            (EXTERNAL_LABEL, self._spec.mode, found.labels.get(EXTERNAL_LABEL, "")),
        ]
        if self._network.gateway is not None:
            rows.append(("gateway", self._network.gateway, found.gateway))
        return unequal(rows)

    def _witnessed(
        self, seen: ExternalReading, own: ExternalReading | None, target: _Target | None
    ) -> Finding[ExternalJob]:
        """What the observer should see, from the container's node's reading."""
        if own is None or target is None:
            return skipped(f"{self._spec.node} did not answer")
        if not target.address:
            return skipped(f"nothing to observe on {self._spec.node}")
        address = target.address
        mac = seen.answering.get(address)
        found = f"{mac} answers at {address}" if mac else f"no answer at {address}"
        if not target.mac:
            return pending(found, f"{self._spec.container} answers at {address}", None, "observes from outside")
        if mac is None:
            return pending(found, f"{target.mac} answers at {address}", None, "observes from outside")
        if mac != target.mac:
            why = f"two hosts have {address}: {target.mac} is {self._spec.container}"
            return refused(found, why, remedy="find the host with the other MAC")
        return satisfied(found, "observes from outside")

    def _described(self, address: str) -> str:
        spec = self._spec
        return f"{spec.container} at {address} on {spec.network}"


@dataclass(frozen=True)
class OwnedExternals:
    """Our networks and containers for external addresses on one node, and other containers on these networks."""

    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]
    guests: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExternalRemoval:
    """The IDs of what is to be removed: containers first, then networks."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]


class RemoveExternals(Step[OwnedExternals, ExternalRemoval]):
    """Removes objects with both our owner label and the external-address label, containers before networks.

    A network with a container of others on it is refused, naming it.
    """

    name = "remove external addresses"
    settle_seconds = 5.0

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def read(self, node: Node) -> OwnedExternals:
        """Ours on that node."""
        networks = tuple(item for item in read_networks(node) if self._ours(item.labels))
        everything = read_containers(node)
        names = {network.name for network in networks}
        guests = (item.name for item in everything if not self._ours(item.labels) and names & set(item.networks))
        return OwnedExternals(networks, tuple(item for item in everything if self._ours(item.labels)), tuple(guests))

    def assess(
        self, readings: Mapping[str, OwnedExternals], missing: frozenset[str]
    ) -> Mapping[str, Finding[ExternalRemoval]]:
        """Pending if there is something of ours."""
        return {name: self._finding(reading) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: ExternalRemoval, say: Say) -> None:
        """Remove them by their IDs."""
        for container in work.containers:
            node.engine.remove_container(container, force=True)
        for network in work.networks:
            node.engine.remove_network(network)

    def _finding(self, reading: OwnedExternals) -> Finding[ExternalRemoval]:
        names = ", ".join([item.name for item in reading.containers] + [item.name for item in reading.networks])
        if not names:
            return satisfied("none of ours")
        if reading.guests:
            guests = ", ".join(reading.guests)
            return refused(names, f"other containers are on it: {guests}", remedy=f"disconnect {guests} first")
        work = ExternalRemoval(
            tuple(item.id for item in reading.containers), tuple(item.id for item in reading.networks)
        )
        return pending(names, "none of ours", work)

    def _ours(self, labels: Mapping[str, str]) -> bool:
        return labels.get(OWNER_LABEL) == self._owner and EXTERNAL_LABEL in labels
