"""Checks across fields: values that are each valid but do not fit together."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator

from runbook_lib.errors import Fault, InputError
from runbook_lib.model.documents import Document, Source
from runbook_lib.model.inventory import Inventory, NodeSpec, SshHop
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.secrets import SecretReference


def of_inventory(inventory: Inventory, source: Source) -> Iterator[Fault]:
    """What is wrong with an inventory by itself, secrets that cannot be found among it."""
    yield from _network_faults(inventory, source)
    names, owners = set[str](), dict[str, str]()
    for index, node in enumerate(inventory.nodes):
        if node.name in names:
            yield Fault(source.place("nodes", index, "name"), f"the name {node.name!r} is used twice")
        names.add(node.name)
        address, place = node.cluster_address, source.place("nodes", index, "cluster_address")
        if address in owners:
            yield Fault(place, f"{node.name} and {owners[address]} have the same address {address}")
        owners.setdefault(address, node.name)
        wrong = _address_fault(address, inventory)
        if wrong:
            yield Fault(place, f"{address} of {node.name} is {wrong}")
        yield from _login_faults(node, index, source)


def of_parameters(parameters: Parameters, inventory: Inventory | None, document: Document) -> Iterator[Fault]:
    """What is wrong with parameters; where the inventory is known, containers must be placed on its nodes."""
    yield from _container_faults(parameters, inventory, document)
    for name, reference in parameters.secrets.items():
        yield from _unresolved(reference, document.place(["secrets", name]))
    yield from _control_plane_faults(parameters, document)


def of_both(parameters: Parameters, inventory: Inventory, document: Document, source: Source) -> Iterator[Fault]:
    """What in parameters and inventory does not go together."""
    subnet, underlay = parameters.overlay.subnet, inventory.network.prefix
    if subnet is not None and ipaddress.IPv4Network(subnet).overlaps(underlay):
        place = document.place(["overlay", "subnet"])
        yield Fault(place, f"{subnet} overlaps {underlay}, the network between the nodes")
    if parameters.control_plane == "classic-swarm" and inventory.swarm_manager is None:
        place = document.place(["control_plane"])
        yield Fault(place, "classic-swarm needs the manager's endpoint: name it as swarm_manager in the inventory")
    if parameters.control_plane != "classic-swarm" and inventory.swarm_manager is not None:
        place = source.place("swarm_manager")
        yield Fault(
            place, f"only control_plane: classic-swarm has a manager's endpoint, not {parameters.control_plane}"
        )
    yield from _autostart_faults(parameters, inventory, document)


def _network_faults(inventory: Inventory, source: Source) -> Iterator[Fault]:
    network = inventory.network
    if network.gateway is not None and ipaddress.IPv4Address(network.gateway) not in network.prefix:
        yield Fault(source.place("network", "gateway"), f"{network.gateway} is outside the subnet {network.prefix}")
    pool = network.pool
    if pool is not None and not all(ipaddress.IPv4Address(end) in network.prefix for end in (pool.first, pool.last)):
        yield Fault(source.place("network", "dhcp_pool"), f"{pool} is outside the subnet {network.prefix}")


def _address_fault(address: str, inventory: Inventory) -> str:
    """Why a node cannot have the address; empty when it can."""
    network, parsed = inventory.network.prefix, ipaddress.IPv4Address(address)
    if parsed not in network:
        return f"outside the subnet {network}"
    if network.prefixlen < 31 and parsed == network.network_address:
        return f"the network's own address in {network}"
    if network.prefixlen < 31 and parsed == network.broadcast_address:
        return f"the broadcast address of {network}"
    return "the gateway's address" if address == inventory.network.gateway else ""


def _login_faults(node: NodeSpec, index: int, source: Source) -> Iterator[Fault]:
    """Passphrases and passwords of a node and its jump hosts that cannot be found."""
    hops: list[tuple[SshHop, tuple[str | int, ...]]] = [(node.ssh, ())]
    hops += [(hop, ("jump", number)) for number, hop in enumerate(node.ssh.jump)]
    for hop, where in hops:
        for name in ("passphrase", "password"):
            reference = getattr(hop, name)
            if reference is not None:
                yield from _unresolved(reference, source.place("nodes", index, "ssh", *where, name))
    if node.ssh.sudo_password is not None:
        yield from _unresolved(node.ssh.sudo_password, source.place("nodes", index, "ssh", "sudo_password"))


def _container_faults(parameters: Parameters, inventory: Inventory | None, document: Document) -> Iterator[Fault]:
    for name in _repeated(parameters.etcd.members):
        yield Fault(document.place(["etcd", "members"]), f"the name {name!r} is used twice")
    seen: set[str] = set()
    for index, container in enumerate(parameters.containers):
        place = document.place(["containers", index, "name"])
        if container.name in seen:
            yield Fault(place, f"the name {container.name!r} is used twice")
        seen.add(container.name)
        if container.name in parameters.etcd.members:
            yield Fault(place, f"{container.name!r} is the name of an etcd member")
        if inventory is not None and container.node is not None and container.node not in inventory.names:
            yield Fault(
                document.place(["containers", index, "node"]),
                f"{container.name} is placed on {container.node!r}, which is not a node of the inventory "
                f"({', '.join(inventory.names)})",
            )


def _control_plane_faults(parameters: Parameters, document: Document) -> Iterator[Fault]:
    if parameters.overlay.encrypted and parameters.control_plane != "swarm-mode":
        yield Fault(
            document.place(["overlay", "encrypted"]),
            "only managers of Swarm mode hand out the keys of an encrypted overlay: choose control_plane: swarm-mode",
        )


def _autostart_faults(parameters: Parameters, inventory: Inventory, document: Document) -> Iterator[Fault]:
    """``bootlocal`` is boot2docker's: a host that is named as something else has no such file."""
    if parameters.etcd.autostart != "bootlocal" or parameters.control_plane == "swarm-mode":
        return
    others = {
        node.name: platform
        for node in inventory.nodes
        if (platform := node.platform or parameters.platform) not in ("boot2docker", "auto")
    }
    if others:
        names = ", ".join(f"{name} ({platform})" for name, platform in others.items())
        yield Fault(
            document.place(["etcd", "autostart"]),
            f"only boot2docker hosts have bootlocal.sh, not {names}: write restart-policy, systemd-unit or auto",
        )


def _unresolved(reference: SecretReference, place: str) -> Iterator[Fault]:
    try:
        reference.resolve(place)
    except InputError as error:
        yield Fault(error.place, f"{error.message} ({error.remedy})")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
