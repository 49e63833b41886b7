"""Pictures of the cluster from facts read at that moment, and of addresses before and after a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pandas as pd

from runbook_lib import charts
from runbook_lib.charts import ClusterView, before_and_after, before_and_after_text, cluster_picture, describe
from runbook_lib.charts.view import STORE_TERMS, SWARM_TERMS
from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import RunbookError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import ControlPlane, Member
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.docker.engine import EngineFacts, read_engine
from runbook_lib.facts.docker.networks import NetworkFacts, read_networks
from runbook_lib.facts.host.addresses import ClusterAddress, read_cluster_address
from runbook_lib.model.parameters import Parameters
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import FLAG, Column, Table, document_columns


@dataclass(frozen=True)
class _OfEngine:
    engine: EngineFacts
    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]


class ClusterPicture(Picture):
    """A picture of the cluster with its facts (``view``), for comparison with a later one."""

    def __init__(self, view: ClusterView, before: ClusterView | None = None) -> None:
        self.view = view
        if before is None:
            super().__init__(cluster_picture(view), describe(view))
        else:
            super().__init__(before_and_after(before, view), before_and_after_text(before, view))


def view(cluster: Cluster, parameters: Parameters) -> ClusterView:
    """Read what the picture shows. A node that does not answer is part of it, not an error."""
    network, control_plane = cluster.inventory.network, control_plane_of(parameters)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="picture") as pool:
        # The engines are read in parallel with the rest. SSH commands run one after the other: sshd sometimes drops
        # a connection when several commands start on it at the same moment.
        asked = pool.submit(cluster.each, _of_engine)
        addresses = cluster.each(lambda node: read_cluster_address(node, network))
        # Wait only once for a node that is down, not in every reading.
        there = cluster.part({outcome.node for outcome in addresses if outcome.error is None})
        gossip = there.each(control_plane.read_gossip)
        members = _members(there, control_plane)
        registrations = control_plane.read_registrations(there)
        # Do not wait for a store that no engine reaches.
        vnis = _vnis(there, control_plane) if any(row.connected for row in registrations) else {}
        engines = asked.result()
    on_engines = [outcome.value for outcome in engines if outcome.value is not None]
    silent, engineless = _silent(addresses, engines)
    return ClusterView(
        nodes=cluster.inventory.names,
        network=network,
        overlay=parameters.overlay.name,
        addresses=[outcome.value for outcome in addresses if outcome.value is not None],
        engines=[item.engine for item in on_engines],
        members=members,
        registrations=registrations,
        gossip=[outcome.value for outcome in gossip if outcome.value is not None],
        networks=[network for item in on_engines for network in item.networks],
        containers=[container for item in on_engines for container in item.containers],
        vnis=vnis,
        silent=silent,
        engineless=engineless,
        wanted={container.name for container in parameters.containers},
        terms=SWARM_TERMS if control_plane.mode == "swarm" else STORE_TERMS,
    )


def picture(cluster: Cluster, parameters: Parameters, before: Picture | None = None) -> ClusterPicture:
    """Read and draw the cluster; the text alternative has the same content.

    With an earlier picture as ``before``, both are drawn side by side and the differences are marked.
    """
    return ClusterPicture(view(cluster, parameters), before.view if isinstance(before, ClusterPicture) else None)


def _of_engine(node: Node) -> _OfEngine:
    return _OfEngine(read_engine(node), read_networks(node), read_containers(node))


def _silent(
    addresses: Sequence[Outcome[ClusterAddress]], engines: Sequence[Outcome[_OfEngine]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The nodes that did not answer, and those of which only the engine did not, each with the reason."""
    silent: dict[str, str] = {}
    engineless: dict[str, str] = {}
    for address, engine in zip(addresses, engines, strict=True):
        if engine.error is not None:
            where = silent if address.error is not None else engineless
            where[engine.node] = (address.error or engine.error).message
    return silent, engineless


def _members(cluster: Cluster, control_plane: ControlPlane) -> tuple[Member, ...]:
    """The members, with those of nodes that do not answer as unknown."""
    if not cluster.nodes:
        return ()
    try:
        found = control_plane.read_members(cluster)
    except RunbookError:  # no engine answers, and each of them is drawn so
        return ()
    if len(cluster.nodes) == len(cluster.inventory.names):
        return found
    return tuple(member if member.node else replace(member, container_state="unknown") for member in found)


def _vnis(cluster: Cluster, control_plane: ControlPlane) -> Mapping[str, int]:
    try:
        return control_plane.read_vnis(cluster)
    except RunbookError:  # the store does not answer, which its members and the engines show
        return {}


MOVES = Table[tuple[ClusterAddress, ClusterAddress]](
    "One row per node.",
    Column("node", lambda row: row[0].node),
    Column("before", lambda row: row[0].address),
    Column("assigned by", lambda row: row[0].assigned_by, meaning="``dhcp``, ``static`` or ``none``, before"),
    Column("after", lambda row: row[1].address),
    Column("moved", lambda row: row[0].address != row[1].address, FLAG),
)


@dataclass(frozen=True)
class Drift:
    """Every node's address before and after; ``restarted`` is false if no node was restarted."""

    before: tuple[ClusterAddress, ...]
    after: tuple[ClusterAddress, ...]
    restarted: bool

    @property
    @document_columns(MOVES)
    def table(self) -> pd.DataFrame:
        """Every node's address before and after."""
        return MOVES(zip(self.before, self.after, strict=True))

    @property
    def expected(self) -> dict[str, bool]:
        """Whether each node's address should have moved: after a restart, those that DHCP assigned.

        Nodes whose address was assigned differently before and after are left out: a comparison would prove nothing.
        """
        return {
            old.node: old.assigned_by == "dhcp"
            for old, new in zip(self.before, self.after, strict=True)
            if self.restarted and old.assigned_by == new.assigned_by
        }

    def picture(self) -> Picture:
        """An arrow from each node's old address to its new one."""
        return Picture(charts.address_drift(self.before, self.after), charts.drift_text(self.before, self.after))
