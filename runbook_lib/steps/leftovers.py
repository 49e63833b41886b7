"""What Docker leaves behind: an unused docker_gwbridge, and stale endpoints.

After a crash a network may still list an endpoint that no container has. A container of that name cannot join the
network then: ``endpoint with name X already exists in network Y`` (https://github.com/moby/moby/issues/20398). The
repair is ``docker network disconnect -f``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.control_planes.base import ControlPlane
from runbook_lib.facts.docker.containers import ContainerFacts, read_container
from runbook_lib.facts.docker.networks import (
    GATEWAY_BRIDGE,
    GatewayBridge,
    NetworkFacts,
    read_gateway_bridge,
    read_network,
)
from runbook_lib.steps.base import OWNER_LABEL, Finding, Say, Step, blocked, pending, satisfied, skipped

WITHOUT_BRIDGE_LABEL = "org.overlay-runbook.without-docker_gwbridge"
"""Label of the runbook's overlays: the nodes without docker_gwbridge at creation. Docker itself records no owner."""
WITH_BRIDGE_LABEL = "org.overlay-runbook.with-docker_gwbridge"
"""The nodes with docker_gwbridge at creation. A node in neither list was down then, or added later."""


def bridge_labels(had_one: Mapping[str, bool]) -> dict[str, str]:
    """Both labels from the nodes' readings."""
    wanted = ((WITHOUT_BRIDGE_LABEL, False), (WITH_BRIDGE_LABEL, True))
    return {label: ", ".join(sorted(name for name, had in had_one.items() if had is one)) for label, one in wanted}


@dataclass(frozen=True)
class BridgeReading:
    """docker_gwbridge on one node, and its origin by the labels of ``owner``."""

    found: GatewayBridge
    owner: str

    @property
    def others(self) -> tuple[str, ...]:
        """Endpoints on it other than our containers."""
        ours = {item.id: item for item in self.found.containers if item.labels.get(OWNER_LABEL) == self.owner}
        left = [endpoint for endpoint in self.found.endpoints if endpoint.container_id not in ours]
        known = {item.id: item.name for item in self.found.containers}
        return tuple(known.get(endpoint.container_id, endpoint.name) for endpoint in left)

    @property
    def ours(self) -> tuple[str, ...]:
        """Our containers on it."""
        return self.found.users(
            tuple(item for item in self.found.containers if item.labels.get(OWNER_LABEL) == self.owner)
        )

    @property
    def created_with_overlay(self) -> bool | None:
        """Whether it was created with our overlay; ``None`` if the labels do not name the node."""
        ours = [network.labels for network in self.found.networks if network.labels.get(OWNER_LABEL) == self.owner]
        if any(self.found.node in labels.get(WITHOUT_BRIDGE_LABEL, "").split(", ") for labels in ours):
            return True
        return (
            False if any(self.found.node in labels.get(WITH_BRIDGE_LABEL, "").split(", ") for labels in ours) else None
        )

    @property
    def removable(self) -> bool:
        """Whether it was created with our overlay and has no other endpoints."""
        return self.found.bridge is not None and bool(self.created_with_overlay) and not self.others


def read_bridge(node: Node, owner: str) -> BridgeReading:
    """The bridge of one node. Raises ``UnreachableError`` or ``NodeError``."""
    return BridgeReading(read_gateway_bridge(node), owner)


class RemoveGatewayBridges(Step[BridgeReading, str]):
    """Removes docker_gwbridge from nodes that had none before our overlay, once no container is on it.

    It stays if other containers use it, if it is older, if its origin is unknown (the overlay is not ours, or already
    removed), and in a swarm, whose nodes all have one. Remove our containers before it, and our networks, whose labels
    are needed here, after it.
    """

    name = f"remove {GATEWAY_BRIDGE}"
    settle_seconds = 5.0

    def __init__(self, owner: str, control_plane: ControlPlane) -> None:
        self._owner = owner
        self._control_plane = control_plane

    def read(self, node: Node) -> BridgeReading:
        """The bridge, its endpoints, and our networks' labels."""
        return read_bridge(node, self._owner)

    def assess(self, readings: Mapping[str, BridgeReading], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        """Each node for itself."""
        return {name: self._finding(name, reading) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        """Remove it. The engine refuses while it has endpoints."""
        node.engine.remove_network(work)

    def _finding(self, node: str, reading: BridgeReading) -> Finding[str]:
        bridge = reading.found.bridge
        if bridge is None:
            return satisfied("none")
        if self._control_plane.bridges_every_node:
            return satisfied(GATEWAY_BRIDGE, "it stays: every node of a swarm has one")
        if reading.others:
            return satisfied(GATEWAY_BRIDGE, f"it stays: not ours, but on it: {', '.join(reading.others)}")
        if reading.created_with_overlay is False:
            return satisfied(GATEWAY_BRIDGE, "it stays: it is older than our overlay")
        if reading.created_with_overlay is None:
            by_hand = f"on {node}: docker network rm {GATEWAY_BRIDGE}"
            why = f"it stays: unknown whether it is older than our overlay; to remove it, {by_hand}"
            return skipped(why, GATEWAY_BRIDGE)
        if reading.ours:
            why = f"{', '.join(reading.ours)} is on it"
            return blocked(GATEWAY_BRIDGE, "none", why, remedy="remove our containers first")
        return pending(GATEWAY_BRIDGE, "none", bridge.id, "it is unused and came with our overlay")


def stale_endpoints(network: NetworkFacts, containers: Iterable[ContainerFacts]) -> tuple[str, ...]:
    """Names of a network's endpoints that belong to none of the containers, running or not.

    What a crash left to a container that still exists is not stale: its engine puts it right when the container starts.

    True only if ``containers`` are all containers of all nodes: the caller makes sure that every node answered.
    """
    owned = {endpoint_id for item in containers for endpoint_id in item.endpoint_ids.values()}
    return tuple(item.name for item in network.endpoints if item.endpoint_id not in owned)


def force_disconnect(cluster: Cluster, node: Node, control_plane: ControlPlane, network: str, endpoint: str) -> None:
    """Remove a stale endpoint from a network (name or ID).

    The node's engine does it unless it has a container of that name: it would only forget the stopped container's
    network and leave the endpoint in the store. Then another node does it.

    Raises:
        NodeError: it is not stale (an engine outside the inventory has it), or every node has a container of that
            name.
        RunbookError: a node does not answer, or its engine refuses.
    """
    known = read_network(node, network)
    if known is not None and (elsewhere := control_plane.read_foreign_engine(cluster, known.id, endpoint)):
        raise NodeError(
            node.name,
            f"{endpoint} of {known.name} is on the engine at {elsewhere}, which is not in the inventory",
            remedy=f"disconnect {endpoint} there, or add that node to the inventory",
        )
    others = [item for item in cluster.nodes if item.name != node.name]
    for candidate in (node, *others):
        if read_container(candidate, endpoint) is None:
            candidate.engine.disconnect(endpoint, network, force=True)
            return
    raise NodeError(
        node.name,
        f"the stale endpoint {endpoint} of network {network} can only be removed by a node without such a container",
        remedy=f"remove the stopped container {endpoint} of one node: docker rm {endpoint}",
    )
