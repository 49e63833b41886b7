"""Fixed addresses on hosts of every platform, and their removal.

How a platform configures the address, and whether a change takes effect at once or at the next boot, is in
:mod:`runbook_lib.steps.platforms`; a power cycle proves it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.host.addresses import BOOTSYNC, arp_owner
from runbook_lib.facts.host.host import read_boot_clock
from runbook_lib.facts.host.platform import HostNetwork, read_platform
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.model.results import Check
from runbook_lib.steps.base import Finding, Say, Step, pending, refused, satisfied
from runbook_lib.steps.platforms import Change, FileChange, Platform, PlatformRefusal, Wanted, changes, platform_of
from runbook_lib.steps.platforms.blocks import find_block
from runbook_lib.steps.platforms.boot2docker import STATIC_ADDRESS, address_lines
from runbook_lib.steps.targets import AddressReading, judge_readings, judge_targets, read_address, refusals


def has_address_block(bootsync: str | None) -> bool:
    """Whether our block is in the text of a ``bootsync.sh``. Raises ``RunbookError`` for unmatched markers."""
    return find_block(bootsync, STATIC_ADDRESS) is not None


@dataclass(frozen=True)
class _Plan:
    """A platform's change for one reading."""

    platform: Platform
    wanted: Wanted
    change: Change
    before: str

    def is_done(self, reading: AddressReading) -> bool:
        """Whether nothing is to be written and a live change has taken effect."""
        current = reading.current
        in_effect = current.as_expected and current.assigned_by == "static"
        return not self.change.files and (in_effect or not self.platform.live)


class StaticAddresses(Step[AddressReading, Change]):
    """Gives every node its ``cluster_address`` from the inventory permanently.

    On boot2docker by a marked block in ``bootsync.sh``, from the next boot on; on a systemd host by an own file of its
    network manager (or a marked block in ``/etc/network/interfaces``), at once and with a guard on the node. A node
    whose target fails a check (:mod:`runbook_lib.steps.targets`), or whose platform is not the configured one, is
    refused and not changed.
    """

    name = "static addresses"
    no_files = "whose own files give the address already"

    def __init__(self, inventory: Inventory, addresses: Addresses, platform: str = "auto") -> None:
        """``platform`` is ``auto`` or the platform of all nodes for which the inventory names none."""
        self._inventory = inventory
        self._addresses = addresses
        self._platform = platform

    def read(self, node: Node) -> AddressReading:
        """The address, its configuration and, if a change is needed, the host that answers at the target."""
        reading = read_address(node, self._inventory.network, probe=False)
        try:
            if self._plan(node.name, reading).is_done(reading):
                return reading
        except PlatformRefusal:
            return reading
        answering = arp_owner(node, self._inventory.network.interface, node.spec.cluster_address)
        return replace(reading, answering=answering, probed=True)

    def assess(self, readings: Mapping[str, AddressReading], missing: frozenset[str]) -> Mapping[str, Finding[Change]]:
        """Refuse bad targets; otherwise compare the host's configuration with the wanted one."""
        checks = (*judge_targets(self._inventory, self._addresses), *judge_readings(self._inventory, readings))
        return {name: self._finding(name, reading, checks) for name, reading in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: Change, say: Say) -> None:
        """Change the files by the platform's method."""
        self._platform_of(node.name, work.host).apply(cluster, node, work, self._addresses.guard_seconds, say)

    def changed_since_boot(self, node: Node) -> str:
        """The files that configure the address, if changed since the last boot."""
        _, files = self.planned_files(node.name, read_address(node, self._inventory.network, probe=False))
        return ", ".join(read_boot_clock(node, [file.path for file in files]).files_changed_since_boot)

    def planned_files(self, node: str, reading: AddressReading) -> tuple[Platform, tuple[FileChange, ...]]:
        """A node's platform, and each file without and with the runbook's change, already written or not.

        Raises ``PlatformRefusal``.
        """
        plan = self._plan(node, reading)
        original = {file.path: file for file in plan.platform.original(reading.host)}
        theirs = self._is_fixed_by_others(plan.platform, reading)
        wanted = () if theirs else plan.platform.fixed(reading.host, plan.wanted)
        return plan.platform, tuple(
            FileChange(original.get(file.path, reading.host.file(file.path)), file) for file in wanted
        )

    def _finding(self, node: str, reading: AddressReading, checks: tuple[Check, ...]) -> Finding[Change]:
        now = self._now(reading)
        try:
            plan = self._plan(node, reading)
        except PlatformRefusal as refusal:
            return refused(now, refusal.message, remedy=refusal.remedy)
        reasons = refusals(checks, node)
        if reasons:
            return refused(plan.before, "; ".join(reasons), remedy="notebook 01_fix_node_ips shows all checks")
        if plan.is_done(reading):
            return satisfied(plan.before, now)
        target, ssh = plan.wanted.address, self._inventory.node(node).ssh
        if plan.platform.live and ssh.host == reading.current.address != target:
            return refused(
                plan.before,
                f"the inventory reaches this node at {ssh.host}, the address that would be removed",
                remedy=f"keep that address (cluster_address: {ssh.host}), or reach the node at another one (ssh.host)",
            )
        if not plan.platform.live:
            return pending(plan.before, f"static {target} at boot", plan.change, now)
        written = ", ".join(file.path for file in plan.change.files) or "no file, only reloaded"
        return pending(plan.before, f"static {target} by {plan.platform.name}", plan.change, f"{now}; {written}")

    def _plan(self, node: str, reading: AddressReading) -> _Plan:
        """Raises ``PlatformRefusal``, and ``RunbookError`` for unmatched markers."""
        spec, network, host = self._inventory.node(node), self._inventory.network, reading.host
        platform = self._platform_of(node, host)
        # Set a gateway only if the default route already uses this interface.
        gateway = (network.gateway or host.gateway) if host.gateway else ""
        wanted = Wanted(network.interface, spec.cluster_address, network.prefix, gateway, host.name_servers)
        theirs = self._is_fixed_by_others(platform, reading)
        files = () if theirs else changes(host, platform.fixed(host, wanted))
        return _Plan(platform, wanted, Change(host, files, wanted), platform.describe(host, network.prefix))

    def _platform_of(self, node: str, host: HostNetwork) -> Platform:
        return platform_of(host, self._inventory.node(node).platform or self._platform)

    @staticmethod
    def _is_fixed_by_others(platform: Platform, reading: AddressReading) -> bool:
        """Whether the host's own files already configure the address permanently."""
        current, host = reading.current, reading.host
        return (
            not platform.is_ours(host)
            and host.method == "static"
            and current.assigned_by == "static"
            and current.as_expected
        )

    @staticmethod
    def _now(reading: AddressReading) -> str:
        current = reading.current
        client = f", {current.dhcp_client}" if current.dhcp_client else ""
        now = f"now {current.address or 'no address'} ({current.assigned_by}{client})"
        foreign = address_lines(reading.host.file(BOOTSYNC).text, reading.host.interface)
        return f"{now}; bootsync.sh also has {'; '.join(foreign)}" if foreign else now


class RemoveStaticAddresses(Step[HostNetwork, Change]):
    """Undoes ``StaticAddresses``: every file is again as before, byte for byte.

    On boot2docker a node uses DHCP again from its next boot on; on a systemd host at once, with a guard.
    """

    name = "remove static addresses"
    no_files = "where nothing is ours"

    def __init__(self, inventory: Inventory, addresses: Addresses | None = None) -> None:
        self._inventory = inventory
        self._addresses = addresses or Addresses()

    def read(self, node: Node) -> HostNetwork:
        """How the node configures its interface."""
        host = read_platform(node, self._inventory.network.interface)
        if host.platform is not None:
            platform_of(host).is_ours(host)
        return host

    def assess(self, readings: Mapping[str, HostNetwork], missing: frozenset[str]) -> Mapping[str, Finding[Change]]:
        """Pending if something of ours exists."""
        return {name: self._finding(host) for name, host in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: Change, say: Say) -> None:
        """Restore the files, or remove those that the runbook created."""
        platform_of(work.host).apply(cluster, node, work, self._addresses.guard_seconds, say)

    def planned_files(self, node: str, reading: AddressReading) -> tuple[Platform, tuple[FileChange, ...]]:
        """A node's platform, and each file now and before the runbook's change; none if nothing is ours.

        Raises ``PlatformRefusal``.
        """
        platform = platform_of(reading.host)
        return platform, self._files(platform, reading.host)

    def _finding(self, host: HostNetwork) -> Finding[Change]:
        try:
            platform = platform_of(host)
        except PlatformRefusal as refusal:
            return refused("", refusal.message, remedy=refusal.remedy)
        if not platform.is_ours(host):
            return satisfied(f"no {platform.ours}")
        files = self._files(platform, host)
        detail = ", ".join(file.path for file in files) if platform.live else ""
        return pending(platform.ours, f"no {platform.ours}", Change(host, files, None), detail)

    @staticmethod
    def _files(platform: Platform, host: HostNetwork) -> tuple[FileChange, ...]:
        return changes(host, platform.original(host)) if platform.is_ours(host) else ()
