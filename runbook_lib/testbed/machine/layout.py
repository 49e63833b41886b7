"""A testbed as plain data: its name, size, subnets and kind, and all names and addresses derived from them."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook_lib.model.base import PlatformName
from runbook_lib.model.locations import testbed_folder
from runbook_lib.testbed.machine.kind import ARTICLES_KIND, Kind
from runbook_lib.testbed.machine.managers import manager_of

Network = ipaddress.IPv4Network

DEFAULT_NAME = "runbook"
DEFAULT_NODES = 4
MOST_NODES = 32
DEFAULT_SUBNET = Network("192.168.99.0/24")
ENGINE_PORT = 2376
ETCD_CLIENT_PORT = 2379
ETCD_MEMBERS = 3
SWARM_MANAGERS = 3
# VirtualBox's pool begins at .100; the article's first node got .104.
_POOL_START = 104
_MANAGEMENT_START = 11


@dataclass(frozen=True)
class NodeLayout:
    """One node: its folder, its addresses on both networks, and its names in the kernel."""

    name: str
    index: int
    folder: Path
    machine: str
    namespace: str
    management_address: str
    cluster_address: str
    management_mac: str
    cluster_mac: str
    management_port: str
    cluster_port: str
    platform: PlatformName = "boot2docker"

    @property
    def boots_systemd(self) -> bool:
        """Whether it is a Debian host rather than boot2docker."""
        return self.platform != "boot2docker"

    @property
    def disk(self) -> Path:
        """The node's ``/var/lib/boot2docker``, or on a Debian node ``/var/lib/overlay-runbook``."""
        return self.folder / ("overlay-runbook" if self.boots_systemd else "boot2docker")

    @property
    def journal(self) -> Path:
        """A Debian node's journal; its root is a layer over the tree that all nodes share."""
        return self.folder / "root" / "var" / "log" / "journal"

    @property
    def boot_log(self) -> Path:
        """The boot log of a boot2docker node."""
        return self.disk / "log" / "boot.log"

    @property
    def boot_status(self) -> Path:
        """The file with the state of the last boot: ``starting`` or ``finished``."""
        return self.disk / "log" / "boot.status"

    @property
    def docker_log(self) -> Path:
        """The log of a boot2docker node's dockerd."""
        return self.disk / "log" / "docker.log"

    @property
    def console_log(self) -> Path:
        """The output of the supervisor and the container's console."""
        return self.folder / "console.log"

    @property
    def testbed(self) -> str:
        """The name of the node's testbed."""
        return self.folder.parents[1].name

    @property
    def cgroup(self) -> str:
        """The cgroup that the supervisor creates for the node."""
        return f"overlay-runbook.{self.machine}"


@dataclass(frozen=True)
class Layout:
    """A testbed's name, size, subnets and kind; everything else is derived from them."""

    name: str
    node_count: int
    cluster: Network
    management: Network
    kind: Kind = ARTICLES_KIND

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "name": self.name,
            "node_count": self.node_count,
            "cluster": str(self.cluster),
            "management": str(self.management),
            **self.kind.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Layout:
        """The inverse of ``to_json``."""
        return cls(
            name=str(data["name"]),
            node_count=int(data["node_count"]),
            cluster=Network(data["cluster"]),
            management=Network(data["management"]),
            kind=Kind.from_json(data),
        )

    @property
    def folder(self) -> Path:
        """The testbed's state folder."""
        return testbed_folder(self.name)

    @property
    def inventory_file(self) -> Path:
        """The inventory file for the layers above."""
        return self.folder / "inventory.yaml"

    @property
    def key_file(self) -> Path:
        """The private key for SSH."""
        return self.folder / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The nodes' host keys."""
        return self.folder / "ssh" / "known_hosts"

    @property
    def certificates(self) -> Path:
        """The folder with ca.pem, cert.pem and key.pem, as ``DOCKER_CERT_PATH`` wants it."""
        return self.folder / "tls"

    @property
    def dhcp_log(self) -> Path:
        """The DHCP server's log."""
        return self.folder / "dhcp.log"

    @property
    def switch_namespace(self) -> str:
        """The network namespace with both bridges."""
        return f"{self.name}-switch"

    @property
    def host_management_link(self) -> str:
        """The host's interface on the management network (at most 15 characters)."""
        return f"rb{self._digest}m"

    @property
    def host_cluster_link(self) -> str:
        """The host's interface on the cluster network."""
        return f"rb{self._digest}c"

    @property
    def host_links(self) -> tuple[str, str]:
        """Both interfaces of the testbed on the host."""
        return self.host_management_link, self.host_cluster_link

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every network namespace that the testbed owns."""
        return (self.switch_namespace, *(node.namespace for node in self.nodes))

    @property
    def host_management_address(self) -> str:
        """The host's address on the management network."""
        return str(self.management[1])

    @property
    def gateway(self) -> str:
        """The host's address on the cluster network, as with VirtualBox's host-only network."""
        return str(self.cluster[1])

    @property
    def dhcp_server(self) -> str:
        """The DHCP server's address."""
        return str(self.cluster[2])

    @property
    def pool(self) -> tuple[str, str]:
        """First and last address that DHCP gives out."""
        size = self.cluster.num_addresses
        first = _POOL_START if size >= 256 else size * _POOL_START // 256
        return str(self.cluster[first]), str(self.cluster[min(size, 256) - 2])

    @property
    def pool_size(self) -> int:
        """How many addresses DHCP can give out."""
        first, last = (ipaddress.IPv4Address(address) for address in self.pool)
        return int(last) - int(first) + 1

    @cached_property
    def nodes(self) -> tuple[NodeLayout, ...]:
        """The nodes, node1 first."""
        return tuple(self._node(index) for index in range(1, self.node_count + 1))

    @property
    def etcd_nodes(self) -> tuple[NodeLayout, ...]:
        """The nodes with an etcd member: three, or one where three would not be a majority apart."""
        return self.nodes[: ETCD_MEMBERS if self.node_count >= ETCD_MEMBERS else 1]

    @property
    def swarm_managers(self) -> tuple[NodeLayout, ...]:
        """The nodes that are managers in Swarm mode: three, or one where three would not be a majority apart."""
        return self.nodes[: SWARM_MANAGERS if self.node_count >= SWARM_MANAGERS else 1]

    def node(self, name: str) -> NodeLayout:
        """The node of that name. Raises ``KeyError``."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()[:8]

    def _node(self, index: int) -> NodeLayout:
        name = f"node{index}"
        prefix = ":".join(self._digest[at : at + 2] for at in (0, 2, 4))
        return NodeLayout(
            name=name,
            index=index,
            folder=self.folder / "nodes" / name,
            machine=f"{self.name}-{name}",
            namespace=f"{self.name}-{name}",
            management_address=str(self.management[_MANAGEMENT_START + index - 1]),
            cluster_address=str(ipaddress.IPv4Address(self.pool[0]) + index - 1),
            management_mac=f"02:{prefix}:00:{index:02x}",
            cluster_mac=f"02:{prefix}:01:{index:02x}",
            management_port=f"m{index}",
            cluster_port=f"c{index}",
            platform=manager_of(index) if self.kind.platform == "debian" else "boot2docker",
        )
