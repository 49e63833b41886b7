"""docker_gwbridge on one node: whether it is there, who is on it, and who needs it.

Docker makes this bridge with a node's first container that has no other way out than an overlay, as its way out, and
never removes it (libnetwork, ``default_gateway.go``: ``setupDefaultGW``, ``needDefaultGW``). A node that joins a swarm
makes it then.
"""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.containers import ContainerFacts, read_containers
from runbook_lib.facts.networks import Endpoint, NetworkFacts, read_network, read_networks

GATEWAY_BRIDGE = "docker_gwbridge"


@dataclass(frozen=True)
class GatewayBridge:
    """The bridge as one node's engine has it, the node's networks and all its containers.

    ``bridge`` lists its endpoints; ``None`` where there is none.
    """

    node: str
    bridge: NetworkFacts | None
    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Everybody on it: containers, and in Swarm mode the node's way into the swarm's own network."""
        return (*self.bridge.endpoints, *self.bridge.balancers) if self.bridge is not None else ()

    @property
    def needed_by(self) -> tuple[ContainerFacts, ...]:
        """The node's running containers on an overlay that have no other way out."""
        overlays = {item.name for item in self.networks if item.driver == "overlay" and not item.internal}
        return tuple(
            item
            for item in self.containers
            if item.running and overlays & set(item.addresses) and not set(item.gateways) - overlays
        )

    def users(self, containers: tuple[ContainerFacts, ...]) -> tuple[str, ...]:
        """The names of those of the containers that are on it."""
        ids = {endpoint.container_id for endpoint in self.endpoints}
        return tuple(item.name for item in containers if item.id in ids)


def read_gateway_bridge(node: Node) -> GatewayBridge:
    """Ask a node's engine. Raises ``UnreachableError`` or ``NodeError``."""
    networks = read_networks(node)
    there = any(item.name == GATEWAY_BRIDGE for item in networks)
    bridge = read_network(node, GATEWAY_BRIDGE) if there else None
    return GatewayBridge(node.name, bridge, networks, read_containers(node))
