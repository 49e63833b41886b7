"""Removes the docker_gwbridge that Docker made for our containers and leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_plane import ControlPlane
from runbook_lib.facts.gateway_bridge import GATEWAY_BRIDGE, GatewayBridge, read_gateway_bridge
from runbook_lib.steps.base import OWNER_LABEL, Finding, Say, Step, blocked, pending, satisfied, skipped

BARE_LABEL = "org.overlay-runbook.without-docker_gwbridge"
"""Label of the overlays that a step makes: the nodes that had no docker_gwbridge at that moment. Only so anybody can
tell later that one was not there before: Docker writes no owner on it."""
BRIDGED_LABEL = "org.overlay-runbook.with-docker_gwbridge"
"""The same of the nodes that had one. Of a node in neither list, which was down then or came later, nobody knows."""


def bridge_labels(had_one: Mapping[str, bool]) -> dict[str, str]:
    """Both labels from what was read of each node."""
    wanted = ((BARE_LABEL, False), (BRIDGED_LABEL, True))
    return {label: ", ".join(sorted(name for name, had in had_one.items() if had is one)) for label, one in wanted}


@dataclass(frozen=True)
class BridgeReading:
    """docker_gwbridge on one node, and what is known of its origin; ``owner`` is whose labels count."""

    found: GatewayBridge
    owner: str

    @property
    def others(self) -> tuple[str, ...]:
        """Who is on it besides our containers."""
        ours = {item.id: item for item in self.found.containers if item.labels.get(OWNER_LABEL) == self.owner}
        left = [endpoint for endpoint in self.found.endpoints if endpoint.container_id not in ours]
        known = {item.id: item.name for item in self.found.containers}
        return tuple(known.get(endpoint.container_id, endpoint.name) for endpoint in left)

    @property
    def ours(self) -> tuple[str, ...]:
        """Which of our containers are on it."""
        return self.found.users(
            tuple(item for item in self.found.containers if item.labels.get(OWNER_LABEL) == self.owner)
        )

    @property
    def came_later(self) -> bool | None:
        """Whether it was not there before an overlay of ours was; ``None`` when none of ours tells of the node."""
        ours = [network.labels for network in self.found.networks if network.labels.get(OWNER_LABEL) == self.owner]
        if any(self.found.node in labels.get(BARE_LABEL, "").split(", ") for labels in ours):
            return True
        return False if any(self.found.node in labels.get(BRIDGED_LABEL, "").split(", ") for labels in ours) else None

    @property
    def removable(self) -> bool:
        """Whether it came with ours, and nobody else is on it."""
        return self.found.bridge is not None and bool(self.came_later) and not self.others


def read_bridge(node: Node, owner: str) -> BridgeReading:
    """Ask a node's engine. Raises ``UnreachableError`` or ``NodeError``."""
    return BridgeReading(read_gateway_bridge(node), owner)


class RemoveGatewayBridges(Step[BridgeReading, str]):
    """Removes docker_gwbridge from nodes that had none before our overlay, once no container is on it.

    It stays where somebody else is on it, where it was there before, where nobody knows (the overlay is not of ours, or
    is gone already), and in a swarm, whose nodes all have one. Our containers go first, our networks, which tell where
    it was, afterwards.
    """

    name = f"remove {GATEWAY_BRIDGE}"
    settle_seconds = 5.0

    def __init__(self, owner: str, control_plane: ControlPlane) -> None:
        self._owner = owner
        self._control_plane = control_plane

    def read(self, node: Node) -> BridgeReading:
        """The bridge, who is on it, and what our networks tell of it."""
        return read_bridge(node, self._owner)

    def assess(self, readings: Mapping[str, BridgeReading], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        """Each node for itself."""
        return {name: self._finding(name, reading) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        """Remove it. An engine refuses while anybody is on it."""
        node.engine.remove_network(work)

    def _finding(self, node: str, reading: BridgeReading) -> Finding[str]:
        bridge = reading.found.bridge
        if bridge is None:
            return satisfied("none")
        if self._control_plane.bridges_every_node:
            return satisfied(GATEWAY_BRIDGE, "it stays: every node of a swarm has one")
        if reading.others:
            return satisfied(GATEWAY_BRIDGE, f"it stays: {', '.join(reading.others)} of others is on it")
        if reading.came_later is False:
            return satisfied(GATEWAY_BRIDGE, "it stays: it was there before our overlay")
        if reading.came_later is None:
            by_hand = f"on {node}: docker network rm {GATEWAY_BRIDGE}"
            why = f"it stays: nobody knows whether it was there before; to remove it, {by_hand}"
            return skipped(why, GATEWAY_BRIDGE)
        if reading.ours:
            why = f"{', '.join(reading.ours)} is on it"
            return blocked(GATEWAY_BRIDGE, "none", why, remedy="remove our containers first")
        return pending(GATEWAY_BRIDGE, "none", bridge.id, "nobody is on it, and it was not there before our overlay")
