"""What a picture of the cluster shows, looked up by node."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from runbook_lib.facts.addresses import ClusterAddress
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.control_plane import Member, Registration
from runbook_lib.facts.engine import EngineFacts
from runbook_lib.facts.gossip import Gossip, strangers
from runbook_lib.facts.networks import NetworkFacts
from runbook_lib.model.inventory import ClusterNetwork

GATEWAY_BRIDGE = "docker_gwbridge"


@dataclass(frozen=True)
class Terms:
    """What a picture calls the control plane's parts: its members, and an engine that is connected, not, or nowhere."""

    members: str = "etcd members"
    connected: str = "store connected"
    lost: str = "store lost"
    nowhere: str = "no store"
    leads: str = "leads the store"
    linked: str = "connected to the store"
    kept: str = "the store"


STORE_TERMS = Terms()
SWARM_TERMS = Terms(
    members="managers",
    connected="in the swarm",
    lost="not in the swarm",
    nowhere="in no swarm",
    leads="leads the swarm",
    linked="ready in the swarm",
    kept="what the managers agree on",
)


@dataclass(frozen=True)
class ClusterView:
    """Facts to draw, as they were gathered. Whatever was not gathered is not drawn.

    ``nodes`` gives the order, ``silent`` the reason for each node that did not answer, ``engineless`` for each whose
    engine did not although the node did; ``overlay`` is the network's name, ``vnis`` its number by network ID (an
    engine that tells it itself needs none). ``networks`` are all nodes' networks (``read_networks``).
    ``wanted`` names the containers that belong on the overlay; ``None``: all do. ``terms`` names the control plane.
    """

    nodes: Sequence[str]
    network: ClusterNetwork
    overlay: str
    addresses: Sequence[ClusterAddress] = ()
    engines: Sequence[EngineFacts] = ()
    members: Sequence[Member] = ()
    registrations: Sequence[Registration] = ()
    gossip: Sequence[Gossip] = ()
    networks: Sequence[NetworkFacts] = ()
    containers: Sequence[ContainerFacts] = ()
    vnis: Mapping[str, int] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    engineless: Mapping[str, str] = field(default_factory=dict)
    wanted: Collection[str] | None = None
    terms: Terms = STORE_TERMS

    def address(self, node: str) -> ClusterAddress | None:
        """The node's address on the cluster's network."""
        return next((item for item in self.addresses if item.node == node), None)

    def engine(self, node: str) -> EngineFacts | None:
        """The node's engine."""
        return next((item for item in self.engines if item.node == node), None)

    def registration(self, node: str) -> Registration | None:
        """The engine's link to its store."""
        return next((item for item in self.registrations if item.node == node), None)

    def members_on(self, node: str) -> list[Member]:
        """Members of the store whose container is on the node."""
        return [item for item in self.members if item.node == node]

    @property
    def members_nowhere(self) -> list[Member]:
        """Members of the store whose container is on no node that answered."""
        return [item for item in self.members if item.node not in self.nodes]

    def containers_on(self, node: str) -> list[ContainerFacts]:
        """The node's containers but the store's."""
        members = {item.name for item in self.members if item.name != item.node}
        return [item for item in self.containers if item.node == node and item.name not in members]

    def gateway_bridge(self, node: str) -> NetworkFacts | None:
        """The node's docker_gwbridge, if it has one."""
        return next((item for item in self.networks if item.node == node and item.name == GATEWAY_BRIDGE), None)

    def belongs(self, container: ContainerFacts) -> bool:
        """True when the container ought to be on the overlay, so that it is broken when it is not."""
        return self.wanted is None or container.name in self.wanted

    def strangers(self, node: str) -> tuple[str, ...] | None:
        """Nodes of engines that this one does not know; ``None`` when it does not gossip, or nobody asked."""
        return strangers(self.gossip).get(node)

    @property
    def overlay_network(self) -> NetworkFacts | None:
        """The overlay, as the first node that knows it does."""
        return next((item for item in self.networks if item.name == self.overlay and item.driver == "overlay"), None)

    @property
    def vni(self) -> int | None:
        """The overlay's number on the wire; ``None`` where it is unknown, or not given out yet.

        With a cluster store that happens when its first container joins (libnetwork ``ov_network.go``:
        ``obtainVxlanID``); until then the store says 0.
        """
        overlay = self.overlay_network
        return None if overlay is None else overlay.vni or self.vnis.get(overlay.id) or None

    @property
    def awaits_vni(self) -> bool:
        """True when the overlay is known to have no number yet."""
        overlay = self.overlay_network
        return overlay is not None and self.vni is None and overlay.id in self.vnis
