"""Engines up to 20.10 with an etcd cluster store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import InputError
from runbook_lib.facts.control_planes.base import (
    Advertised,
    ControlPlane,
    Member,
    OverlayAccess,
    Ports,
    Registration,
    Stored,
)
from runbook_lib.facts.control_planes.etcd.keys import (
    read_registration,
    read_registrations,
    read_store_keys,
    stored_endpoints,
    stored_vnis,
)
from runbook_lib.facts.control_planes.etcd.members import ETCD_UNIT, read_members
from runbook_lib.facts.docker.engine import (
    EngineFacts,
    Mode,
    container_last_line,
    parse_swarm,
    parse_version,
    unit_last_line,
)
from runbook_lib.facts.overlay.gossip import Gossip, read_gossip, read_gossip_address
from runbook_lib.model.base import parse_etcd_url
from runbook_lib.model.parameters import Etcd

_FIRST_WITHOUT_STORE = (23,)


class EtcdStore(ControlPlane):
    """All engines use the same etcd (``--cluster-store``) and keep their global networks there."""

    title = "etcd"
    mode: ClassVar[Mode] = "etcd"
    scope = "global"
    engines = "1.9 to 20.10, with an etcd cluster store"
    members_title = "the cluster store"
    remedy = "the cluster store must run first: notebook 02_autostart_etcd brings it up"
    rejoins_peers = False
    bridges_every_node = False
    attachable = False

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self.member_containers = frozenset(etcd.members)

    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        """Every member of ``etcd.members``, in that order."""
        return read_members(cluster, self._etcd)

    def read_last_line(self, node: Node, member: Member) -> str:
        """From its container's or its unit's log."""
        if member.restart_policy.startswith(ETCD_UNIT):
            return unit_last_line(node, ETCD_UNIT)
        return container_last_line(node, member.name)

    def read_registrations(self, cluster: Cluster) -> tuple[Registration, ...]:
        """Connected: the engine has renewed its key in the store (see ``etcd.keys``)."""
        return read_registrations(cluster, self._etcd)

    def read_overlay_access(self, node: Node) -> OverlayAccess:
        """Full access for every engine that is connected to the store."""
        registration = read_registration(node, self._etcd)
        if registration.connected:
            return OverlayAccess()
        return OverlayAccess(f"the engine has no cluster store: {registration.detail}")

    def read_gossip(self, node: Node) -> Gossip:
        """Read from the engine's gossip port."""
        return read_gossip(node)

    def read_gossip_address(self, node: Node) -> str:
        """The address at which it listens."""
        return read_gossip_address(node)

    def read_stored(self, cluster: Cluster) -> Stored:
        """Every key under ``/docker``."""
        keys = read_store_keys(cluster)
        return Stored(keys, stored_endpoints(keys))

    def read_foreign_engine(self, cluster: Cluster, network_id: str, endpoint: str) -> str:
        """The endpoint's locator, if that engine is registered in the store but not in the inventory."""
        stored = self.read_stored(cluster)
        nodes = (item.key.rpartition("/")[2] for item in stored.keys if item.key.startswith("/docker/nodes/"))
        alive = {address.rpartition(":")[0] for address in nodes}
        ours = {row.address.partition(":")[0] for row in self.read_registrations(cluster)}
        ours |= {node.cluster_address for node in cluster.inventory.nodes}
        found = [row.locator for row in stored.endpoints if (row.network_id, row.name) == (network_id, endpoint)]
        return next((locator for locator in found if locator in alive - ours), "")

    def read_vnis(self, cluster: Cluster) -> Mapping[str, int]:
        """The first VNI of each network: engines with a cluster store do not show it."""
        return {network: next(iter(vnis.values())) for network, vnis in stored_vnis(read_store_keys(cluster)).items()}

    def ports(self, engines: Mapping[str, EngineFacts]) -> Ports:
        """The members that each engine's ``--cluster-store`` names."""
        stores = {
            name: tuple((host, port) for host, port in parse_etcd_url(facts.cluster_store).endpoints if port)
            for name, facts in engines.items()
        }
        ports = [port for members in stores.values() for _, port in members]
        return Ports(stores, ports[0] if ports else self._etcd.client_port)

    def incompatibility(self, engine: EngineFacts) -> str:
        """Too new, too old, or without a store."""
        version = parse_version(engine.version)
        if version >= _FIRST_WITHOUT_STORE:
            return "20.10 is the last series with --cluster-store: choose control_plane: swarm-mode"
        if version < (1, 9):
            return "multi-host networks came with Docker 1.9"
        if engine.mode == "swarm":
            return "choose control_plane: swarm-mode, or let the node leave its swarm (docker swarm leave)"
        if engine.mode != self.mode:
            return "start dockerd with --cluster-store=etcd://… and --cluster-advertise=…"
        return ""

    def advertise_remedy(self, facts: Advertised) -> str:
        """Change dockerd's option in its file, or restart: an engine reads the address when it starts."""
        host, _, port = facts.setting.rpartition(":")
        if host == facts.network or host in facts.own:
            return f"restart dockerd on {facts.node}: it still uses the address from its start"
        option = f"--cluster-advertise={facts.network}:{port or 2376}"
        place = facts.place or "dockerd's options"
        instead = f" in place of {facts.setting}" if facts.setting else ""
        return f"on {facts.node}: set {option}{instead} in {place}, and restart dockerd"

    def refusal(self, infos: Mapping[str, Mapping[str, Any]]) -> InputError | None:
        """An engine is too new for a cluster store, or in a swarm."""
        new = {node: str(info.get("ServerVersion")) for node, info in infos.items() if _is_too_new(info)}
        if new:
            which = ", ".join(f"{node} has Docker {version}" for node, version in new.items())
            return InputError(
                f"{which}, and Docker 20.10 was the last series that keeps networks in etcd (--cluster-store)",
                place="control_plane",
                remedy="choose control_plane: swarm-mode and make these engines a swarm, or install Docker 20.10 there",
            )
        joined = [node for node, info in infos.items() if parse_swarm(info.get("Swarm") or {}).state != "inactive"]
        if joined:
            return InputError(
                f"the engine of {', '.join(joined)} is in a swarm and therefore cannot have a cluster store",
                place="control_plane",
                remedy="a cluster has one control plane: choose control_plane: swarm-mode, or docker swarm leave there",
            )
        return None


def _is_too_new(info: Mapping[str, Any]) -> bool:
    return parse_version(str(info.get("ServerVersion") or "")) >= _FIRST_WITHOUT_STORE
