"""A cluster of hosts of which only the logins are known: from OpenSSH's configuration, or from Docker's contexts."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook_lib.model.imports.draft import (
    PLACEHOLDER_SUBNET,
    Draft,
    DraftNode,
    Note,
    free_address,
    node_names,
    refuse_twins,
    subnet_around,
)
from runbook_lib.model.inventory import SshAccess


@dataclass(frozen=True)
class Host:
    """One host: what its source calls it, how to log in, how to reach its engine; ``notes`` are for its reader."""

    name: str
    ssh: SshAccess
    docker: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def draft_of_hosts(hosts: Sequence[Host], origin: str, name: str) -> Draft:
    """The parameter file of a cluster of hosts, in which network and control plane are guesses that say so.

    Raises:
        InputError: two hosts of one name or address.
    """
    names = node_names([host.name for host in hosts])
    found = {host.name: _address(host.ssh) for host in hosts}
    known = [address for address in found.values() if address]
    subnet = subnet_around(known)
    notes = [Note("platform", "How the hosts get their addresses; auto finds it out on each node.")]
    notes += _guesses(subnet)
    network = subnet or PLACEHOLDER_SUBNET
    taken = {address for address in known if ipaddress.IPv4Address(address) in network}
    nodes = []
    for host in hosts:
        address, node = found[host.name], names[host.name]
        if address not in taken:
            where = f", and not {address}" if address else ""
            address = free_address(network, taken)
            taken.add(address)
            text = f"Its address on the network between the nodes is not known: {address} is a placeholder{where}."
            notes.append(Note(f"nodes.{node}", f"{text} Fill it in.", fill_in=True))
        notes += [Note(f"nodes.{node}", text) for text in host.notes]
        login = host.ssh.model_dump(mode="json", exclude_defaults=True)
        nodes.append(DraftNode(node, address, login, host.docker))
    refuse_twins(nodes, "name each host once")
    return Draft(
        origin=origin,
        name=name,
        platform="auto",
        control_plane="swarm-mode",
        network={"interface": "eth0", "subnet": str(network)},
        nodes=tuple(nodes),
        notes=tuple(notes),
    )


def _guesses(subnet: ipaddress.IPv4Network | None) -> list[Note]:
    where = (
        "A guess around the hosts' addresses; 'ip -4 addr' on a node tells the real prefix length."
        if subnet
        else "The network between the nodes is not known: this is a placeholder. Fill it in."
    )
    return [
        Note(
            "control_plane",
            "A login does not tell where the engines keep an overlay: swarm-mode is what people run today; etcd up to"
            " Docker 20.10; classic-swarm has a manager's endpoint besides. 'inventory check' tells what it finds.",
            fill_in=True,
        ),
        Note(
            "network.interface",
            "The interface of every node on the network between them: 'ip -4 addr' on a node tells.",
            fill_in=True,
        ),
        Note("network.subnet", where + " Name gateway and dhcp_pool too, if the network has them.", fill_in=True),
    ]


def _address(access: SshAccess) -> str:
    """The IPv4 address at which SSH reaches a host, if the cluster could know it by that; else nothing."""
    try:
        address = str(ipaddress.IPv4Address(access.host))
    except ValueError:
        if access.jump:
            return ""  # the name means something to the jump host, not necessarily here
        try:
            address = str(socket.getaddrinfo(access.host, None, socket.AF_INET)[0][4][0])
        except OSError:
            return ""
    return "" if ipaddress.IPv4Address(address).is_loopback else address
