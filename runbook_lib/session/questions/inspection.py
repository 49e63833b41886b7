"""``run.inspect``: reads what Docker hides of an overlay. Nothing here changes a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import pandas as pd

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError, PreconditionError, UnreachableError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Stored, StoreKey, read_vtep
from runbook_lib.facts.docker.containers import ContainerFacts, find_container, read_containers
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts, read_network
from runbook_lib.facts.host.ip import read_nat_rules
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace, read_hidden_namespace
from runbook_lib.facts.overlay.interfaces import HostInterface, Inside, read_host_network, read_inside
from runbook_lib.facts.overlay.name_service import read_name_service
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Probe, Verdict
from runbook_lib.session.claim import Claim, alone, answers
from runbook_lib.session.questions.packet_capture import CaptureContext, CapturedPing
from runbook_lib.session.questions.recorded_tables import Kept, kept
from runbook_lib.tables import inside as look_tables
from runbook_lib.tables.frame import FLAG, WHOLE, Column, Table, document_columns
from runbook_lib.verify.capture import capture_ping
from runbook_lib.verify.overlay_tables import Entry, audit, check_entries
from runbook_lib.verify.ping_matrix import ping_matrix
from runbook_lib.verify.preflight import FULL_SIZE, VXLAN_OVERHEAD, mtu_remedy, why_lost

ENTRIES = Table[Entry](
    "One row per entry of a node's tables.",
    Column("node", lambda row: row.node, meaning="whose table it is"),
    Column("table", lambda row: row.table, meaning="``neighbour`` (address to MAC) or ``forwarding`` (MAC to node)"),
    Column("asked for", lambda row: row.key),
    Column("it says", lambda row: row.found, meaning="empty: nothing"),
    Column("the truth", lambda row: row.expected),
    Column("container", lambda row: row.container, meaning="whose address or MAC it is"),
    Column("verdict", lambda row: row.verdict),
)


class NodeMtu(NamedTuple):
    """The MTU of a node's interface on the cluster's network, and that of the overlay there."""

    node: str
    underlay: int
    overlay: int

    @property
    def left(self) -> int:
        """What VXLAN's headers leave of the node's MTU for a container's packet."""
        return self.underlay - VXLAN_OVERHEAD


MTU = Table[NodeMtu](
    "One row per node that carries the overlay.",
    Column("node", lambda row: row.node),
    Column("cluster network MTU", lambda row: row.underlay, WHOLE, "bytes"),
    Column("VXLAN headers", lambda row: VXLAN_OVERHEAD, WHOLE, "bytes"),
    Column("left for a container", lambda row: row.left, WHOLE, "bytes"),
    Column("overlay MTU", lambda row: row.overlay, WHOLE, "bytes"),
    Column("fits", lambda row: row.overlay <= row.left, FLAG, meaning="what is left is enough for the overlay"),
)

_ALL_KEYS = Table[StoreKey](
    "One row per key.",
    Column("key", lambda row: row.key),
    Column("value", lambda row: row.value),
    Column("left", lambda row: row.ttl, WHOLE, "s"),
)
# Docker's names for endpoints that keep a network alive on their node.
_ALIVE = ("running", "paused", "restarting")

T = TypeVar("T")


@dataclass(frozen=True)
class TableAudit:
    """The nodes' forwarding and neighbour tables, compared with where the containers really are."""

    entries: tuple[Entry, ...]

    @property
    @document_columns(ENTRIES)
    def table(self) -> pd.DataFrame:
        """All entries."""
        return ENTRIES(self.entries)

    @property
    def checks(self) -> tuple[Check, ...]:
        """One check per row."""
        return check_entries(self.entries)


@dataclass(frozen=True)
class MtuResult:
    """The MTU left for a container on each node, and the largest packets that passed between containers.

    ``reasons`` are the results of the port, full-size packet and table checks between the nodes of failed pairs.
    """

    table: pd.DataFrame
    interface: str
    probes: tuple[Probe, ...]
    reasons: tuple[Check, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """One check per node, one per ordered pair of containers, then the reasons of failed pairs."""
        fits = []
        for _, row in self.table.iterrows():
            node, mtu, left = row["node"], row["overlay MTU (bytes)"], row["left for a container (bytes)"]
            remedy = mtu_remedy(self.interface, node, mtu + VXLAN_OVERHEAD, left + VXLAN_OVERHEAD)
            verdict, expected = Verdict.PASS if row["fits"] else Verdict.FAIL, f"at most {left} bytes"
            claim = "a container's largest packet fits"
            fits.append(Check(claim, node, verdict, expected, f"{mtu} bytes", "" if row["fits"] else remedy))
        small = {check.node for check in fits if check.verdict is Verdict.FAIL}
        reasons = [row for row in self.reasons if row.check != FULL_SIZE or row.node not in small]
        return (*fits, *(_passes(probe, (*fits, *reasons)) for probe in self.probes), *reasons)


def _passes(probe: Probe, causes: Sequence[Check]) -> Check:
    claim = f"{probe.source}'s largest packet reaches {probe.target}"
    found = probe.detail or f"{probe.largest} bytes passed"
    verdict = Verdict.WARN if probe.verdict is Verdict.PASS and not probe.whole else probe.verdict
    return Check(claim, probe.source_node, verdict, "whole packets", found, probe.remedy_beside(causes))


@dataclass(frozen=True)
class _Seen:
    """The overlay on one node, as engine and kernel have it.

    ``containers`` are all that have an address on it; ``insides`` are the interfaces of the wanted ones. Some of the
    ``others`` may have no address at the moment (an engine restarts them repeatedly).
    """

    hidden: HiddenNamespace | None
    containers: tuple[ContainerFacts, ...] = ()
    insides: tuple[Inside, ...] = ()
    host: tuple[HostInterface, ...] = ()
    balancers: tuple[Endpoint, ...] = ()
    others: tuple[ContainerFacts, ...] = ()


class Inspection:
    """Reads the internals of one cluster's overlay; needs root over SSH on its nodes.

    Every method reads the live nodes, and raises ``UnreachableError`` or ``NodeError`` with the name of each node that
    did not answer. Where the overlay does not exist (plan mode, before notebook 04) tables have no rows.
    """

    def __init__(self, cluster: Cluster, parameters: Parameters, kept: Kept, claim: Claim) -> None:
        self.kept = kept
        self.claim = claim
        self._cluster = cluster
        self._parameters = parameters
        self._control_plane = control_plane_of(parameters)
        self._overlay = parameters.overlay.name

    @kept
    @document_columns(look_tables.NAMESPACES)
    def namespaces(self) -> pd.DataFrame:
        """The overlay on each node."""
        seen = self._seen()
        hidden = {node: item.hidden for node, item in seen.items() if item.hidden is not None}
        ours = [inside.container for item in seen.values() for inside in item.insides]
        others = [container for item in seen.values() for container in item.others]
        return look_tables.namespaces(seen, hidden, ours, others)

    @kept
    @document_columns(look_tables.OVERLAY_LINKS)
    def inside(self) -> pd.DataFrame:
        """The interfaces in the hidden namespaces."""
        seen = self._seen()
        hidden = [item.hidden for item in seen.values() if item.hidden is not None]
        return look_tables.overlay_links(hidden, [inside for item in seen.values() for inside in item.insides])

    @kept
    def tables(self) -> TableAudit:
        """The nodes' forwarding and neighbour tables, compared with where each container really is."""
        seen = self._seen()
        hidden = [item.hidden for item in seen.values() if item.hidden is not None]
        joined = [container for item in seen.values() for container in item.containers]
        balancers = [endpoint for item in seen.values() for endpoint in item.balancers]
        return TableAudit(audit(hidden, joined, self._overlay, self._vteps(), balancers))

    @kept
    @document_columns(look_tables.CONTAINER_LINKS)
    def container(self, name: str) -> pd.DataFrame:
        """A container's interfaces, and where the peer of each veth pair is."""
        for item in self._seen().values():
            for inside in item.insides:
                if inside.container.name == name:
                    own = Inside(inside.container, tuple(i for i in inside.interfaces if i.name != "lo"), inside.routes)
                    return look_tables.container_links(own, item.hidden, item.host)
        return look_tables.CONTAINER_LINKS()

    @kept
    @document_columns(look_tables.MASQUERADES)
    def masquerades(self) -> pd.DataFrame:
        """The masquerade rules of docker_gwbridge, by which containers use their node's address."""
        rules = {node.name: rows for node, rows in zip(self._cluster, self._all(read_nat_rules), strict=True)}
        table = look_tables.masquerades(rules)
        return table[table["leaving by"].str.endswith("docker_gwbridge")].reset_index(drop=True)

    @kept
    @document_columns(look_tables.NAME_SERVICE)
    def name_service(self, container: str) -> pd.DataFrame:
        """What happens to a DNS query that a container sends to its name server, 127.0.0.11."""
        found = find_container(self._cluster, container)
        if found is None or not found.running:
            return look_tables.NAME_SERVICE()
        return look_tables.name_service(read_name_service(self._cluster.node(found.node), found))

    @kept
    @document_columns(look_tables.STORE_KEYS)
    def store(self) -> pd.DataFrame:
        """What the control plane stores.

        With etcd the keys are those under ``/docker``; in Swarm mode they are named here by kind and object.
        """
        keys = self._stored().keys
        self.kept.keep("store keys", _ALL_KEYS(keys))
        return look_tables.store_keys(keys)

    @kept
    @document_columns(look_tables.STORED_ENDPOINTS)
    def stored_endpoints(self) -> pd.DataFrame:
        """The overlay's endpoints as stored in etcd, or in Swarm mode as an engine learned them by gossip."""
        joined = [container for item in self._seen().values() for container in item.containers]
        ids = {facts.id for facts in self._networks() if facts is not None}
        rows = [row for row in self._stored().endpoints if row.network_id in ids]
        return look_tables.stored_endpoint_rows(rows, joined, self._overlay, self._vteps(), self._wanted)

    @kept
    @alone
    @document_columns(MTU)
    def mtu(self) -> MtuResult:
        """The MTU left for a container on each node, and whether full-size packets pass."""
        rows = []
        for node, item in self._seen().items():
            host = self._host_interface(item)
            if item.hidden is None or item.hidden.vxlan is None or host is None:
                continue
            rows.append(NodeMtu(node, host.mtu, item.hidden.vxlan.mtu))
        probes, interface = self._full_size(), self._cluster.inventory.network.interface
        reasons = why_lost(self._cluster, self._control_plane, self._parameters.overlay, probes)
        return MtuResult(MTU(rows), interface, probes, reasons)

    def _full_size(self) -> tuple[Probe, ...]:
        names = [container.name for container in self._parameters.containers]
        if len(names) < 2:
            return ()
        try:
            return ping_matrix(self._cluster, names, self._overlay, self._parameters.probes, by=("address",))
        except PreconditionError:
            if self._parameters.plan:
                return ()
            raise

    @kept
    @alone
    def ping(self, *, size: int = 56) -> CapturedPing:
        """Ping from the first wanted container to the second with ``size`` bytes of data, captured at both nodes.

        Raises:
            PreconditionError: one of them does not run on the overlay (not in plan mode).
            InputError: both are on one node, or fewer than two are wanted.
        """
        wanted = [container.name for container in self._parameters.containers]
        context = CaptureContext(self._cluster.inventory.network)
        try:
            if len(wanted) < 2:
                raise PreconditionError("two containers are needed to ping", remedy="name two in the parameters")
            capture = capture_ping(self._cluster, wanted[0], wanted[1], self._overlay, size=size)
        except PreconditionError:
            if self._parameters.plan:
                return CapturedPing(None, context)
            raise
        # read after the ping: the first packet may make an engine add missing entries
        seen = self._seen()
        hosts = {node: self._host_interface(item) for node, item in seen.items()}
        return CapturedPing(
            capture,
            CaptureContext(
                underlay=self._cluster.inventory.network,
                hidden={node: item.hidden for node, item in seen.items() if item.hidden is not None},
                insides={inside.container.name: inside for item in seen.values() for inside in item.insides},
                hosts={node: host for node, host in hosts.items() if host is not None},
            ),
        )

    @property
    def _wanted(self) -> frozenset[str]:
        return frozenset(container.name for container in self._parameters.containers)

    def _vteps(self) -> dict[str, str]:
        addresses = self._all(lambda node: read_vtep(node, self._cluster.inventory.network))
        return {node.name: address for node, address in zip(self._cluster, addresses, strict=True)}

    def _host_interface(self, item: _Seen) -> HostInterface | None:
        return next((host for host in item.host if host.name == self._cluster.inventory.network.interface), None)

    def _networks(self) -> Sequence[NetworkFacts | None]:
        return self._all(lambda node: read_network(node, self._overlay))

    def _stored(self) -> Stored:
        try:
            return self._control_plane.read_stored(self._cluster)
        except NodeError as error:
            if self._parameters.plan and not isinstance(error, UnreachableError):
                return Stored()  # notebook 02 has not started the store
            raise

    def _seen(self) -> Mapping[str, _Seen]:
        return {node.name: seen for node, seen in zip(self._cluster, self._all(self._see), strict=True)}

    def _see(self, node: Node) -> _Seen:
        network = read_network(node, self._overlay)
        if network is None:
            return _Seen(None)
        attached = [item for item in read_containers(node) if self._overlay in item.networks]
        joined = [item for item in attached if self._overlay in item.addresses]
        own = [item for item in joined if item.running and item.name in self._wanted]
        return _Seen(
            read_hidden_namespace(node, network.id),
            tuple(joined),
            read_inside(node, own),
            read_host_network(node)[0],
            network.balancers,
            tuple(item for item in attached if item.name not in self._wanted and item.state in _ALIVE),
        )

    def _all(self, ask: Callable[[Node], T]) -> list[T]:
        return answers(self._cluster.each(ask))
