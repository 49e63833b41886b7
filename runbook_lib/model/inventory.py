"""A cluster's inventory: its nodes, how to reach them, and the network that they share."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from runbook_lib.model.base import (
    Address,
    FilePath,
    HostName,
    InterfaceName,
    Model,
    PlatformName,
    Port,
    ReachableAt,
    Subnet,
    UserName,
    WholeNumber,
    parse_address,
)
from runbook_lib.model.secrets import SecretReference


class AddressRange(Model):
    """A range of IPv4 addresses, both ends included."""

    first: Address
    last: Address

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """Read ``"192.168.99.100-192.168.99.254"``. Raises ``ValueError``."""
        first, dash, last = text.partition("-")
        if not dash:
            raise ValueError(f"{text!r} is not a range such as 192.168.99.100-192.168.99.254")
        parsed = cls(first=parse_address(first.strip()), last=parse_address(last.strip()))
        if ipaddress.IPv4Address(parsed.first) > ipaddress.IPv4Address(parsed.last):
            raise ValueError(f"{text!r} ends before it begins")
        return parsed

    def __contains__(self, address: str) -> bool:
        first, last = ipaddress.IPv4Address(self.first), ipaddress.IPv4Address(self.last)
        return first <= ipaddress.IPv4Address(address) <= last

    def meets(self, network: ipaddress.IPv4Network) -> bool:
        """Whether the range and the network have an address in common."""
        first, last = ipaddress.IPv4Address(self.first), ipaddress.IPv4Address(self.last)
        return first <= network.broadcast_address and network.network_address <= last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def _pool(value: str) -> str:
    return str(AddressRange.parse(value))


class ClusterNetwork(Model):
    """The network between the nodes, on which the overlay is carried."""

    interface: InterfaceName = Field("eth1", description="interface of every node on this network")
    subnet: Subnet = Field(description="its subnet, in CIDR notation")
    gateway: Address | None = Field(None, description="its gateway, if it has one")
    dhcp_pool: Annotated[str, AfterValidator(_pool)] | None = Field(
        None, description="addresses that its DHCP server gives out, first-last"
    )
    container_range: Subnet | None = Field(
        None,
        description="part of the subnet whose addresses containers may be given, in CIDR notation;"
        " without it, blocks that neither the DHCP pool nor a node touches are used",
    )

    @model_validator(mode="after")
    def _container_range_is_free(self) -> Self:
        if self.container_range is None:
            return self
        block = ipaddress.IPv4Network(self.container_range)
        if not block.subnet_of(self.prefix):
            raise ValueError(f"container_range {block} is outside the subnet {self.subnet}")
        if block.prefixlen > 29:
            raise ValueError(f"container_range {block} is too small: two blocks of four addresses are needed, a /29")
        if self.pool is not None and self.pool.meets(block):
            raise ValueError(f"container_range {block} overlaps with the DHCP pool {self.pool}")
        return self

    @property
    def pool(self) -> AddressRange | None:
        """The DHCP pool, parsed."""
        return AddressRange.parse(self.dhcp_pool) if self.dhcp_pool else None

    @property
    def prefix(self) -> ipaddress.IPv4Network:
        """The subnet, parsed."""
        return ipaddress.IPv4Network(self.subnet)


class SshHop(Model):
    """How to log in on one machine over SSH; keys and passwords are named, never contained.

    At least one of ``key_file``, ``agent`` and ``password`` is given; they are tried in this order.
    """

    host: ReachableAt
    port: Port = 22
    user: UserName = "docker"
    key_file: FilePath | None = None
    passphrase: SecretReference | None = Field(None, description="where the key's passphrase is found, if it has one")
    agent: bool = Field(False, description="use the keys of the running ssh-agent (SSH_AUTH_SOCK)")
    password: SecretReference | None = Field(None, description="where the login's password is found, if it takes one")
    known_hosts: FilePath

    @model_validator(mode="after")
    def _has_a_way_to_log_in(self) -> Self:
        if self.key_file is None and not self.agent and self.password is None:
            raise ValueError("set key_file, agent: true, or a password reference")
        if self.passphrase is not None and self.key_file is None:
            raise ValueError("passphrase needs a key_file, and none is set")
        return self


class SshAccess(SshHop):
    """How to reach a node over SSH, straight or through jump hosts, and how its user becomes root."""

    jump: tuple[SshHop, ...] = Field((), description="jump hosts on the way, the first one first (as ProxyJump)")
    sudo_password: SecretReference | None = Field(
        None, description="where sudo's password is found, if it asks for one"
    )


class DockerAccess(Model):
    """How to reach a node's engine: over TLS with a client certificate, or over the SSH connection."""

    via: Literal["tls", "ssh"] = "ssh"
    host: ReachableAt | None = None
    port: Port = 2376
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        missing = [name for name in ("host", "ca", "cert", "key") if getattr(self, name) is None]
        if self.via == "tls" and missing:
            raise ValueError(f"via: tls also needs {', '.join(missing)}")
        return self


class SwarmManager(Model):
    """The endpoint of a classic Swarm manager, which schedules over all nodes; reached over TLS."""

    host: ReachableAt
    port: Port = 3376
    ca: FilePath
    cert: FilePath
    key: FilePath


class NodeSpec(Model):
    """One node as the inventory describes it."""

    name: HostName
    cluster_address: Address = Field(description="the address that this node should have on the cluster's network")
    ssh: SshAccess
    docker: DockerAccess = DockerAccess()
    platform: PlatformName | None = Field(None, description="this node's platform, where it is not that of the others")


def _version(value: int) -> int:
    if value != 1:
        raise ValueError(f"version {value} of the inventory's format is unknown, only 1 is supported")
    return value


class Inventory(Model):
    """A cluster's nodes and network."""

    version: Annotated[WholeNumber, AfterValidator(_version)] = 1
    name: HostName | None = None
    network: ClusterNetwork
    swarm_manager: SwarmManager | None = Field(None, description="where a classic Swarm manager serves all nodes")
    nodes: tuple[NodeSpec, ...] = Field(min_length=1)

    def node(self, name: str) -> NodeSpec:
        """The node of that name. Raises ``KeyError``."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Node names, in the inventory's order."""
        return tuple(node.name for node in self.nodes)
