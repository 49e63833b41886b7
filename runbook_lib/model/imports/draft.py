"""What an import knows of a cluster, and what it could not know: the same for every kind of source."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.model.names import is_host_name
from runbook_lib.model.platforms import ControlPlaneName

#: Addresses that RFC 5737 keeps for documentation: what stands in a file until somebody fills the real ones in.
PLACEHOLDER_SUBNET = ipaddress.IPv4Network("192.0.2.0/24")
# A range of this many addresses or more is no single network of hosts: then only a placeholder is honest.
_WIDEST_PREFIX = 16
_USUAL_PREFIX = 24
_OVERLAYS = ("10.0.0.0/24", "172.30.0.0/24", "10.99.0.0/24")


@dataclass(frozen=True)
class Note:
    """A comment of the file, above the key at ``place`` (``network.subnet``, ``nodes.node1``).

    ``fill_in`` marks what the source does not tell and a person has to look at: it is also told on stderr.
    """

    place: str
    text: str
    fill_in: bool = False


@dataclass
class Notes:
    """The notes that come up while a draft is made."""

    taken: list[Note] = field(default_factory=list)

    def say(self, place: str, text: str) -> None:
        """A comment that explains."""
        self.taken.append(Note(place, text))

    def ask(self, place: str, text: str) -> None:
        """A comment that says what to fill in or to look at."""
        self.taken.append(Note(place, text, fill_in=True))


@dataclass(frozen=True)
class DraftNode:
    """One node: ``ssh`` and ``docker`` as the inventory wants them."""

    name: str
    cluster_address: str
    ssh: Mapping[str, Any]
    docker: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """A cluster as it will stand in a parameter file.

    ``origin`` says in one sentence where it comes from. ``network`` and ``swarm_manager`` are as in the inventory,
    ``etcd`` as in the parameters (empty where the control plane has no etcd).
    """

    origin: str
    name: str
    platform: str
    control_plane: ControlPlaneName
    network: Mapping[str, Any]
    nodes: tuple[DraftNode, ...]
    swarm_manager: Mapping[str, Any] | None = None
    etcd: Mapping[str, Any] = field(default_factory=dict)
    allow_in_dhcp_pool: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def overlay_subnet(self) -> str:
        """The first usual subnet of an overlay that does not overlap with the network between the nodes."""
        below = ipaddress.IPv4Network(self.network["subnet"])
        return next(subnet for subnet in _OVERLAYS if not ipaddress.IPv4Network(subnet).overlaps(below))

    @property
    def unknown(self) -> tuple[Note, ...]:
        """What a person has to fill in or look at."""
        return tuple(note for note in self.notes if note.fill_in)


def node_names(given: Sequence[str]) -> dict[str, str]:
    """Names of nodes (one label of DNS each) by the names that the source gives them.

    Raises:
        InputError: a name that cannot be made one, or two that become the same.
    """
    names: dict[str, str] = {}
    for source in given:
        name = source.lower().replace(".", "-").replace("_", "-").strip("-")[:63]
        if not is_host_name(name):
            raise InputError(
                f"{source!r} cannot be made a node's name", remedy="rename it: letters, digits and inner '-' only"
            )
        twin = next((other for other, taken in names.items() if taken == name), None)
        if twin is not None:
            raise InputError(
                f"{twin!r} and {source!r} would both be the node {name}", remedy="rename one, or name only one of them"
            )
        names[source] = name
    return names


def subnet_around(addresses: Collection[str]) -> ipaddress.IPv4Network | None:
    """The smallest network, of 256 addresses or more, with all of them; ``None`` for none, and when it is too wide."""
    if not addresses:
        return None
    for length in range(_USUAL_PREFIX, _WIDEST_PREFIX - 1, -1):
        networks = {ipaddress.IPv4Network((address, length), strict=False) for address in addresses}
        if len(networks) == 1:
            return networks.pop()
    return None


def free_address(subnet: ipaddress.IPv4Network, taken: Collection[str], first: int = 25) -> str:
    """An address of the subnet that no node has, from the ``first`` on.

    .25 to .99 are outside the range that VirtualBox's DHCP server gives out.
    """
    start = first if subnet.num_addresses > first + 1 else 1
    hosts = (str(subnet[index]) for index in range(start, subnet.num_addresses - 1))
    return next(address for address in hosts if address not in taken)


def refuse_twins(nodes: Sequence[DraftNode], remedy: str) -> None:
    """Make sure that no two nodes have one address, or are reached at one place.

    Raises:
        InputError: naming both.
    """
    owners: dict[str, str] = {}
    for node in nodes:
        # behind different jump hosts one address can be two machines
        reached = "" if node.ssh.get("jump") else f"{node.ssh['host']}:{node.ssh.get('port', 22)}"
        for what in filter(None, dict.fromkeys((node.cluster_address, reached))):
            if what in owners:
                raise InputError(f"{owners[what]} and {node.name} have the same address {what}", remedy=remedy)
            owners[what] = node.name
