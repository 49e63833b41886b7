"""The switch: two bridges in a separate namespace, and a veth from the host to each of them; and the subnets.

The nodes' frames do not pass the host's firewall, and the host's own network is not changed. A testbed never uses a
subnet that overlaps an address or a route of the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.layout import DEFAULT_SUBNET, Layout, Network, NodeLayout

_NAMESPACES = Path("/run/netns")
MANAGEMENT_BRIDGE = "management"
CLUSTER_BRIDGE = "cluster"


def namespace_exists(name: str) -> bool:
    """Whether the host has a named network namespace of this name."""
    return (_NAMESPACES / name).exists()


def link_exists(name: str) -> bool:
    """Whether the host has an interface of this name."""
    return Path("/sys/class/net", name).exists()


def leftovers(layout: Layout) -> list[str]:
    """The testbed's existing namespaces and links."""
    namespaces = [f"network namespace {name}" for name in layout.namespaces if namespace_exists(name)]
    return namespaces + [f"link {name}" for name in layout.host_links if link_exists(name)]


def switch_is_up(layout: Layout) -> bool:
    """Whether the switch and the host's cables exist."""
    return namespace_exists(layout.switch_namespace) and all(link_exists(name) for name in layout.host_links)


def create_switch(layout: Layout) -> None:
    """Create the switch and connect the host to both of its bridges.

    Raises:
        TestbedError: a link or namespace could not be made.
    """
    host.run(["ip", "netns", "add", layout.switch_namespace])
    cluster_prefix, management_prefix = layout.cluster.prefixlen, layout.management.prefixlen
    host.ip_batch(
        [
            "link set lo up",
            f"link add {MANAGEMENT_BRIDGE} type bridge mcast_snooping 0",
            f"link add {CLUSTER_BRIDGE} type bridge mcast_snooping 0",
            f"link set {MANAGEMENT_BRIDGE} up",
            f"link set {CLUSTER_BRIDGE} up",
            f"addr add {layout.dhcp_server}/{cluster_prefix} dev {CLUSTER_BRIDGE}",
        ],
        namespace=layout.switch_namespace,
    )
    management, cluster = layout.host_links
    host.ip_batch(
        [
            f"link add {management} type veth peer name host-m netns {layout.switch_namespace}",
            f"link add {cluster} type veth peer name host-c netns {layout.switch_namespace}",
            f"addr add {layout.host_management_address}/{management_prefix} dev {management}",
            f"addr add {layout.gateway}/{cluster_prefix} dev {cluster}",
            f"link set {management} up",
            f"link set {cluster} up",
        ]
    )
    host.ip_batch(
        [f"link set host-m master {MANAGEMENT_BRIDGE} up", f"link set host-c master {CLUSTER_BRIDGE} up"],
        namespace=layout.switch_namespace,
    )


def remove_switch(layout: Layout) -> None:
    """Remove the switch, the nodes' namespaces and the host's cables; missing ones are skipped."""
    for name in layout.host_links:
        if link_exists(name):
            host.run(["ip", "link", "del", name])
    for name in layout.namespaces:
        if namespace_exists(name):
            host.run(["ip", "netns", "del", name])


def set_port(layout: Layout, node: NodeLayout, *, up: bool, management: bool = False) -> None:
    """Connect a node to the cluster's bridge (and the management's), or disconnect it.

    A mark in the node's folder keeps it disconnected over a reboot.
    """
    ports = {"cluster": node.cluster_port}
    if management:
        ports["management"] = node.management_port
    for kind, port in ports.items():
        mark = node.folder / f"cut.{kind}"
        if up:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
        wired = host.run(["ip", "-n", layout.switch_namespace, "link", "show", port], check=False).returncode == 0
        if wired:
            state = "up" if up else "down"
            host.run(["ip", "-n", layout.switch_namespace, "link", "set", port, state])


SMALLEST_PREFIX_LENGTH = 16
AUTO = "auto"


@dataclass(frozen=True)
class Claim:
    """A subnet that is in use, and its user."""

    network: Network
    owner: str


def parse_subnet(text: str) -> Network:
    """Read a subnet in CIDR notation.

    Raises:
        InputError: not a subnet, too large, or too small for a DHCP pool.
    """
    place, remedy = "--subnet", "give a subnet such as 192.168.77.0/24, or 'auto'"
    try:
        network = Network(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not an IPv4 subnet ({error})", place=place, remedy=remedy) from error
    if not SMALLEST_PREFIX_LENGTH <= network.prefixlen <= 28:
        raise InputError(f"{network} must be between a /16 and a /28", place=place, remedy=remedy)
    if not network.is_private:
        raise InputError(f"{network} is not a private subnet", place=place, remedy=remedy)
    return network


def host_claims() -> list[Claim]:
    """The subnets of the host's addresses and routes."""
    addresses = host.run(["ip", "-json", "-4", "addr", "show"]).stdout
    routes = host.run(["ip", "-json", "-4", "route", "show", "table", "all"]).stdout
    return parse_addresses(addresses) + parse_routes(routes)


def parse_addresses(text: str) -> list[Claim]:
    """Claims from ``ip -json addr``: the network of every address."""
    claims = []
    for link in json.loads(text or "[]"):
        for item in link.get("addr_info", []):
            if item.get("family") == "inet":
                network = Network(f"{item['local']}/{item['prefixlen']}", strict=False)
                claims.append(Claim(network, f"address {item['local']} of interface {link['ifname']}"))
    return claims


def parse_routes(text: str) -> list[Claim]:
    """Claims from ``ip -json route``: every destination but the default one."""
    claims = []
    for route in json.loads(text or "[]"):
        destination = str(route.get("dst", "default"))
        if destination in ("default", "0.0.0.0/0") or route.get("type") in ("multicast", "broadcast"):
            continue
        owner = f"route to {destination} by interface {route.get('dev', '(none)')}"
        claims.append(Claim(Network(destination), owner))
    return claims


def collision(network: Network, claims: Iterable[Claim]) -> Claim | None:
    """The first claim that a subnet overlaps with, or None."""
    return next((claim for claim in claims if claim.network.overlaps(network)), None)


def choose_cluster(wanted: str | None, claims: Sequence[Claim]) -> Network:
    """The cluster's subnet: the wanted one, the default one, or with ``auto`` the first that is free.

    Raises:
        InputError: it overlaps another one (whose owner is named), or none is free.
    """
    if wanted == AUTO:
        candidates = (Network(f"192.168.{third}.0/24") for third in (99, *range(98, 19, -1)))
        return _first_free(candidates, claims)
    network = parse_subnet(wanted) if wanted else DEFAULT_SUBNET
    claim = collision(network, claims)
    if claim is not None:
        raise InputError(
            f"{network} is in use on this machine: {claim.owner}",
            place="--subnet",
            remedy="give another subnet, or --subnet auto to have a free one chosen",
        )
    return network


def choose_management(claims: Sequence[Claim]) -> Network:
    """A free subnet for the management network.

    Raises:
        InputError: none is free.
    """
    return _first_free((Network(f"10.213.{third}.0/24") for third in range(20, 220)), claims)


def _first_free(candidates: Iterable[Network], claims: Sequence[Claim]) -> Network:
    for network in candidates:
        if collision(network, claims) is None:
            return network
    raise InputError("no free private subnet was found on this machine", remedy="give one with --subnet")
