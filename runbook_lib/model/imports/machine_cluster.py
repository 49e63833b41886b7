"""The cluster that the machines of a docker-machine store form: control plane, network, nodes.

``draft_of_machines`` makes the parameter file's draft; the network and the machines' addresses on it are what their
engines advertise, else what their driver knows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runbook_lib.errors import InputError
from runbook_lib.model.base import ControlPlaneName, parse_etcd_url
from runbook_lib.model.imports.docker_machine import Machine
from runbook_lib.model.imports.draft import (
    PLACEHOLDER_SUBNET,
    Draft,
    DraftNode,
    Notes,
    free_address,
    node_names,
    refuse_twins,
    subnet_around,
)

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
    hosts = [host for host, _ in parse_etcd_url(store).endpoints if is_address(host)]
    if hosts and not any(ipaddress.IPv4Address(host) in subnet for host in hosts):
        notes.ask(
            "network.subnet",
            f"The cluster store is in another network ({', '.join(hosts)}): is that the one between the nodes? Then"
            " correct subnet and every cluster_address.",
        )


def _host_only(cidr: str, dhcp: bool) -> dict[str, Any]:
    """VirtualBox's network: this computer's address on it, and the driver's DHCP range (.100 to .254)."""
    try:
        here = ipaddress.IPv4Interface(cidr)
    except ValueError as error:
        raise InputError(f"HostOnlyCIDR is {cidr!r}, which is not a network", remedy=CHOOSE) from error
    found = {"subnet": str(here.network), "gateway": str(here.ip)}
    pool = [ipaddress.IPv4Address(int(here.ip) & 0xFFFFFF00 | last) for last in (100, 254)]
    if dhcp and all(address in here.network for address in pool):
        found["dhcp_pool"] = f"{pool[0]}-{pool[1]}"
    return found


def refuse_foreign_addresses(machines: Sequence[Machine], addresses: Mapping[str, str], subnet: str) -> None:
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


_NO_STORE = "no store"
_MANAGER_PORT = 3376
_ETCD_PORT = 2379


def draft_of_machines(machines: Sequence[Machine], origin: str, name: str, known_hosts: str) -> Draft:
    """The parameter file of a cluster of machines.

    Raises:
        InputError: machines with different control planes or networks, a store other than etcd, a classic swarm
            without its manager, two machines of one name or address, an address outside the host-only network.
    """
    notes = Notes()
    names = node_names([machine.name for machine in machines])
    control_plane, store = _control_plane(machines)
    addresses = {machine.name: cluster_address(machine) for machine in machines}
    network = network_of(machines, addresses, store, notes)
    refuse_foreign_addresses(machines, addresses, network["subnet"])
    nodes = _nodes(machines, names, addresses, network, known_hosts, notes)
    refuse_twins(nodes, "start both, so that docker-machine notes what they have now; or " + CHOOSE)
    _tell_control_plane(control_plane, store, notes)
    boot2docker = all(machine.boot2docker for machine in machines)
    if not boot2docker:
        notes.say("platform", "How the hosts get their addresses; auto finds it out on each node.")
    in_pool = _in_pool(network, nodes)
    if in_pool:
        notes.say(
            "addresses",
            "The machines have these addresses from DHCP, and stores and certificates name them. Fixed, they stay"
            " inside the range that DHCP gives out: it may give one to another machine while its owner is off.",
        )
    return Draft(
        origin=origin,
        name=name,
        platform="boot2docker" if boot2docker else "auto",
        control_plane=control_plane,
        network=network,
        nodes=nodes,
        swarm_manager=_swarm_manager(machines) if control_plane == "classic-swarm" else None,
        etcd={} if control_plane == "swarm-mode" else _etcd(store, names, addresses, boot2docker, notes),
        allow_in_dhcp_pool=in_pool,
        notes=tuple(notes.taken),
    )


def _control_plane(machines: Sequence[Machine]) -> tuple[ControlPlaneName, str]:
    """The control plane that all machines share, and their cluster store (empty for none)."""
    found = {machine.name: _own_control_plane(machine) for machine in machines}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name}: {' with '.join(part for part in each if part)}" for name, each in found.items())
        raise InputError(f"these machines have different control planes ({told})", remedy=CHOOSE)
    kind, store = next(iter(found.values()))
    if kind == "classic-swarm":
        return "classic-swarm", "" if store == _NO_STORE else store
    return ("swarm-mode", "") if store == _NO_STORE else ("etcd", store)


def _own_control_plane(machine: Machine) -> tuple[str, str]:
    store = machine.flags.get("cluster-store", "")
    if store and not parse_etcd_url(store).members:
        raise InputError(
            f"the engine of {machine.name} keeps its networks in {store}, and only etcd is known here",
            remedy="create the machines with --engine-opt cluster-store=etcd://…, use Swarm mode, which needs no store,"
            " or choose other machines by name",
        )
    return "classic-swarm" if machine.swarm.member else "", store or _NO_STORE


def _tell_control_plane(control_plane: ControlPlaneName, store: str, notes: Notes) -> None:
    if control_plane == "swarm-mode":
        notes.ask(
            "control_plane",
            "These engines have no cluster store and no classic swarm, so nothing carries an overlay yet. Swarm mode"
            " does, from Docker 1.12 on: docker swarm init on one node, docker swarm join on the others.",
        )
    elif control_plane == "etcd":
        notes.say("control_plane", f"The engines were started with cluster-store={store}")
    else:
        notes.say("control_plane", "The machines are in a classic swarm, whose manager schedules over all nodes.")
        if not store:
            notes.ask(
                "control_plane",
                "No engine has a cluster store, and without one a classic swarm has no overlays: create the machines"
                " with --engine-opt cluster-store=etcd://… --engine-opt cluster-advertise=eth1:2376",
            )


def _nodes(
    machines: Sequence[Machine],
    names: Mapping[str, str],
    addresses: Mapping[str, str],
    network: Mapping[str, Any],
    known_hosts: str,
    notes: Notes,
) -> tuple[DraftNode, ...]:
    subnet = ipaddress.IPv4Network(network["subnet"])
    taken = {address for address in addresses.values() if address} | {str(network.get("gateway"))}
    nodes = []
    for machine in machines:
        node, address = names[machine.name], addresses[machine.name]
        if not address:
            address = free_address(subnet, taken)
            taken.add(address)
            notes.ask(
                f"nodes.{node}",
                f"The machine was off, and docker-machine had no address of it: {address} is only free among these"
                f" nodes. Start it (docker-machine start {machine.name}) and import again, or fill the address in.",
            )
        if machine.key_file is None:
            notes.say(f"nodes.{node}", "The store has no private key of it: the keys of ssh-agent are used.")
        nodes.append(DraftNode(node, address, _ssh(machine, known_hosts), _docker(machine, node, notes)))
    return tuple(nodes)


def _ssh(machine: Machine, known_hosts: str) -> dict[str, Any]:
    login: dict[str, Any] = {"host": machine.ssh_host}
    if machine.ssh_port != 22:
        login["port"] = machine.ssh_port
    login["user"] = machine.ssh_user
    login |= {"agent": True} if machine.key_file is None else {"key_file": str(machine.key_file)}
    return {**login, "known_hosts": known_hosts}


def _docker(machine: Machine, node: str, notes: Notes) -> dict[str, Any]:
    """TLS as docker-machine has it; over SSH where the forwarded port holds though the address moves."""
    if machine.driver == "virtualbox":
        return {"via": "ssh"}
    # the engine listens where SSH does: at the public address, if the machine has two
    if not machine.ca or not machine.cert or not machine.key or not is_address(machine.ssh_host):
        notes.say(f"nodes.{node}", "The store lacks an address or a certificate, so Docker is reached over SSH.")
        return {"via": "ssh"}
    files = {"ca": str(machine.ca), "cert": str(machine.cert), "key": str(machine.key)}
    return {"via": "tls", "host": machine.ssh_host, "port": machine.engine_port, **files}


def _in_pool(network: Mapping[str, Any], nodes: Sequence[DraftNode]) -> bool:
    if "dhcp_pool" not in network:
        return False
    first, last = (ipaddress.IPv4Address(end) for end in network["dhcp_pool"].split("-"))
    return any(first <= ipaddress.IPv4Address(node.cluster_address) <= last for node in nodes)


def _swarm_manager(machines: Sequence[Machine]) -> dict[str, Any]:
    managers = [machine for machine in machines if machine.swarm.manager]
    if not managers:
        raise InputError(
            "none of these machines is the manager of their classic swarm (SwarmOptions.Master)",
            remedy="import the manager with them: name it as well",
        )
    manager = managers[0]
    if not manager.ca or not manager.cert or not manager.key:
        raise InputError(
            f"the store has no client certificate for {manager.name}, the manager of the classic swarm",
            remedy=f"make one: docker-machine regenerate-certs {manager.name}",
        )
    port = re.search(r":(\d+)/?$", manager.swarm.endpoint)
    host = manager.address if manager.driver == "virtualbox" else manager.ssh_host
    if not host:
        raise InputError(
            f"{manager.name}, the manager of the classic swarm, was off, and its address is not known",
            remedy=f"start it: docker-machine start {manager.name}",
        )
    files = {"ca": str(manager.ca), "cert": str(manager.cert), "key": str(manager.key)}
    return {"host": host, "port": int(port[1]) if port else _MANAGER_PORT, **files}


def _etcd(
    store: str, names: Mapping[str, str], addresses: Mapping[str, str], boot2docker: bool, notes: Notes
) -> dict[str, Any]:
    """The members, of which the store tells how many there are, and their port."""
    endpoints = parse_etcd_url(store).endpoints
    hosts = [host for host, _ in endpoints]
    at = {address: names[machine] for machine, address in addresses.items() if address}
    where = ", ".join(f"{host} ({at[host]})" if host in at else host for host in hosts) or "an unknown place"
    notes.ask(
        "etcd.members",
        f"The store names {where}, and no containers: these are the article's names. 'docker ps' on those nodes"
        " tells theirs.",
    )
    return {
        "members": [f"etcd{number}" for number in range(1, max(1, len(hosts)) + 1)],
        "client_port": endpoints[0][1] or _ETCD_PORT if endpoints else _ETCD_PORT,
        "autostart": "bootlocal" if boot2docker else "auto",
    }
