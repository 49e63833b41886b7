"""What every control plane offers: where a cluster's engines keep their overlays, and how to ask it.

Each control plane is one implementation of ``ControlPlane``, chosen once from the parameters; callers never ask which
one it is.

``Advertised`` is the address that an engine gives to the others: they build the overlay's tunnels to it and gossip with
it. An engine resolves an interface's name (``--cluster-advertise=eth1:2376``) once, when it starts; one in a swarm
keeps the address with which it joined.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import InputError
from runbook_lib.facts.docker.engine import EngineFacts, Mode, parse_swarm
from runbook_lib.facts.host.ip import Interface, parse_ip_addr
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.facts.overlay.interfaces import read_host_network
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.inventory import ClusterNetwork


@dataclass(frozen=True)
class StoreKey:
    """One key with a value, by its path from ``/docker`` on; ``ttl`` is the seconds left, ``None`` if unlimited."""

    key: str
    value: str
    ttl: int | None = None


@dataclass(frozen=True)
class StoredEndpoint:
    """An endpoint of a network as the store has it; ``locator`` is the address of its node."""

    network_id: str
    endpoint_id: str
    name: str
    address: str
    mac: str
    locator: str


_FILES = (
    "/var/lib/boot2docker/profile",
    "/etc/docker/daemon.json",
    "/etc/default/docker",
    "/etc/systemd/system/docker.service.d/*",
    "/etc/systemd/system/docker.service",
    "/lib/systemd/system/docker.service",
)
_SCRIPT = f"""\
command_line() {{
    read -r engine </var/run/docker.pid
    tr '\\0' '\\n' <"/proc/$engine/cmdline"
}}
section interfaces ip addr show
section command command_line
section settings cat /etc/docker/daemon.json
section files grep -ls cluster-advertise {" ".join(_FILES)}
"""


@dataclass(frozen=True)
class Advertised:
    """What one engine advertises.

    Attributes:
        address: the host part, empty if nothing is advertised.
        interface: the node's interface with that address; empty if none has it.
        network: the interface of the cluster's network.
        own: the node's addresses there.
        setting: dockerd's option, such as ``eth1:2376``; empty in a swarm.
        place: the file with that option; empty if it is in none of the usual files.
    """

    node: str
    address: str
    interface: str
    network: str
    own: tuple[str, ...]
    setting: str = ""
    place: str = ""

    @property
    def right(self) -> bool:
        """Whether it is on the cluster's network."""
        return self.address in self.own


def read_advertised(node: Node, network: ClusterNetwork) -> Advertised:
    """What a node's engine advertises, and where the node has that address.

    Raises:
        UnreachableError, EngineError: node or engine do not answer.
        NodeError: the output of its tools is not understood.
    """
    info = node.engine.info()
    told = str(info.get("ClusterAdvertise") or parse_swarm(info.get("Swarm") or {}).address)
    sections = read_sections(node, _SCRIPT)
    with reading(node.name, "advertised address"):
        interfaces = parse_ip_addr(sections["interfaces"].text)
        return parse_advertised(node.name, told, network.interface, interfaces, sections)


def read_vtep(node: Node, network: ClusterNetwork) -> str:
    """The node's VTEP: the address to which the other nodes' FDB entries must point.

    It is the one of its interface on the cluster's network; where that has more than one, the one that the engine
    advertises; where it has none, or the engine advertises another interface's, the one that the inventory gives.
    Raises as ``read_advertised``.
    """
    found = [item for item in read_host_network(node)[0] if item.name == network.interface]
    addresses = [cidr for item in found for cidr in item.addresses]
    if len(addresses) == 1:
        return addresses[0].partition("/")[0]
    planned = node.spec.cluster_address
    return choose_vtep(read_advertised(node, network), planned) if addresses else planned


def choose_vtep(facts: Advertised, planned: str) -> str:
    """The VTEP among the interface's addresses; ``planned`` is the inventory's."""
    if facts.right:
        return facts.address
    return planned if planned in facts.own or not facts.own else facts.own[0]


def parse_advertised(
    node: str, told: str, network: str, interfaces: tuple[Interface, ...], sections: dict[str, Section]
) -> Advertised:
    """The same from the engine's ``told`` (``10.0.0.1:2376``, in a swarm without a port) and the sections."""
    address = told.rpartition(":")[0] or told
    holders = {item.address: interface.name for interface in interfaces for item in interface.addresses}
    own = tuple(item for item, name in holders.items() if name == network)
    files = sections["files"].text.split()  # grep's exit status also counts missing files
    return Advertised(node, address, holders.get(address, ""), network, own, _setting(sections), "".join(files[:1]))


def _setting(sections: dict[str, Section]) -> str:
    given = re.search(r"^--cluster-advertise(?:=|\n)(\S+)$", sections["command"].text, re.MULTILINE)
    written = re.search(r'"cluster-advertise"\s*:\s*"([^"]+)"', sections["settings"].text)
    found = given or written
    return found[1] if found else ""


Health = Literal["healthy", "unhealthy", "down"]


@dataclass(frozen=True)
class Member:
    """A member of the quorum: an etcd member or a swarm manager.

    ``node`` is where it runs; empty if no node that answered has it. ``container_state`` is Docker's state of its
    container, ``absent`` (every node answered and none has it) or ``unknown`` (it may be on a node that did not
    answer); that of a swarm's manager (not a container) is ``running`` when its engine answers. ``health`` is
    ``healthy`` (it reports so, which needs a leader), ``unhealthy`` (it reports a fault) or ``down`` (nothing answers
    at ``client_url``, or its node could not ask: see ``detail``). ``term`` and ``index`` are raft's; members with the
    same term follow the same leader. ``detail`` says what is wrong with it and ends with the ``remedy``, if there is
    one: engines cannot use such a member, healthy or not. ``advice`` is what to do about a fault of one that they
    can use.
    """

    name: str
    node: str
    container_state: str
    restart_policy: str
    health: Health
    leader: bool
    client_url: str
    member_id: str = ""
    term: int | None = None
    index: int | None = None
    version: str = ""
    detail: str = ""
    remedy: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Registration:
    """One engine's connection to its control plane.

    ``address`` is what the engine advertises. ``connected`` is true only if the running process is registered there
    now; ``detail`` says why it is not. ``heartbeat_age_s`` is seconds since the last heartbeat, ``None`` without one.
    """

    node: str
    address: str
    connected: bool
    heartbeat_age_s: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class OverlayAccess:
    """What an engine can do with the cluster's overlays now: nothing if there is ``trouble``.

    An engine that ``manages`` can create them and lists all of them. The others list a network from their first
    container on it.
    """

    trouble: str = ""
    manages: bool = True


FULL_ACCESS = OverlayAccess()


@dataclass(frozen=True)
class Stored:
    """What the control plane keeps: everything, and of that the endpoints of networks."""

    keys: tuple[StoreKey, ...] = ()
    endpoints: tuple[StoredEndpoint, ...] = ()


@dataclass(frozen=True)
class Ports:
    """Where engines reach the members (``members``: per node the (address, port) pairs that its engine uses), and the
    UDP port of the overlay's packets."""

    members: Mapping[str, tuple[tuple[str, int], ...]]
    port: int
    members_title: str = "the cluster store"
    remedy: str = "start dockerd with --cluster-store=etcd://…"
    data_path: int = 4789


class ControlPlane(ABC):
    """One control plane of one cluster, read-only."""

    title: ClassVar[str]
    """Its name in a sentence."""
    mode: ClassVar[Mode]
    """The ``mode`` that ``read_engine`` returns for its engines."""
    scope: ClassVar[str]
    """Docker's scope of networks that span the cluster."""
    engines: ClassVar[str]
    """The engines that it needs, in words."""
    members_title: ClassVar[str]
    """The name of all its members together."""
    remedy: ClassVar[str]
    """What to do about an engine that cannot store networks in it."""
    rejoins_peers: ClassVar[bool]
    """Whether engines that lost each other rejoin by themselves."""
    bridges_every_node: ClassVar[bool]
    """Whether every node has docker_gwbridge, not only one with a container on an overlay."""
    reports_data_path: ClassVar[bool] = True
    """Whether an engine's advertised address is also its VTEP."""
    attachable: ClassVar[bool]
    """Whether a network needs ``--attachable`` for containers."""

    member_containers: frozenset[str] = frozenset()
    """Names of its members' containers, if they run in containers."""

    @abstractmethod
    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        """Every member, all nodes asked at once. A node that does not answer hides only its own member.

        Raises:
            RunbookError: no node answered at all.
        """

    @abstractmethod
    def read_last_line(self, node: Node, member: Member) -> str:
        """The last line of a member's log, from its node, or why it cannot be read."""

    @abstractmethod
    def read_registrations(self, cluster: Cluster) -> tuple[Registration, ...]:
        """Every engine's connection: one row per node, in the inventory's order, answering or not."""

    @abstractmethod
    def read_overlay_access(self, node: Node) -> OverlayAccess:
        """What a node's engine can do with overlays now. Raises ``RunbookError``."""

    def read_manages(self, node: Node) -> bool:
        """Whether a node's engine may remove the cluster's networks. Raises ``RunbookError``."""
        return True

    def read_own_start(self, node: Node) -> str:
        """What starts the node's member at boot if the member is the engine itself; else empty.

        Raises ``RunbookError``.
        """
        return ""

    def read_restart_blocker(self, cluster: Cluster, names: Sequence[str] = ()) -> InputError | None:
        """Why nodes (``names``, or all) must not be restarted: their members would wait for manual input.

        Raises ``RunbookError``.
        """
        return None

    @abstractmethod
    def read_gossip(self, node: Node) -> Gossip:
        """The peers that the node's engine knows. Raises ``UnreachableError`` or ``NodeError``."""

    @abstractmethod
    def read_gossip_address(self, node: Node) -> str:
        """The address at which the node's engine gossips; empty if it does not. Raises as ``read_gossip``."""

    @abstractmethod
    def read_stored(self, cluster: Cluster) -> Stored:
        """What is stored. Raises ``NodeError`` without an answer."""

    def read_foreign_engine(self, cluster: Cluster, network_id: str, endpoint: str) -> str:
        """The address of a running engine outside the inventory that has an endpoint of that name; else empty.

        Raises ``NodeError`` without an answer.
        """
        return ""

    @abstractmethod
    def read_vnis(self, cluster: Cluster) -> Mapping[str, int]:
        """VNIs by network ID, where engines do not show them. Raises ``NodeError`` without an answer."""

    @abstractmethod
    def ports(self, engines: Mapping[str, EngineFacts]) -> Ports:
        """The ports that must be open between the nodes, besides gossip (7946, TCP and UDP)."""

    @abstractmethod
    def incompatibility(self, engine: EngineFacts) -> str:
        """Why an engine cannot use this control plane, with the remedy; empty if it can."""

    @abstractmethod
    def advertise_remedy(self, facts: Advertised) -> str:
        """What to do about an engine whose advertised address is not on the cluster's network."""

    @abstractmethod
    def refusal(self, infos: Mapping[str, Mapping[str, Any]]) -> InputError | None:
        """Why the engines do not use this control plane, from each node's ``GET /info``; ``None`` if they do."""
