"""Disconnects a container from a network and connects it again, on whatever node it runs.

An engine before 23.0 may fail to reach its store for one call although the node reaches it. When the last container of
a node leaves an overlay, libnetwork releases an OS thread that is still in the removed network namespace
(``drivers/overlay/ov_network.go``: ``watchMiss``). What the engine later does on that thread fails with "network is
unreachable", until the thread enters a namespace again. Such a call is retried after a pause.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineError, NodeError, StoreUnavailable
from runbook_lib.facts.control_planes.base import FULL_ACCESS, ControlPlane, OverlayAccess
from runbook_lib.facts.docker.containers import ContainerFacts, read_container
from runbook_lib.facts.docker.networks import LostNetwork, NetworkFacts, lost_networks, read_network
from runbook_lib.facts.overlay.interfaces import ContainerInterface, read_interfaces
from runbook_lib.steps.base import Finding, Say, Step, blocked, pending, refused, satisfied, skipped
from runbook_lib.steps.gossip import retry_while_store_fails, wait_for_gossip
from runbook_lib.steps.leftovers import force_disconnect

_ATTEMPTS = 6
_PAUSE = 0.5
_NO_ENDPOINT = "is not connected to network"


@dataclass(frozen=True)
class AttachmentReading:
    """A container on a node (``None`` if it is not there), its interfaces inside, and the network."""

    container: ContainerFacts | None
    interfaces: tuple[ContainerInterface, ...] = ()
    network: NetworkFacts | None = None
    access: OverlayAccess = FULL_ACCESS

    def inside(self) -> tuple[str, ...]:
        """``eth0 10.0.0.2`` for every interface with an address of the network."""
        if self.network is None or not self.network.subnet:
            return ()
        subnet = IPv4Network(self.network.subnet)
        return tuple(
            f"{item.name} {item.address}{' (down)' if item.state == 'DOWN' else ''}"
            for item in self.interfaces
            if item.address and IPv4Address(item.address) in subnet
        )

    def cut_off(self) -> bool:
        """Whether the container's interface on the network is down: its veth peer is gone."""
        inside = {word.partition(" ")[0] for word in self.inside()}
        return any(item.name in inside and item.state == "DOWN" for item in self.interfaces)


class _Attachment(Step[AttachmentReading, str]):
    settle_seconds = 5.0
    wanted: str

    def __init__(self, container: str, network: str, control_plane: ControlPlane) -> None:
        self._container = container
        self._network = network
        self._control_plane = control_plane

    def read(self, node: Node) -> AttachmentReading:
        """The container in Docker, and its interfaces from inside."""
        container = read_container(node, self._container)
        network = read_network(node, self._network)
        if container is None:
            return AttachmentReading(None, network=network)
        access = self._control_plane.read_overlay_access(node) if network is None else FULL_ACCESS
        interfaces = read_interfaces(node, container) if container.running else ()
        return AttachmentReading(container, interfaces, network, access)

    def assess(self, readings: Mapping[str, AttachmentReading], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        """Only the node with the container matters; without one, every node reports that."""
        holders = [name for name, reading in readings.items() if reading.container is not None]
        lost = self._lost(readings)
        return {name: self._finding(reading, holders, missing, lost.get(name)) for name, reading in readings.items()}

    def contradicted(self, readings: Mapping[str, AttachmentReading]) -> Collection[str]:
        """The node with the container, while its engine does not find a network that others list."""
        return self._lost(readings)

    def _lost(self, readings: Mapping[str, AttachmentReading]) -> dict[str, LostNetwork]:
        containers = [reading.container for reading in readings.values() if reading.container is not None]
        seen = {name: reading.network for name, reading in readings.items()}
        managers = [name for name, reading in readings.items() if reading.access.manages]
        lost = lost_networks(self._network, seen, containers, managers)
        holders = [name for name, row in readings.items() if row.container is not None and not row.access.trouble]
        return {name: lost[name] for name in holders if name in lost}

    def confirm(
        self,
        before: Mapping[str, AttachmentReading],
        fresh: Mapping[str, AttachmentReading],
        missing: frozenset[str],
    ) -> Mapping[str, Finding[str]]:
        """A swarm worker forgets the network with its last container on it: then use the earlier subnet."""
        known = {
            name: replace(reading, network=reading.network or (before[name].network if name in before else None))
            for name, reading in fresh.items()
        }
        return self.assess(known, missing)

    @abstractmethod
    def judge(self, attached: bool, inside: tuple[str, ...]) -> Finding[str]:
        """Assess a running container by Docker's endpoint and its interfaces on the network."""

    def judge_forgotten(self, inside: tuple[str, ...]) -> Finding[str]:
        """Assess a container on the network whose address Docker has lost."""
        return pending(f"connected, {', '.join(inside)}, but Docker has lost the address", self.wanted, self._container)

    def _finding(
        self, reading: AttachmentReading, holders: list[str], missing: frozenset[str], lost: LostNetwork | None
    ) -> Finding[str]:
        name, container = self._container, reading.container
        if not holders:
            where = f"any node that answered ({', '.join(sorted(missing))} did not)" if missing else "any node"
            why = f"there is no container {name} on {where}"
            return blocked("absent", self.wanted, why, remedy="notebook 04_run_containers creates it")
        if container is None:
            return skipped(f"{name} is on {', '.join(holders)}")
        if len(holders) > 1:
            return refused(
                container.state,
                f"{name} is on more than one node: {', '.join(holders)}",
                remedy=f"remove one: docker rm -f {name}",
            )
        if not container.running:
            why = f"{name} is {container.state}"
            return blocked(container.state, self.wanted, why, remedy="notebook 04_run_containers starts it")
        if lost is not None:
            return blocked(container.state, self.wanted, lost.why, remedy=lost.remedy)
        if reading.network is None and (reading.access.manages or reading.access.trouble):
            return self._no_network(reading, container)
        inside, listed = reading.inside(), self._network in container.networks
        if reading.cut_off() and self.wanted == Connect.wanted:
            return refused(
                f"{', '.join(inside)} is down inside {name}",
                f"a failed call left an interface without a peer in {name}",
                remedy=f"on {container.node}: docker restart {name}",
            )
        if listed and inside and not container.addresses.get(self._network):
            return self.judge_forgotten(inside)
        # a failed call may leave the network's name without an endpoint
        return self.judge(listed and bool(inside or container.endpoint_ids.get(self._network)), inside)

    def _no_network(self, reading: AttachmentReading, container: ContainerFacts) -> Finding[str]:
        if reading.access.trouble:
            return blocked(container.state, self.wanted, reading.access.trouble, remedy=self._control_plane.remedy)
        why = f"there is no network {self._network}"
        return blocked(container.state, self.wanted, why, remedy="notebook 03_create_overlay creates it")


class Disconnect(_Attachment):
    """Disconnects a container from a network (``docker network disconnect``), verified in Docker and from inside.

    A node that does not have the container is ``skipped``.
    """

    wanted = "disconnected"

    def __init__(self, container: str, network: str, control_plane: ControlPlane) -> None:
        super().__init__(container, network, control_plane)
        self.name = f"disconnect {container} from {network}"

    def judge(self, attached: bool, inside: tuple[str, ...]) -> Finding[str]:
        """Satisfied if Docker does not list the network and none of its interfaces is left."""
        if not attached and not inside:
            return satisfied("disconnected")
        return pending(_describe(attached, inside), self.wanted, self._container)

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        """Disconnect it."""
        plane, network = self._control_plane, self._network
        retry_while_store_fails(
            node, plane, network, lambda: disconnect_and_release(cluster, node, plane, work, network), say
        )


class Connect(_Attachment):
    """Connects a container to a network (``docker network connect``), verified in Docker and from inside.

    The interface exists at once; until peers resolve and reach it again takes longer: ``verify.convergence`` measures
    it. A node that does not have the container is ``skipped``.
    """

    wanted = "connected"

    def __init__(self, container: str, network: str, control_plane: ControlPlane) -> None:
        super().__init__(container, network, control_plane)
        self.name = f"connect {container} to {network}"

    def judge(self, attached: bool, inside: tuple[str, ...]) -> Finding[str]:
        """Satisfied if Docker lists the network and an interface has an address of it."""
        if attached and inside:
            return satisfied(_describe(attached, inside))
        return pending(_describe(attached, inside), self.wanted, self._container)

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        """Connect it."""
        wait_for_gossip(node, self._control_plane, say)
        connecting = partial(connect_with_address, cluster, node, self._control_plane, work, self._network)
        retry_while_store_fails(node, self._control_plane, self._network, connecting, say)


def connect_with_address(
    cluster: Cluster, node: Node, control_plane: ControlPlane, container: str, network: str
) -> None:
    """Connect a container; retry if the engine could not reach its store or does not know the address afterwards.

    An engine whose store is slow at that moment connects the container but records no address, without an error (moby
    20.10, daemon/network.go: "It is not an error to get an empty endpoint info"). Its name does not resolve then.

    Raises:
        StoreUnavailable: the engine does not reach its store, after all retries.
        RunbookError: the engine refuses, or a node that must be asked does not answer.
    """
    for attempt in range(_ATTEMPTS):
        disconnect_and_release(cluster, node, control_plane, container, network)
        try:
            node.engine.connect(container, network)
        except StoreUnavailable:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE)
            continue
        found = read_container(node, container)
        if found is None or not found.running or found.addresses.get(network):
            return


def disconnect_and_release(
    cluster: Cluster, node: Node, control_plane: ControlPlane, container: str, network: str
) -> None:
    """Disconnect a container, and remove what a failed call left of its endpoint in the store.

    Raises:
        StoreUnavailable: the engine does not reach its store, after all retries.
        RunbookError: the engine refuses, or a node that must be asked does not answer.
    """
    for attempt in range(_ATTEMPTS):
        try:
            found = read_container(node, container)
            if found is not None and not (network in found.networks and _disconnected(node, container, network)):
                _release(cluster, node, control_plane, found, network)
            return
        except StoreUnavailable:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE)


def _disconnected(node: Node, container: str, network: str) -> bool:
    """Disconnect a container; false if it has no endpoint there."""
    try:
        node.engine.disconnect(container, network)
    except EngineError as error:
        if isinstance(error, StoreUnavailable) or _NO_ENDPOINT not in error.explanation:
            raise
        return False
    return True


def _release(
    cluster: Cluster, node: Node, control_plane: ControlPlane, container: ContainerFacts, network: str
) -> None:
    """Remove a network's endpoint with the name of a container that is not on it.

    The engine of the container's node refuses, so another one does it. A container of that name on another node may own
    the endpoint, so every node must answer first.
    """
    facts = read_network(node, network)
    if facts is None or all(item.name != container.name for item in facts.endpoints):
        return
    for other in cluster.nodes:
        if other.name != node.name and read_container(other, container.name) is not None:
            raise NodeError(
                node.name,
                f"{network} has an endpoint {container.name}, which may belong to the container on {other.name}",
                remedy=f"give one of the two containers named {container.name} another name",
            )
    force_disconnect(cluster, node, control_plane, network, container.name)


def _describe(attached: bool, inside: tuple[str, ...]) -> str:
    if attached and inside:
        return f"connected, {', '.join(inside)}"
    if attached:
        return "connected in Docker, but no interface inside"
    return f"disconnected in Docker, but still {', '.join(inside)} inside" if inside else "disconnected"
