"""Fixed addresses through boot2docker's ``bootsync.sh``, and the way back.

There is deliberately no "apply now". The engine advertises the address of its cluster interface, etcd's members listen
on and are configured with those addresses: changing one under a running engine cuts it off from its store and its
peers while everything still looks alive. A boot is the moment at which nothing depends on the address yet, so the block
takes effect there, and a power-cycle proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.addresses import BOOTSYNC, read_bootsync
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.model.results import Check
from runbook_lib.steps.base import Finding, Say, Step, pending, refused, satisfied
from runbook_lib.steps.blocks import find_block, put_block, remove_block
from runbook_lib.steps.boot_files import Restoration, check_markers, restore, write_boot_script
from runbook_lib.steps.boot_scripts import STATIC_ADDRESS, address_lines, static_address
from runbook_lib.steps.targets import AddressReading, judge_readings, judge_targets, read_address, refusals


def has_address_block(bootsync: str | None) -> bool:
    """True when our block is in the text of a ``bootsync.sh``. Raises ``RunbookError`` for unmatched markers."""
    return find_block(bootsync, STATIC_ADDRESS) is not None


class StaticAddresses(Step[AddressReading, str]):
    """Gives every node its ``cluster_address`` from the inventory, from its next boot on.

    A marked block in ``/var/lib/boot2docker/bootsync.sh``; the rest of the file is kept, and its first state stands
    beside it. A node whose target fails a check (:mod:`runbook_lib.steps.targets`) is refused and not touched.
    """

    name = "static addresses"

    def __init__(self, inventory: Inventory, addresses: Addresses) -> None:
        self._inventory = inventory
        self._addresses = addresses

    def read(self, node: Node) -> AddressReading:
        """Address, ``bootsync.sh``, and, while the block is not there yet, who answers at the target."""
        reading = read_address(node, self._inventory.network, probe=False)
        check_markers(node.name, BOOTSYNC, reading.bootsync, STATIC_ADDRESS)
        if self._wanted_text(node.name, reading) == reading.bootsync:
            return reading
        return read_address(node, self._inventory.network)

    def assess(self, readings: Mapping[str, AddressReading], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        """Refuse bad targets; elsewhere compare the file with what it should be."""
        checks = (*judge_targets(self._inventory, self._addresses), *judge_readings(self._inventory, readings))
        return {name: self._finding(name, reading, checks) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        """Write the file."""
        write_boot_script(node, BOOTSYNC, work)

    def _finding(self, node: str, reading: AddressReading, checks: tuple[Check, ...]) -> Finding[str]:
        target, before = self._inventory.node(node).cluster_address, self._at_boot(reading)
        reasons = refusals(checks, node)
        if reasons:
            return refused(before, "; ".join(reasons), remedy="notebook 01_fix_node_ips shows all checks")
        wanted, detail = self._wanted_text(node, reading), self._detail(reading)
        if wanted == reading.bootsync:
            return satisfied(before, detail)
        return pending(before, f"static {target} at boot", wanted, detail)

    def _wanted_text(self, node: str, reading: AddressReading) -> str:
        target, network = self._inventory.node(node).cluster_address, self._inventory.network
        return put_block(reading.bootsync, STATIC_ADDRESS, static_address(network.interface, target, network.prefix))

    def _at_boot(self, reading: AddressReading) -> str:
        body = find_block(reading.bootsync, STATIC_ADDRESS)
        if body is None:
            foreign = address_lines(reading.bootsync, self._inventory.network.interface)
            return f"bootsync.sh {foreign[-1]}" if foreign else "DHCP at boot"
        network = self._inventory.network
        for node in self._inventory.nodes:
            if body == static_address(network.interface, node.cluster_address, network.prefix):
                return f"static {node.cluster_address} at boot"
        return "another static-address block"

    def _detail(self, reading: AddressReading) -> str:
        current = reading.current
        client = f", {current.dhcp_client}" if current.dhcp_client else ""
        now = f"now {current.address or 'no address'} ({current.assigned_by}{client})"
        foreign = address_lines(reading.bootsync, self._inventory.network.interface)
        return f"{now}; bootsync.sh also has {'; '.join(foreign)}" if foreign else now


@dataclass(frozen=True)
class BootScript:
    """The text of one boot script, ``None`` without the file."""

    text: str | None


class RemoveStaticAddresses(Step[BootScript, Restoration]):
    """Takes the block out of ``bootsync.sh`` again: from its next boot on a node asks DHCP for its address."""

    name = "remove static addresses"

    def read(self, node: Node) -> BootScript:
        """The text of ``bootsync.sh``."""
        text = read_bootsync(node)
        check_markers(node.name, BOOTSYNC, text, STATIC_ADDRESS)
        return BootScript(text)

    def assess(self, readings: Mapping[str, BootScript], missing: frozenset[str]) -> Mapping[str, Finding[Restoration]]:
        """Pending wherever the block is."""
        return {name: self._finding(reading.text) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: Restoration, say: Say) -> None:
        """Write what is left of the file, or remove it when it is there only because of the block."""
        restore(node, work)

    def _finding(self, text: str | None) -> Finding[Restoration]:
        if find_block(text, STATIC_ADDRESS) is None:
            return satisfied("no block in bootsync.sh")
        rest = remove_block(text, STATIC_ADDRESS)
        return pending("block in bootsync.sh", "no block in bootsync.sh", Restoration(BOOTSYNC, rest))
