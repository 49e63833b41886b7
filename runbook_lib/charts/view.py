"""What a picture of the cluster shows, looked up by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runbook_lib.facts.addresses import ClusterAddress
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.engine import EngineFacts
from runbook_lib.facts.etcd import EtcdMember
from runbook_lib.facts.networks import NetworkFacts
from runbook_lib.facts.registrations import StoreRegistration
from runbook_lib.model.inventory import ClusterNetwork

GATEWAY_BRIDGE = "docker_gwbridge"


@dataclass(frozen=True)
class ClusterView:
    """Facts to draw, as they were gathered. Whatever was not gathered is not drawn.

    ``nodes`` gives the order, ``silent`` the reason for each node that did not answer, ``overlay`` the network's name.
    ``networks`` are all nodes' networks (``read_networks``); ``registrations`` may be left out where nobody asked.
    """

    nodes: Sequence[str]
    network: ClusterNetwork
    overlay: str
    addresses: Sequence[ClusterAddress] = ()
    engines: Sequence[EngineFacts] = ()
    members: Sequence[EtcdMember] = ()
    registrations: Sequence[StoreRegistration] = ()
    networks: Sequence[NetworkFacts] = ()
    containers: Sequence[ContainerFacts] = ()
    silent: Mapping[str, str] = field(default_factory=dict)

    def address(self, node: str) -> ClusterAddress | None:
        """The node's address on the cluster's network."""
        return next((item for item in self.addresses if item.node == node), None)

    def engine(self, node: str) -> EngineFacts | None:
        """The node's engine."""
        return next((item for item in self.engines if item.node == node), None)

    def registration(self, node: str) -> StoreRegistration | None:
        """The engine's link to its store."""
        return next((item for item in self.registrations if item.node == node), None)

    def members_on(self, node: str) -> list[EtcdMember]:
        """Members of the store whose container is on the node."""
        return [item for item in self.members if item.node == node]

    def containers_on(self, node: str) -> list[ContainerFacts]:
        """The node's containers but the store's."""
        members = {item.name for item in self.members}
        return [item for item in self.containers if item.node == node and item.name not in members]

    def gateway_bridge(self, node: str) -> NetworkFacts | None:
        """The node's docker_gwbridge, if it has one."""
        return next((item for item in self.networks if item.node == node and item.name == GATEWAY_BRIDGE), None)

    @property
    def overlay_network(self) -> NetworkFacts | None:
        """The overlay, as the first node that knows it does."""
        return next((item for item in self.networks if item.name == self.overlay and item.driver == "overlay"), None)


def describe(view: ClusterView) -> str:
    """The picture in words: a sentence for the overlay and one a node."""
    overlay = view.overlay_network
    what = f"overlay {view.overlay}, {overlay.subnet}" if overlay else f"no overlay {view.overlay}"
    sentences = [f"{len(view.nodes)} nodes on {view.network.subnet}; {what}."]
    return " ".join([*sentences, *(_describe_node(view, node) for node in view.nodes)])


def _describe_node(view: ClusterView, node: str) -> str:
    if node in view.silent:
        return f"{node} does not answer."
    parts = []
    address, engine, registration = view.address(node), view.engine(node), view.registration(node)
    if address is not None:
        parts.append(f"{address.address or 'no address'} ({address.assigned_by})")
    if engine is not None:
        parts.append(f"Docker {engine.version}")
    if registration is not None and not registration.connected:
        parts.append("not connected to its store")
    parts += [f"{item.name} {item.health}{', leader' if item.leader else ''}" for item in view.members_on(node)]
    for container in view.containers_on(node):
        where = container.addresses.get(view.overlay, f"not on {view.overlay}")
        parts.append(f"container {container.name} {where if container.running else container.state}")
    if view.gateway_bridge(node) is not None:
        parts.append(GATEWAY_BRIDGE)
    return f"{node}: {'; '.join(parts) or 'nothing is known'}."
