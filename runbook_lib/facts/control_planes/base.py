"""Where a cluster's engines keep what an overlay is, and what any such control plane can tell.

One implementation a control plane (``facts.control_planes``, chosen once from the parameters): whoever uses it never
asks which one it is.

What a control plane keeps, as data.

Where an engine tells the others that it is to be found, and who told it so.

The other engines build the overlay's tunnel to this address and gossip with it. An engine resolves an interface's name
(``--cluster-advertise=eth1:2376``) once, when it starts; one in a swarm keeps the address that it joined with.
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
    """One key with a value, by its path from ``/docker`` on; ``ttl`` is the seconds it has left, ``None`` for ever."""

    key: str
    value: str
    ttl: int | None = None


@dataclass(frozen=True)
class StoredEndpoint:
    """An endpoint of a network as the store has it; ``locator`` is the address of the node that it is on."""

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
        address: the host part, empty when it advertises nothing.
        interface: the node's interface that has it; empty when none has.
        network: the interface of the cluster's network.
        own: the node's addresses there.
        setting: what dockerd was told, such as ``eth1:2376``; empty in a swarm.
        place: the file in which it was told so; empty when none of the usual ones.
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
        """Whether the others find it on the cluster's network."""
        return self.address in self.own


def read_advertised(node: Node, network: ClusterNetwork) -> Advertised:
    """What a node's engine advertises, and where the node has that address.

    Raises:
        UnreachableError, EngineError: node or engine do not answer.
        NodeError: its tools answer something unreadable.
    """
    info = node.engine.info()
    told = str(info.get("ClusterAdvertise") or parse_swarm(info.get("Swarm") or {}).address)
    sections = read_sections(node, _SCRIPT)
    with reading(node.name, "advertised address"):
        interfaces = parse_ip_addr(sections["interfaces"].text)
        return parse_advertised(node.name, told, network.interface, interfaces, sections)


def read_vtep(node: Node, network: ClusterNetwork) -> str:
    """The node's address to which the other nodes' tables must lead.

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
    """Which of the interface's addresses it is; ``planned`` is the inventory's."""
    if facts.right:
        return facts.address
    return planned if planned in facts.own or not facts.own else facts.own[0]


def parse_advertised(
    node: str, told: str, network: str, interfaces: tuple[Interface, ...], sections: dict[str, Section]
) -> Advertised:
    """From the engine's own word (``10.0.0.1:2376``, in a swarm without a port) and the sections of the script."""
    address = told.rpartition(":")[0] or told
    holders = {item.address: interface.name for interface in interfaces for item in interface.addresses}
    own = tuple(item for item, name in holders.items() if name == network)
    files = sections["files"].text.split()  # grep's status tells of the files that are not there, too
    return Advertised(node, address, holders.get(address, ""), network, own, _setting(sections), "".join(files[:1]))


def _setting(sections: dict[str, Section]) -> str:
    given = re.search(r"^--cluster-advertise(?:=|\n)(\S+)$", sections["command"].text, re.MULTILINE)
    written = re.search(r'"cluster-advertise"\s*:\s*"([^"]+)"', sections["settings"].text)
    found = given or written
    return found[1] if found else ""


Health = Literal["healthy", "unhealthy", "down"]


@dataclass(frozen=True)
class Member:
    """One of those that decide together what the cluster's engines agree on.

    ``node`` is where it is; empty when no node that answered has it. ``container_state`` is Docker's word for its
    container, ``absent`` (every node answered and none has it) or ``unknown`` (it may be on a node that did not
    answer); that of a swarm's manager, which is no container, is ``running`` when its engine answers. ``health`` is
    ``healthy`` (it says so, which needs a leader), ``unhealthy`` (it answers and says no) or ``down`` (nothing answers
    at ``client_url``, or nobody could ask: see ``detail``). ``term`` and ``index`` are raft's; members that agree on
    the term follow the same leader. ``detail`` says what is wrong with it, and ends with the ``remedy`` where there is
    one: such a member is of no use to engines, be it healthy or not. ``advice`` is what to do about one that is of use
    to them all the same.
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
    """One engine's link to its control plane.

    ``address`` is what the engine advertises. ``connected`` is true only if this very process is known there now;
    ``detail`` says why it is not. ``heartbeat_age_s`` is the whole seconds since the last heartbeat, ``None`` without
    one.
    """

    node: str
    address: str
    connected: bool
    heartbeat_age_s: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Standing:
    """What an engine can do with networks of the whole cluster now: nothing, if there is ``trouble``.

    One that ``manages`` makes them, and lists each as soon as it is made, whoever made it. The others learn of a
    network with their first container on it.
    """

    trouble: str = ""
    manages: bool = True


ABLE = Standing()


@dataclass(frozen=True)
class Stored:
    """What the control plane keeps: everything, and of that the endpoints of networks."""

    keys: tuple[StoreKey, ...] = ()
    endpoints: tuple[StoredEndpoint, ...] = ()


@dataclass(frozen=True)
class Ports:
    """Where engines reach the members (``members``: per node the addresses of those that its engine looks for, at
    ``port``), and the UDP port of the overlay's own packets."""

    members: Mapping[str, tuple[tuple[str, int], ...]]
    port: int
    members_title: str = "the cluster store"
    remedy: str = "start dockerd with --cluster-store=etcd://…"
    data_path: int = 4789


class ControlPlane(ABC):
    """One control plane of one cluster. It only reads."""

    title: ClassVar[str]
    """What it is called in a sentence."""
    mode: ClassVar[Mode]
    """What ``read_engine`` says of an engine that belongs to it."""
    scope: ClassVar[str]
    """The scope of networks that the whole cluster shares."""
    engines: ClassVar[str]
    """The engines that it needs, in words."""
    members_title: ClassVar[str]
    """What its members are together."""
    remedy: ClassVar[str]
    """What to do about an engine that cannot keep networks in it."""
    finds_peers_again: ClassVar[bool]
    """Whether engines that lost each other come together again by themselves."""
    bridges_every_node: ClassVar[bool]
    """Whether every node has docker_gwbridge, not just one with a container on an overlay."""
    tells_data_path: ClassVar[bool] = True
    """Whether the address that an engine advertises is also where the overlay's packets go to."""
    attachable: ClassVar[bool]
    """Whether a network must say that containers may be put on it (``--attachable``)."""

    member_containers: frozenset[str] = frozenset()
    """Names of the containers that its members are, where they are containers."""

    @abstractmethod
    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        """Every member, all nodes asked at once. A node that does not answer hides no other's member.

        Raises:
            RunbookError: no node answered at all.
        """

    @abstractmethod
    def read_last_line(self, node: Node, member: Member) -> str:
        """The last line of a member's log, from its node; where it cannot be read, why."""

    @abstractmethod
    def read_registrations(self, cluster: Cluster) -> tuple[Registration, ...]:
        """Every engine's link, one row a node, in the inventory's order; one that does not answer is a row too."""

    @abstractmethod
    def read_standing(self, node: Node) -> Standing:
        """What a node's engine can do with the cluster's networks now. Raises ``RunbookError``."""

    def read_manages(self, node: Node) -> bool:
        """Whether a node's engine may remove the cluster's networks. Raises ``RunbookError``."""
        return True

    def read_own_start(self, node: Node) -> str:
        """What starts the node's member at boot where that is the engine itself; empty where it is something else.

        Raises ``RunbookError``.
        """
        return ""

    def read_restart_objection(self, cluster: Cluster, names: Sequence[str] = ()) -> InputError | None:
        """Why nodes (``names``, or all) must not be restarted: their members would wait for a person.

        Raises ``RunbookError``.
        """
        return None

    @abstractmethod
    def read_gossip(self, node: Node) -> Gossip:
        """Whom the node's engine knows. Raises ``UnreachableError`` or ``NodeError``."""

    @abstractmethod
    def read_gossip_address(self, node: Node) -> str:
        """Where the node's engine gossips; empty when it does not. Raises as ``read_gossip``."""

    @abstractmethod
    def read_stored(self, cluster: Cluster) -> Stored:
        """What is kept. Raises ``NodeError`` when nobody tells."""

    def read_engine_elsewhere(self, cluster: Cluster, network_id: str, endpoint: str) -> str:
        """The address of a living engine of no node of the cluster's that has an endpoint of that name; else empty.

        Raises ``NodeError`` when nobody tells.
        """
        return ""

    @abstractmethod
    def read_vnis(self, cluster: Cluster) -> Mapping[str, int]:
        """VNIs by network ID that engines do not tell themselves. Raises ``NodeError`` when nobody tells."""

    @abstractmethod
    def ports(self, engines: Mapping[str, EngineFacts]) -> Ports:
        """What must be open between the nodes, besides the engines' gossip (7946, TCP and UDP)."""

    @abstractmethod
    def objection(self, engine: EngineFacts) -> str:
        """Why an engine cannot belong to it as it is, with the remedy; empty when it can."""

    @abstractmethod
    def advertise_remedy(self, facts: Advertised) -> str:
        """What to do about an engine that advertises an address which is not on the cluster's network."""

    @abstractmethod
    def refusal(self, infos: Mapping[str, Mapping[str, Any]]) -> InputError | None:
        """Why nothing can work here, from each node's ``GET /info``: it is not this control plane that they have."""
