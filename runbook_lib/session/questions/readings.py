"""The readings of a notebook: each asks all nodes at once and returns a table.

``planned_files`` shows as unified diffs what fixing or releasing the addresses would write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Member
from runbook_lib.facts.control_planes.etcd.members import starts_at_boot
from runbook_lib.facts.docker.containers import ContainerFacts, find_container, read_containers
from runbook_lib.facts.docker.engine import read_engine
from runbook_lib.facts.docker.networks import (
    STORE_RECHECK_SECONDS,
    Endpoint,
    NetworkFacts,
    join_endpoints,
    read_gateway_bridge,
    read_networks,
)
from runbook_lib.facts.host.addresses import ClusterAddress, read_bootlocal, read_cluster_address
from runbook_lib.facts.overlay.gossip import Gossip, unknown_peers
from runbook_lib.facts.overlay.interfaces import ContainerInterface, read_interfaces
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.claim import Claim, alone, answers
from runbook_lib.session.questions import leftovers, preconditions
from runbook_lib.session.questions.recorded_tables import Kept, kept
from runbook_lib.steps import has_autostart_block, verify_addresses
from runbook_lib.steps.platforms import PlatformRefusal
from runbook_lib.steps.static_addresses import RemoveStaticAddresses, StaticAddresses
from runbook_lib.steps.targets import AddressReading, check_targets, read_address
from runbook_lib.tables.frame import FLAG, WHOLE, Column, Table, document_columns
from runbook_lib.tables.overlay import NETWORK_SETTINGS
from runbook_lib.tables.results import CHECKS_BY_NAME
from runbook_lib.verify import preflight
from runbook_lib.verify.gateway_bridge import judge_bridge
from runbook_lib.verify.members import judge_gossip
from runbook_lib.verify.preflight import judge_engine_ids

T = TypeVar("T")


GOSSIP = Table[tuple[Gossip, Sequence[str]]](
    "One row per engine.",
    Column("node", lambda row: row[0].node),
    Column("gossips at", lambda row: row[0].address),
    Column("knows", lambda row: len(row[0].members - {row[0].address}), WHOLE, meaning="how many other engines"),
    Column("does not know", lambda row: ", ".join(row[1]), meaning="the engines that it should know and does not"),
)


class _Autostart(NamedTuple):
    member: Member
    in_script: bool
    at_boot: bool


AUTOSTART = Table[_Autostart](
    "One row per member of the control plane.",
    Column("member", lambda row: row.member.name),
    Column("node", lambda row: row.member.node),
    Column("restart policy", lambda row: row.member.restart_policy, meaning="or whether its unit is enabled"),
    Column("in bootlocal.sh", lambda row: row.in_script, FLAG, meaning="whether that script starts it"),
    Column("starts at boot", lambda row: row.at_boot, FLAG),
)

CONTAINERS = tables.containers.with_column(Column("node", lambda row: row.node), 0)


def _network_table(own: Collection[str] = ()) -> Table[NetworkFacts]:
    def ours(row: NetworkFacts) -> int:
        return sum(endpoint.endpoint_id in own for endpoint in row.endpoints)

    return tables.networks.with_column(Column("ours", ours, WHOLE, meaning="how many of these are wanted containers'"))


def _endpoint_table(wanted: Collection[str] = ()) -> Table[Endpoint]:
    meaning = "whether it is a wanted container's"
    return tables.endpoints.with_column(Column("ours", lambda row: row.container in wanted, "bool", meaning=meaning))


def _interface_table(networks: Mapping[str, str]) -> Table[ContainerInterface]:
    def network(row: ContainerInterface) -> str:
        return networks.get(row.address, "docker_gwbridge" if row.address else "")

    meaning = "docker_gwbridge, which Docker adds unasked, where Docker lists no network with that address"
    return tables.interfaces.with_column(Column("network", network, meaning=meaning), 2)


@dataclass(frozen=True)
class Checked:
    """Checks with their table."""

    checks: tuple[Check, ...]

    @property
    @document_columns(tables.checks)
    def table(self) -> pd.DataFrame:
        """All checks."""
        return tables.checks(self.checks)

    @property
    @document_columns(CHECKS_BY_NAME)
    def summary(self) -> pd.DataFrame:
        """The checks counted by name, and the nodes with problems."""
        return tables.checks_by_name(self.checks)


@dataclass(frozen=True)
class GossipResult(Checked):
    """The peers of each engine, with checks: a node that all broken pairs have in common is the only one that fails."""

    rows: tuple[Gossip, ...]

    @property
    @document_columns(GOSSIP)
    def table(self) -> pd.DataFrame:
        """How many others each engine knows, and which it does not."""
        unknown = unknown_peers(self.rows)
        unknown |= {row.node: (f"unknown: {row.trouble}",) for row in self.rows if row.trouble}
        return GOSSIP((row, unknown.get(row.node, ())) for row in self.rows)


class Readings:
    """Readings of one cluster. Nothing here changes a node.

    Readings raise ``UnreachableError``, or ``NodeError`` for an invalid answer, and name every node concerned. Readings
    of members and registrations, and those that return checks, report this in their rows instead.
    """

    def __init__(self, cluster: Cluster, parameters: Parameters, kept: Kept, claim: Claim) -> None:
        self.kept = kept
        self.claim = claim
        self._cluster = cluster
        self._parameters = parameters
        self._control_plane = control_plane_of(parameters)

    @kept
    @document_columns(tables.addresses)
    def addresses(self) -> pd.DataFrame:
        """Every node's address on the cluster's network, and whether it is the expected one."""
        return tables.addresses(self.address_facts())

    def address_facts(self) -> tuple[ClusterAddress, ...]:
        """Every node's address on the cluster's network as facts."""
        network = self._cluster.inventory.network
        facts = tuple(self._all(lambda node: read_cluster_address(node, network)))
        for row in facts:
            self.kept.address(row.node, row.address or "")
        return facts

    @kept
    @document_columns(tables.engines)
    def engines(self) -> pd.DataFrame:
        """What every engine reports about itself."""
        return tables.engines(self._all(read_engine))

    @kept
    def engine_ids(self) -> Checked:
        """Whether every engine has a unique ID."""
        return Checked(tuple(judge_engine_ids({facts.node: facts for facts in self._all(read_engine)})))

    @kept
    @document_columns(tables.members)
    def members(self) -> pd.DataFrame:
        """The members of the control plane."""
        return tables.members(self.member_facts())

    def member_facts(self) -> tuple[Member, ...]:
        """The members of the control plane as facts."""
        return self._control_plane.read_members(self._cluster)

    @kept
    @document_columns(tables.registrations)
    def registrations(self) -> pd.DataFrame:
        """Whether every engine is connected to its control plane."""
        return tables.registrations(self._control_plane.read_registrations(self._cluster))

    @kept
    def gossip(self) -> GossipResult:
        """Which engines know each other."""
        rows = self._all(self._control_plane.read_gossip)
        return GossipResult(judge_gossip(rows), tuple(rows))

    @kept
    @document_columns(AUTOSTART)
    def autostart(self) -> pd.DataFrame:
        """What would start each member at its node's next boot."""
        scripts = zip(self._cluster, self._all(read_bootlocal), strict=True)
        blocks = {node.name: has_autostart_block(script) for node, script in scripts}
        engines = zip(self._cluster, self._all(self._control_plane.read_own_start), strict=True)
        own = {node.name: start for node, start in engines}
        rows = []
        for member in self.member_facts():
            block = blocks.get(member.node, False)
            starts = block or starts_at_boot(member.restart_policy) or bool(own.get(member.node))
            rows.append(_Autostart(member, block, starts))
        return AUTOSTART(rows)

    @kept
    @alone
    def preflight(self) -> Checked:
        """Whether the cluster can carry an overlay, proved by real packets between the nodes."""
        parameters = self._parameters
        wanted = len(parameters.containers)
        checks = preflight.preflight(self._cluster, self._control_plane, parameters.overlay, containers=wanted)
        return Checked(checks)

    @kept
    def targets(self) -> Checked:
        """Whether each node can have the fixed address that the inventory gives it."""
        return Checked(check_targets(self._cluster, self._parameters.addresses, self._parameters.platform))

    @kept
    def address_proof(self) -> Checked:
        """Whether each node has its fixed address without DHCP, and its engine answers there over TLS."""
        return Checked(verify_addresses(self._cluster))

    @kept
    @document_columns(_network_table())
    def network(self) -> pd.DataFrame:
        """The overlay as each node sees it."""
        facts = self.network_facts()
        own = {key for item in self._wanted_containers() for key in item.endpoint_ids.values()}
        return _network_table(own)(facts)

    def network_facts(self) -> tuple[NetworkFacts, ...]:
        """The overlay as facts, one for each node that knows it."""
        name = self._parameters.overlay.name
        patience = 0.0 if self._parameters.plan else STORE_RECHECK_SECONDS
        seen, _, _ = preconditions.sight(self._cluster, self._control_plane, name, patience)
        return tuple(found for found in seen.values() if found is not None)

    @kept
    @document_columns(NETWORK_SETTINGS)
    def network_settings(self) -> pd.DataFrame:
        """``docker network inspect`` of the overlay."""
        facts = self.network_facts()
        return tables.network_settings(facts[0]) if facts else NETWORK_SETTINGS()

    @kept
    def networks(self) -> pd.DataFrame:
        """``docker network ls`` over all nodes. Columns: network, driver, scope, then the ID on each node."""
        found = [network for networks in self._all(read_networks) for network in networks]
        return tables.network_presence(found)

    @kept
    @document_columns(CONTAINERS)
    def containers(self) -> pd.DataFrame:
        """``docker ps`` of the wanted containers over all nodes."""
        return CONTAINERS(self._wanted_containers())

    @kept
    def placement(self) -> Checked:
        """Whether each wanted container runs, on its node, and whether they are on more than one."""
        facts = {item.name: item for item in self.container_facts()}
        found = {name: item.node for name, item in facts.items()}
        checks = []
        for wanted in self._parameters.containers:
            node = found.get(wanted.name, "")
            runs = Verdict.PASS if node and facts[wanted.name].running else Verdict.FAIL
            status = facts[wanted.name].status if node else "no such container"
            checks.append(Check(f"{wanted.name} runs", node, runs, "running", status))
            right = bool(node) and wanted.node in (None, node)
            verdict = Verdict.PASS if right else Verdict.FAIL
            place = wanted.node or "any node"
            checks.append(Check(f"{wanted.name} is placed", node, verdict, place, node or "nowhere"))
        nodes = {found.get(wanted.name) for wanted in self._parameters.containers} - {None}
        spread = Verdict.PASS if len(nodes) > 1 else Verdict.WARN
        checks.append(Check("packets will cross hosts", "", spread, "more than one node", f"{len(nodes)} nodes"))
        return Checked(tuple(checks))

    def container_facts(self) -> tuple[ContainerFacts, ...]:
        """Every container of every node as facts, stopped ones too."""
        return tuple(item for items in self._all(read_containers) for item in items)

    @kept
    @document_columns(_endpoint_table())
    def endpoints(self) -> pd.DataFrame:
        """The overlay's endpoints."""
        wanted = {container.name for container in self._parameters.containers}
        return _endpoint_table(wanted)(join_endpoints(self.network_facts(), self.container_facts()))

    def nodes_with(self, network: str) -> set[str]:
        """The nodes whose engine lists a network of that name."""
        return {item.node for networks in self._all(read_networks) for item in networks if item.name == network}

    def nodes_missing_network(self) -> set[str]:
        """The nodes whose engine should list the overlay and does not: any but a worker of a swarm should."""
        return preconditions.nodes_missing_network(self._cluster, self._control_plane, self._parameters.overlay.name)

    @kept
    def gateway_bridges(self) -> Checked:
        """Whether docker_gwbridge is on every node that needs it; a superfluous one is a warning with its remedy."""
        wanted = {container.name for container in self._parameters.containers}
        every_node = self._control_plane.bridges_every_node
        found = self._all(read_gateway_bridge)
        return Checked(tuple(judge_bridge(row, wanted, every_node=every_node) for row in found))

    def overlay_addresses(self) -> dict[str, str]:
        """The address of every container that is on the overlay."""
        name = self._parameters.overlay.name
        return {item.name: item.addresses[name] for item in self.container_facts() if name in item.addresses}

    @kept
    @document_columns(_interface_table({}))
    def interfaces(self, container: str) -> pd.DataFrame:
        """Interfaces inside a container; no row when it does not run anywhere."""
        found = find_container(self._cluster, container)
        if found is None or not found.running:
            return _interface_table({})()
        rows = [row for row in read_interfaces(self._cluster.node(found.node), found) if row.name != "lo"]
        return _interface_table({address: network for network, address in found.addresses.items()})(rows)

    @kept
    @document_columns(leftovers.TABLE)
    def belongings(self) -> pd.DataFrame:
        """The objects on the nodes, and whether a notebook of this cluster created them.

        Containers, networks except Docker's built-in ones, and our blocks in boot scripts.
        """
        return leftovers.table(leftovers.read_objects(self._cluster, self._parameters))

    def foreign_objects(self, before: pd.DataFrame, after: pd.DataFrame, done: pd.DataFrame) -> Checked:
        """Whether foreign objects still exist, by two tables of ``belongings``; fails for one that ``done`` removed."""
        return Checked(leftovers.foreign_objects(before, after, done))

    @kept
    def leftovers(self, *, boot_scripts: bool) -> Checked:
        """Whether any object is left that a notebook created; with ``boot_scripts`` also blocks in boot scripts."""
        return Checked(leftovers.leftovers(self._cluster, self._parameters, boot_scripts=boot_scripts))

    def _wanted_containers(self) -> list[ContainerFacts]:
        wanted = {container.name for container in self._parameters.containers}
        return [item for item in self.container_facts() if item.name in wanted]

    def _all(self, ask: Callable[[Node], T]) -> Sequence[T]:
        return answers(self._cluster.each(ask))


def planned_files(cluster: Cluster, step: StaticAddresses | RemoveStaticAddresses, nodes: Sequence[str] = ()) -> str:
    """Unified diffs of each file, by node: from its content without the runbook to the content that the step wants.

    For the step that releases addresses: from the current content to the original one.

    Args:
        cluster: the nodes, all of which are read.
        step: the step that writes the files; whether they are written already makes no difference.
        nodes: the nodes to show; by default the first node of each platform.

    Raises:
        InputError: there is no such node.
        UnreachableError, NodeError: naming every node that gave no answer.
    """
    chosen = [cluster.node(name) for name in nodes] or list(cluster.nodes)
    network = cluster.inventory.network
    readings = answers(cluster.each(lambda node: read_address(node, network, probe=False), nodes=chosen))
    shown = set[str]()
    parts = []
    for node, reading in zip(chosen, readings, strict=True):
        platform = reading.host.platform or ""
        if nodes or platform not in shown:
            parts.append("".join(_of_node(node.name, reading, step)))
        shown.add(platform)
    return "\n".join(parts)


def _of_node(node: str, reading: AddressReading, step: StaticAddresses | RemoveStaticAddresses) -> Iterator[str]:
    try:
        platform, files = step.planned_files(node, reading)
    except PlatformRefusal as refusal:
        yield f"{node}: {refusal.message}\n"
        return
    when = "at once" if platform.live else "from the next boot on"
    yield f"{node}: {platform.name}, {when if files else step.no_files}\n"
    yield from (file.diff for file in files)
