"""Where containers with an address on the cluster's own network go, and from which addresses theirs is taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from runbook_lib.errors import InputError
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.parameters import Parameters

Way = Literal["published", "macvlan", "ipvlan"]

WAYS: tuple[Way, ...] = ("published", "macvlan", "ipvlan")
PORT = 8080
"""The TCP port at which each of the containers serves its own name."""

# Eight addresses are enough for a few containers and small enough to find room beside a DHCP pool.
_BLOCK_LENGTHS = (29, 30)


@dataclass(frozen=True)
class External:
    """One way to give a container an address on the cluster's network.

    ``container`` runs on ``node``, on the Docker network ``network``, and ``witness`` is another node, which looks at
    it from outside. ``block`` holds the addresses that the network may give out; a published port has none: its address
    is the node's.
    """

    way: Way
    node: str
    witness: str
    container: str
    network: str
    image: str
    block: IPv4Network | None = None


def external(inventory: Inventory, parameters: Parameters, way: Way) -> External:
    """Where one way's container goes.

    A node carries macvlan or ipvlan networks on one interface, never both, so that they get a node each; the published
    port shares macvlan's. Nodes without wanted containers come first, because these nodes may be restarted.

    Raises:
        InputError: there is one node only, or no room for addresses outside the DHCP pool.
    """
    if way not in WAYS:
        raise InputError(f"nobody knows the way {way!r}", remedy=f"one of {', '.join(WAYS)}")
    busy = {container.node for container in parameters.containers}
    nodes = sorted(inventory.names, key=lambda name: name in busy)
    if len(nodes) < 2:
        raise InputError(
            "there is one node: nobody could look at a container from outside",
            place="inventory.nodes",
            remedy="name two or more nodes",
        )
    node = nodes[1] if way == "ipvlan" else nodes[0]
    witness = next(name for name in [*nodes[2:], *nodes[:2]] if name != node)
    image = parameters.containers[0].image if parameters.containers else "alpine"
    if way == "published":
        return External(way, node, witness, "web-published", "bridge", image)
    block = _blocks(inventory)[("macvlan", "ipvlan").index(way)]
    return External(way, node, witness, f"web-{way}", f"ext-{way}", image, block)


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
    """Two blocks of addresses that nobody else gives out.

    Two, because an engine keeps account of its own macvlan and ipvlan networks alone: from one block, two engines would
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
