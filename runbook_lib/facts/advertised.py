"""Where an engine tells the others that it is to be found, and who told it so.

The other engines build the overlay's tunnel to this address and gossip with it. An engine resolves an interface's name
(``--cluster-advertise=eth1:2376``) once, when it starts; one in a swarm keeps the address that it joined with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.interfaces import read_host_network
from runbook_lib.facts.ip import Interface, parse_ip_addr
from runbook_lib.facts.reading import Section, read_sections, reading
from runbook_lib.facts.swarm import parse_swarm
from runbook_lib.model.inventory import ClusterNetwork

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
