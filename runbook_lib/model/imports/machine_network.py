"""Where the machines of a docker-machine store are: the network between them, and their addresses on it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.model.imports.docker_machine import Machine
from runbook_lib.model.imports.draft import PLACEHOLDER_SUBNET, Notes, subnet_around

#: What to do about machines that do not form one cluster.
CHOOSE = "choose machines that form one cluster: ./runbook inventory import-docker-machine MACHINE…"


def cluster_address(machine: Machine) -> str:
    """What the machine's engine advertises, else what its driver knows; empty when it was off."""
    advertised = _advertised(machine)
    return advertised if is_address(advertised) else machine.address


def _advertised(machine: Machine) -> str:
    """The host part of ``cluster-advertise``: an address, or the name of an interface."""
    return machine.flags.get("cluster-advertise", "").rpartition(":")[0]


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def network_of(machines: Sequence[Machine], addresses: Mapping[str, str], store: str, notes: Notes) -> dict[str, Any]:
    """The network between machines, as the inventory has it.

    Args:
        addresses: of the machines, by name; empty where a machine was off.
        store: the cluster store of their engines, empty for none.

    Raises:
        InputError: they are on different host-only networks of VirtualBox.
    """
    found = {"interface": _interface(machines, notes), **_subnet(machines, addresses, notes)}
    _compare_with_store(store, ipaddress.IPv4Network(found["subnet"]), notes)
    return found


def _subnet(machines: Sequence[Machine], addresses: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    host_only = {machine.name: machine.host_only for machine in machines if machine.host_only}
    if len(set(host_only.values())) > 1:
        told = ", ".join(f"{name}: {cidr}" for name, cidr in host_only.items())
        raise InputError(f"these machines are on different host-only networks ({told})", remedy=CHOOSE)
    if host_only:
        return _host_only(next(iter(host_only.values())), any(machine.dhcp for machine in machines))
    subnet = subnet_around([address for address in addresses.values() if address])
    if subnet is None:
        notes.ask("network.subnet", "The network between the nodes is not known: this is a placeholder. Fill it in.")
        return {"subnet": str(PLACEHOLDER_SUBNET)}
    notes.ask(
        "network.subnet",
        "docker-machine knows the nodes' addresses and no prefix length: this is a guess around them. Compare it"
        " with 'ip -4 addr' on a node; name gateway and dhcp_pool too, if the network has them.",
    )
    return {"subnet": str(subnet)}


def _compare_with_store(store: str, subnet: ipaddress.IPv4Network, notes: Notes) -> None:
    """A machine with two interfaces may be reached over one, and have its cluster on the other."""
    hosts = [host for host in store_endpoints(store)[0] if is_address(host)]
    if hosts and not any(ipaddress.IPv4Address(host) in subnet for host in hosts):
        notes.ask(
            "network.subnet",
            f"The cluster store is in another network ({', '.join(hosts)}): is that the one between the nodes? Then"
            " correct subnet and every cluster_address.",
        )


def store_endpoints(store: str) -> tuple[list[str], str]:
    """The hosts of ``etcd://A:2379,B:2379/path``, and the first one's port (empty for none)."""
    endpoints = [part.partition(":") for part in store.removeprefix("etcd://").partition("/")[0].split(",") if part]
    return [host for host, _, _ in endpoints], endpoints[0][2] if endpoints else ""


def _host_only(cidr: str, dhcp: bool) -> dict[str, Any]:
    """VirtualBox's network: this computer's address on it, and the driver's DHCP range (.100 to .254)."""
    try:
        here = ipaddress.IPv4Interface(cidr)
    except ValueError as error:
        raise InputError(f"HostOnlyCIDR is {cidr!r}, which is no network", remedy=CHOOSE) from error
    found = {"subnet": str(here.network), "gateway": str(here.ip)}
    pool = [ipaddress.IPv4Address(int(here.ip) & 0xFFFFFF00 | last) for last in (100, 254)]
    if dhcp and all(address in here.network for address in pool):
        found["dhcp_pool"] = f"{pool[0]}-{pool[1]}"
    return found


def refuse_strangers(machines: Sequence[Machine], addresses: Mapping[str, str], subnet: str) -> None:
    """Raise ``InputError`` where the store contradicts itself: a host-only network that lacks a machine's address."""
    prefix = ipaddress.IPv4Network(subnet)
    known = [machine for machine in machines if machine.host_only and addresses[machine.name]]
    outside = [machine for machine in known if ipaddress.IPv4Address(addresses[machine.name]) not in prefix]
    if outside:
        told = ", ".join(f"{machine.name} has {addresses[machine.name]}" for machine in outside)
        raise InputError(
            f"HostOnlyCIDR is {outside[0].host_only}, a network that does not hold the machines' addresses ({told})",
            place=", ".join(machine.config for machine in outside),
            remedy="VBoxManage list hostonlyifs shows which network they are on: write it into HostOnlyCIDR of each of"
            f" these files of the store; or {CHOOSE}",
        )


def _interface(machines: Sequence[Machine], notes: Notes) -> str:
    advertised = dict.fromkeys(_advertised(machine) for machine in machines)
    named = [name for name in advertised if re.fullmatch(r"[A-Za-z][\w.-]{0,14}", name)]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        notes.ask(
            "network.interface",
            f"The engines advertise different interfaces ({', '.join(named)}), and one name must hold for all nodes.",
        )
        return named[0]
    if all(machine.boot2docker for machine in machines):
        return "eth1"
    notes.ask(
        "network.interface",
        "The store does not name the interface on the network between the nodes: 'ip -4 addr' on a node does.",
    )
    return "eth0"
