"""Checks of the nodes' target addresses before they are configured, and of the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from time import sleep

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CertificateError, EngineError, RunbookError, UnreachableError
from runbook_lib.facts.host.addresses import BOOTSYNC, ClusterAddress, arp_owner, read_cluster_address
from runbook_lib.facts.host.platform import HostNetwork, read_platform
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.parameters import Addresses
from runbook_lib.model.results import Check, Verdict
from runbook_lib.steps.base import in_one_line
from runbook_lib.steps.platforms import PlatformRefusal, platform_of
from runbook_lib.steps.platforms.boot2docker import address_lines
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.waiting import Deadline

_POOL_REASON = (
    "the DHCP server may lease it to another host, and then two hosts have it"
    " (https://github.com/docker/machine/issues/1996)"
)

# Until then this machine may send to the address's previous holder: Linux drops an unconfirmed neighbour entry after
# 8 s (arp(7): delay_first_probe_time, then ucast_solicit times retrans_time), and a connection attempt that began
# before may fail.
_OLD_NEIGHBOUR_SECONDS = 12.0
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class AddressReading:
    """A node's address on the cluster's network and its configuration.

    ``answering`` is the MAC that answered an ARP probe for the node's target, ``None`` without an answer or if
    ``probed`` is false; ``host`` is the interface's configuration.
    """

    current: ClusterAddress
    host: HostNetwork
    answering: str | None = None
    probed: bool = False


def read_address(node: Node, network: ClusterNetwork, *, probe: bool = True) -> AddressReading:
    """Read a node's address and its configuration, and probe its target. Raises ``RunbookError``."""
    current, host = read_cluster_address(node, network), read_platform(node, network.interface)
    if not probe:
        return AddressReading(current, host)
    answering = arp_owner(node, network.interface, node.spec.cluster_address)
    return AddressReading(current, host, answering, probed=True)


def check_targets(cluster: Cluster, addresses: Addresses, platform: str = "auto") -> tuple[Check, ...]:
    """Check every node's target address before it is configured; changes nothing.

    Rows, in the nodes' order: unique, in the subnet, neither gateway nor broadcast, outside the DHCP pool, used by no
    other host, and lines of ``bootsync.sh`` that already set the address. A node that does not answer, or whose
    platform is not the configured one, is a failed check of its own.
    """
    network = cluster.inventory.network
    outcomes = cluster.each(lambda node: read_address(node, network))
    readings = {outcome.node: outcome.result for outcome in outcomes if outcome.error is None}
    checks = [*judge_targets(cluster.inventory, addresses), *judge_readings(cluster.inventory, readings, platform)]
    checks += [_unanswered("reachable", outcome.node, outcome.error) for outcome in outcomes if outcome.error]
    order = {name: index for index, name in enumerate(cluster.inventory.names)}
    return tuple(sorted(checks, key=lambda check: order[check.node]))


def judge_targets(inventory: Inventory, addresses: Addresses) -> tuple[Check, ...]:
    """The checks that need only the inventory: four per node."""
    network = inventory.network
    checks = []
    for node in inventory.nodes:
        target = node.cluster_address
        parsed = IPv4Address(target)
        others = [other.name for other in inventory.nodes if other is not node and other.cluster_address == target]
        reserved = {
            str(network.prefix.network_address): "the network's address",
            str(network.prefix.broadcast_address): "the broadcast address",
            network.gateway or "": "the gateway",
        }.get(target)
        change = f"give {node.name} another cluster_address in the inventory"
        checks += [
            _check("unique", node.name, not others, f"{target} once", f"also {', '.join(others)}", change),
            _check("in the subnet", node.name, parsed in network.prefix, f"in {network.prefix}", target, change),
            _check("not reserved", node.name, reserved is None, f"{target} is a host's", reserved or "", change),
            _pool_check(node.name, target, network, addresses),
        ]
    return tuple(checks)


def judge_readings(
    inventory: Inventory, readings: Mapping[str, AddressReading], platform: str = "auto"
) -> tuple[Check, ...]:
    """The checks that need the nodes' readings: other hosts at the target, and other lines of ``bootsync.sh``.

    A node whose platform is not the configured one (``platform`` for all, or its own) fails a check.
    """
    checks = []
    macs = {reading.current.mac: name for name, reading in readings.items()}
    for name, reading in readings.items():
        target = inventory.node(name).cluster_address
        if reading.probed:
            checks.append(_answer_check(name, target, reading, macs, inventory))
        named = inventory.node(name).platform or platform
        try:
            platform_of(reading.host, named)
        except PlatformRefusal as refusal:
            checks.append(Check("platform", name, Verdict.FAIL, named, refusal.message, refusal.remedy))
        lines = address_lines(reading.host.file(BOOTSYNC).text, inventory.network.interface)
        if lines:
            checks.append(
                Check(
                    "bootsync.sh",
                    name,
                    Verdict.WARN,
                    expected=f"nothing else sets {inventory.network.interface}",
                    found="; ".join(lines),
                    remedy="the block comes after these lines and overrides them: delete them",
                )
            )
    return tuple(checks)


def refusals(checks: Iterable[Check], node: str) -> list[str]:
    """The failed checks of one node, as phrases."""
    failed = (check for check in checks if check.node == node and check.verdict is Verdict.FAIL)
    return [f"{check.check}: expected {check.expected}, found {check.found}" for check in failed]


def verify_addresses(cluster: Cluster) -> tuple[Check, ...]:
    """Prove, after a power-cycle, that every node has its fixed address and is reached there; changes nothing.

    Rows per node: the address is the target, it is assigned statically, no DHCP client serves the interface, it is the
    interface's only one, no other host answers there, and the engine answers there over TLS with a valid certificate.
    """
    network = cluster.inventory.network

    def one(node: Node) -> tuple[Check, ...]:
        reading = read_address(node, network)
        return (*judge_address(reading), _engine_check(node))

    checks: list[Check] = []
    for outcome in cluster.each(one):
        if outcome.error is not None:
            checks.append(_unanswered("reachable", outcome.node, outcome.error))
        else:
            checks += outcome.result
    return tuple(checks)


def judge_address(reading: AddressReading) -> tuple[Check, ...]:
    """The checks of an address after it was fixed."""
    current = reading.current
    node, target, found = current.node, current.expected, current.address or "no address"
    boot = f"run notebook 01_fix_node_ips and reboot the node; {_log(reading.host)}"
    answering = reading.answering if reading.answering != current.mac else None
    return (
        _check("address", node, current.address == target, target, found, boot),
        _check("assigned", node, current.assigned_by == "static", "static", current.assigned_by, boot),
        _check("no DHCP client", node, not current.dhcp_client, "none", current.dhcp_client, boot),
        _check("only address", node, not current.others, "no other", ", ".join(current.others), boot),
        _check(
            "no other host answers",
            node,
            answering is None,
            f"no other {target}",
            f"{answering} answers",
            "find the host with that MAC",
        ),
    )


def _log(host: HostNetwork) -> str:
    if host.platform == "boot2docker":
        return "its log is /var/lib/boot2docker/log/overlay-runbook.log"
    return "its log: journalctl -b -u systemd-networkd -u NetworkManager -u networking"


def _engine_check(node: Node) -> Check:
    target, name = node.spec.cluster_address, "engine at the address"
    expected = f"answers at {target}:{node.spec.docker.port} with a valid certificate"
    if node.spec.docker.via != "tls":
        return Check(name, node.name, Verdict.SKIP, expected, "the inventory reaches this engine over SSH")
    try:
        with node.engine.at(target) as engine:
            _wait_for_answer(engine)
    except EngineError as error:
        return replace(_unanswered(name, node.name, error), expected=expected)
    except RunbookError as error:
        remedy = (
            f"check that {target} is in the server certificate (else: docker-machine regenerate-certs, or a new one)"
            " and that this machine reaches the cluster's network"
        )
        return Check(name, node.name, Verdict.FAIL, expected, " ".join(error.message.split()), remedy)
    return Check(name, node.name, Verdict.PASS, expected, "answers")


def _wait_for_answer(engine: Engine) -> None:
    """Wait until the engine answers, as long as an old neighbour entry may last.

    Raises:
        RunbookError: no answer in time, or (at once) an invalid certificate.
    """
    deadline = Deadline(_OLD_NEIGHBOUR_SECONDS)
    while True:
        try:
            return engine.ping()
        except CertificateError:
            raise
        except UnreachableError:
            if deadline.passed:
                raise
        sleep(_PAUSE_SECONDS)


def _pool_check(node: str, target: str, network: ClusterNetwork, addresses: Addresses) -> Check:
    pool = network.pool
    if pool is None:
        return Check("DHCP pool", node, Verdict.PASS, "outside", "the inventory names no pool")
    expected = f"outside {pool}"
    if target not in pool:
        return Check("DHCP pool", node, Verdict.PASS, expected, target)
    if addresses.allow_in_dhcp_pool:
        return Check("DHCP pool", node, Verdict.WARN, expected, f"{target}: {_POOL_REASON}")
    return Check(
        "DHCP pool",
        node,
        Verdict.FAIL,
        expected,
        f"{target}: {_POOL_REASON}",
        "choose an address outside the pool, or accept the risk: addresses.allow_in_dhcp_pool: true",
    )


def _answer_check(
    node: str, target: str, reading: AddressReading, macs: Mapping[str, str], inventory: Inventory
) -> Check:
    name, expected, answering = "no other host answers", f"no other host at {target}", reading.answering
    if answering is None or answering == reading.current.mac:
        return Check(name, node, Verdict.PASS, expected, "no answer")
    holder = macs.get(answering)
    if holder is None:
        return Check(
            name,
            node,
            Verdict.FAIL,
            expected,
            f"{answering} answers, which is not a node of this inventory",
            "find the host with that MAC, or choose another address",
        )
    moves_to = inventory.node(holder).cluster_address
    return Check(
        name,
        node,
        Verdict.PASS if moves_to != target else Verdict.FAIL,
        expected,
        f"{holder} has it until its next boot, then {moves_to}",
        "" if moves_to != target else "two nodes have the same target",
    )


def _check(name: str, node: str, passed: bool, expected: str, found: str, remedy: str) -> Check:
    if passed:
        return Check(name, node, Verdict.PASS, expected, expected)
    return Check(name, node, Verdict.FAIL, expected, found, remedy)


def _unanswered(name: str, node: str, error: RunbookError | None) -> Check:
    assert error is not None  # called for failed outcomes only
    return Check(name, node, Verdict.FAIL, "the node answers", in_one_line(error), error.remedy)
