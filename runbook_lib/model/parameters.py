"""The parameters of a run: one YAML file, or a notebook's ``parameters`` cell.

They also decide where containers with an address on the cluster's own network go, and from which addresses theirs is
taken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from runbook_lib.errors import InputError
from runbook_lib.model.base import (
    ControlPlaneName,
    HostName,
    ImageReference,
    Model,
    NetworkName,
    ObjectName,
    PlatformName,
    Port,
    Seconds,
    Subnet,
    WholeNumber,
)
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.secrets import Secrets


def _option_text(value: Any) -> Any:
    """Driver options are text to Docker; a YAML file says 1400 and true."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


DriverOption = Annotated[str, BeforeValidator(_option_text)]


class Addresses(Model):
    """How fixed addresses are chosen."""

    allow_in_dhcp_pool: bool = Field(
        False, description="accept fixed addresses inside the DHCP pool (a warning says what can happen)"
    )
    guard_seconds: Seconds = Field(
        60.0,
        description="how long a systemd host waits to be reached at its new configuration before it takes the old back",
    )


class Etcd(Model):
    """The cluster store."""

    members: tuple[ObjectName, ...] = Field(
        ("etcd1", "etcd2", "etcd3"), min_length=1, description="names of the etcd containers"
    )
    client_port: Port = 2379
    autostart: Literal["auto", "bootlocal", "restart-policy", "systemd-unit"] = Field(
        "bootlocal",
        description="how members start at boot: bootlocal.sh (the article), Docker's restart policy, or, where etcd is"
        " no container, its systemd unit; auto takes what fits each node",
    )


class Overlay(Model):
    """The overlay network."""

    name: NetworkName = "ovr0"
    subnet: Subnet | None = Field("10.0.0.0/24", description="its subnet; null lets Docker choose")
    options: dict[str, DriverOption] = Field(default_factory=dict, description="driver options")
    encrypted: bool = Field(False, description="encrypt what passes between the nodes (Swarm mode only)")


class ContainerSpec(Model):
    """One container on the overlay."""

    name: ObjectName
    image: ImageReference = "alpine"
    node: HostName | None = Field(None, description="where it runs; null spreads over the least loaded nodes")


class Probes(Model):
    """How pings are sent."""

    count: WholeNumber = Field(3, ge=1, le=1000, description="echo requests a pair")
    timeout_seconds: Seconds = Field(1.0, description="how long an answer is waited for")
    may_lose: WholeNumber = Field(
        0,
        ge=0,
        le=49,
        description="how many of 50 echo requests a pair may lose (of fewer in proportion, rounded up); the"
        " first, which may have to wait until the overlay has learned where the peer is, is not counted",
    )


class Timeouts(Model):
    """How long things may take, in seconds."""

    connect: Seconds = 10.0
    command: Seconds = 60.0
    reboot: Seconds = 180.0
    converge: Seconds = Field(120.0, description="a lone etcd member can keep engines waiting for 46 s (measured)")


class Parameters(Model):
    """Everything that a notebook takes. The defaults describe the embedded testbed."""

    name: HostName = Field("testbed", description="name of the cluster, used for its records")
    inventory: str | Inventory = Field(
        "testbed:runbook",
        description="'testbed:NAME', the path of an inventory file, or the nodes themselves",
    )
    platform: Literal["auto", PlatformName] = Field(
        "boot2docker", description="how hosts boot and get their addresses; auto finds it out on each node"
    )
    control_plane: ControlPlaneName = Field("etcd", description="where the engines keep the overlay's state")
    addresses: Addresses = Addresses()
    etcd: Etcd = Etcd()
    overlay: Overlay = Overlay()
    containers: tuple[ContainerSpec, ...] = (
        ContainerSpec(name="alpine1", node="node3"),
        ContainerSpec(name="alpine2", node="node4"),
    )
    probes: Probes = Probes()
    timeouts: Timeouts = Timeouts()
    secrets: Secrets = Field(
        default_factory=dict, description="name -> {env: VARIABLE} or {file: PATH}; never the value itself"
    )
    plan: bool = Field(False, description="show what would change and change nothing")
    show_drift: bool = Field(True, description="on the testbed: reboot in another order to see addresses move")
    power_cycle: bool = Field(True, description="consent to reboot nodes where a notebook proves something by it")

    @property
    def testbed_name(self) -> str | None:
        """The testbed that the inventory names, if it names one."""
        if isinstance(self.inventory, str) and self.inventory.startswith("testbed:"):
            return self.inventory.removeprefix("testbed:")
        return None

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that hold declared secrets."""
        return tuple(reference.env for reference in self.secrets.values() if reference.env is not None)


ExternalMode = Literal["published", "macvlan", "ipvlan"]

MODES: tuple[ExternalMode, ...] = ("published", "macvlan", "ipvlan")
PORT = 8080
"""The TCP port at which each of the containers serves its own name."""

# Eight addresses are enough for a few containers and small enough to find room beside a DHCP pool.
_BLOCK_LENGTHS = (29, 30)


@dataclass(frozen=True)
class External:
    """One mode of giving a container an address on the cluster's network.

    ``container`` runs on ``node``, on the Docker network ``network``; ``observer_node`` tests it from outside.
    ``block`` holds the addresses that the network may assign; a published port has none: its address is the node's.
    """

    mode: ExternalMode
    node: str
    observer_node: str
    container: str
    network: str
    image: str
    block: IPv4Network | None = None


def external(inventory: Inventory, parameters: Parameters, mode: ExternalMode) -> External:
    """The nodes, names and addresses of one mode.

    A node carries macvlan or ipvlan networks on one interface, never both, so that they get a node each; the published
    port shares macvlan's. Nodes without wanted containers come first, because these nodes may be restarted.

    Raises:
        InputError: there is one node only, or no room for addresses outside the DHCP pool.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}", remedy=f"one of {', '.join(MODES)}")
    busy = {container.node for container in parameters.containers}
    nodes = sorted(inventory.names, key=lambda name: name in busy)
    if len(nodes) < 2:
        raise InputError(
            "the inventory has one node: no other node can observe a container",
            place="inventory.nodes",
            remedy="name two or more nodes",
        )
    node = nodes[1] if mode == "ipvlan" else nodes[0]
    observer_node = next(name for name in [*nodes[2:], *nodes[:2]] if name != node)
    image = parameters.containers[0].image if parameters.containers else "alpine"
    if mode == "published":
        return External(mode, node, observer_node, "web-published", "bridge", image)
    block = _blocks(inventory)[("macvlan", "ipvlan").index(mode)]
    return External(mode, node, observer_node, f"web-{mode}", f"ext-{mode}", image, block)


def usable(block: IPv4Network, network: ClusterNetwork, taken: Collection[str]) -> Iterator[str]:
    """The addresses of a block that a container may get, in their order.

    Neither the subnet's own nor its broadcast address, nor the gateway, nor one that is ``taken``. Where the network
    has no gateway, the block's first one is left out too: Docker takes it for a gateway all the same.
    """
    refused = {str(network.prefix.network_address), str(network.prefix.broadcast_address), network.gateway or ""}
    candidates = [address for address in map(str, block) if address not in refused]
    if network.gateway is None:
        candidates = candidates[1:]
    return (address for address in candidates if address not in taken)


def _blocks(inventory: Inventory) -> tuple[IPv4Network, IPv4Network]:
    """Two blocks of addresses outside the DHCP pool.

    Two, because an engine knows only its own macvlan and ipvlan networks: from one block, two engines would
    give one address to two containers.
    """
    network = inventory.network
    if network.container_range is not None:
        first, second = IPv4Network(network.container_range).subnets()
        return first, second
    nodes = [IPv4Address(node.cluster_address) for node in inventory.nodes]
    for length in _BLOCK_LENGTHS:
        if length <= network.prefix.prefixlen:
            continue
        # The highest first: low addresses are where people put their routers and servers.
        free = [
            block
            for block in reversed(list(network.prefix.subnets(new_prefix=length)))
            if not (network.pool is not None and network.pool.meets(block)) and not any(item in block for item in nodes)
        ]
        if len(free) >= 2:
            return free[0], free[1]
    raise InputError(
        f"{network.subnet} has no room for containers beside its nodes and the DHCP pool {network.pool or '(none)'}",
        place="network.dhcp_pool",
        remedy="make the DHCP pool smaller, or name a container_range",
    )
