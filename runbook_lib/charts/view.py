"""The facts of a cluster picture by node, its text alternative, and the differences between two pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.overlay.gossip import Gossip, unknown_peers
from runbook_lib.model.inventory import ClusterNetwork

GATEWAY_BRIDGE = "docker_gwbridge"


@dataclass(frozen=True)
class Terms:
    """The control plane's terms in a picture: its members, and the states of an engine's link to it."""

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
    """The facts to draw. Facts that were not read are not drawn.

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
        """The node's containers without those of the store."""
        members = {item.name for item in self.members if item.name != item.node}
        return [item for item in self.containers if item.node == node and item.name not in members]

    def gateway_bridge(self, node: str) -> NetworkFacts | None:
        """The node's docker_gwbridge, if it has one."""
        return next((item for item in self.networks if item.node == node and item.name == GATEWAY_BRIDGE), None)

    def belongs(self, container: ContainerFacts) -> bool:
        """Whether the container should be on the overlay, so that it is broken if it is not."""
        return self.wanted is None or container.name in self.wanted

    def unknown_peers(self, node: str) -> tuple[str, ...] | None:
        """Nodes of engines that this one does not know; ``None`` if it does not gossip, or if that was not read."""
        return unknown_peers(self.gossip).get(node)

    @property
    def overlay_network(self) -> NetworkFacts | None:
        """The overlay, as the first node lists it."""
        return next((item for item in self.networks if item.name == self.overlay and item.driver == "overlay"), None)

    @property
    def vni(self) -> int | None:
        """The overlay's VNI; ``None`` if it is unknown, or not assigned yet.

        With a cluster store that happens when its first container joins (libnetwork ``ov_network.go``:
        ``obtainVxlanID``); until then the store says 0.
        """
        overlay = self.overlay_network
        return None if overlay is None else overlay.vni or self.vnis.get(overlay.id) or None

    @property
    def has_no_vni_yet(self) -> bool:
        """Whether the overlay is known to have no VNI yet."""
        overlay = self.overlay_network
        return overlay is not None and self.vni is None and overlay.id in self.vnis


#: An item in the picture: its node (empty for the overlay) and its name.
Thing = tuple[str, str]
#: The name of the item for a node itself.
NODE = "node"


def statements(view: ClusterView) -> dict[Thing, str]:
    """The description of each item in the picture, in reading order."""
    overlay = view.overlay_network
    found = {("", view.overlay): missing_overlay_words(view)}
    if overlay is not None:
        vni = f", {vni_words(view)}" if vni_words(view) else ""
        found["", view.overlay] = f"overlay {view.overlay}, {overlay.subnet}{vni}"
    found |= {("", member.name): f"{member.name} {member_words(member)}" for member in view.members_nowhere}
    for node in view.nodes:
        found |= {(node, thing): words for thing, words in _on_node(view, node).items()}
    return found


def describe(view: ClusterView) -> str:
    """The picture as text: one sentence for the overlay and one per node."""
    said = statements(view)
    beside = [words for (place, _), words in said.items() if not place]
    sentences = [f"{len(view.nodes)} nodes on {view.network.subnet}; {'; '.join(beside)}."]
    for node in view.nodes:
        parts = [words for (place, _), words in said.items() if place == node]
        sentences.append(f"{node}: {'; '.join(parts) or 'nothing is known'}.")
    return " ".join(sentences)


def differences(before: ClusterView, after: ClusterView) -> dict[Thing, str]:
    """The description of each changed item: ``node3: container alpine1 10.0.0.2 → not on ovr0``."""
    old, new = statements(before), statements(after)
    found = {}
    for thing in [*new, *(thing for thing in old if thing not in new)]:
        if old.get(thing) == new.get(thing) or (thing[1] != NODE and thing[0] in {*before.silent, *after.silent}):
            continue
        place = f"{thing[0]}: " if thing[0] else ""
        if thing[1] == NODE:
            found[thing] = f"{place}{new.get(thing, 'answers again')}"
        elif thing not in old:
            found[thing] = f"{place}{new[thing]} (new)"
        elif thing not in new:
            found[thing] = f"{place}{old[thing]} → gone"
        else:
            found[thing] = f"{place}{_change(old[thing], new[thing])}"
    return found


def missing_overlay_words(view: ClusterView) -> str:
    """Why the picture has no overlay."""
    if any(view.overlay in container.addresses for container in view.containers):
        return f"no engine lists {view.overlay} now, although containers are on it"
    return f"no overlay network {view.overlay}"


def vni_words(view: ClusterView) -> str:
    """The overlay's VNI as text; empty if it is unknown."""
    if view.vni is None:
        return "no VNI before its first container" if view.has_no_vni_yet else ""
    return f"VNI {view.vni}"


def container_words(view: ClusterView, container: ContainerFacts) -> tuple[str, bool]:
    """A container's place as text, and whether it is broken."""
    address = container.addresses.get(view.overlay)
    if address and container.running:
        return address, False
    broken = view.belongs(container)
    if not container.running:
        return container.state, broken
    if broken:
        return f"not on {view.overlay}", True
    elsewhere = [f"{name} {where}" for name, where in container.addresses.items()]
    return ", ".join(elsewhere) or container.network_mode or "no network", False


def member_name(member: Member) -> str:
    """A member's name beside its node: a swarm's manager has no other name than its node's."""
    return "manager" if member.name == member.node else member.name


def member_words(member: Member) -> str:
    """A member's state: healthy, leader, or the state of its container if that is the reason."""
    state = member.health
    if not member.node:
        return "is on no node" if member.container_state == "absent" else "is on no node that answers"
    if member.health != "healthy" and member.container_state != "running":
        return "not started" if member.container_state == "created" else member.container_state
    return f"{state}, leader" if member.leader else state


def store_words(view: ClusterView, node: str) -> tuple[str, bool]:
    """The engine's link to its store as text (empty if it was not read), and whether it is broken."""
    engine, registration = view.engine(node), view.registration(node)
    if engine is not None and engine.mode == "none":
        return view.terms.nowhere, True
    if registration is None:
        return "", False
    return (view.terms.connected, False) if registration.connected else (view.terms.lost, True)


def gossip_words(view: ClusterView, node: str) -> tuple[str, bool]:
    """The engine's peers as text (empty if it does not gossip), and whether one is missing."""
    unknown = view.unknown_peers(node)
    if unknown is None:
        return "", False
    if unknown:
        return f"does not know {', '.join(unknown)}", True
    others = sum(bool(row.address) for row in view.gossip) - 1
    return f"knows {others} other engine{'s' if others != 1 else ''}", False


def _on_node(view: ClusterView, node: str) -> dict[str, str]:
    if node in view.silent:
        return {NODE: "does not answer"}
    found = _engine_and_address(view, node)
    for thing, (words, _) in (("store", store_words(view, node)), ("gossip", gossip_words(view, node))):
        if words:
            found[thing] = words
    for member in view.members_on(node):
        found[member.name] = f"{member_name(member)} {member_words(member)}"
    for container in view.containers_on(node):
        found[container.name] = f"container {container.name} {container_words(view, container)[0]}"
    bridge = view.gateway_bridge(node)
    if bridge is not None:
        found[GATEWAY_BRIDGE] = f"{GATEWAY_BRIDGE} {bridge.subnet}".strip()
    return found


def _engine_and_address(view: ClusterView, node: str) -> dict[str, str]:
    found = {}
    address, engine = view.address(node), view.engine(node)
    if address is not None:
        found["address"] = f"{address.address or 'no address'} ({address.assigned_by})"
        if address.address and address.address != address.expected:
            found["address"] += f", which should be {address.expected}"
    if engine is not None:
        found["engine"] = f"Docker {engine.version}"
    if node in view.engineless:
        found["engine"] = "its engine does not answer"
    return found


def _change(old: str, new: str) -> str:
    """Both descriptions, with their common beginning only once."""
    before, after = old.split(" "), new.split(" ")
    same = 0
    while same < min(len(before), len(after)) - 1 and before[same] == after[same]:
        same += 1
    return f"{old} → {' '.join(after[same:])}"
