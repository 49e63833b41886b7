"""Engines from 1.12 on in a swarm: managers keep the networks (raft), engines gossip about the endpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import InputError, NodeError
from runbook_lib.facts.control_planes.base import (
    Advertised,
    ControlPlane,
    Health,
    Member,
    OverlayAccess,
    Ports,
    Registration,
    Stored,
    StoredEndpoint,
    StoreKey,
)
from runbook_lib.facts.docker.engine import (
    DATA_PATH_PORT,
    MANAGER_PORT,
    EngineFacts,
    Mode,
    SwarmNode,
    SwarmState,
    engine_last_line,
    parse_swarm,
    parse_version,
    read_engine_start,
    read_swarm,
    read_swarm_nodes,
)
from runbook_lib.facts.docker.networks import read_network, read_networks
from runbook_lib.facts.overlay.gossip import Gossip, listens_for_gossip
from runbook_lib.model.parameters import Parameters

States = Mapping[str, SwarmState]
_JOIN = "docker swarm join … there; 'docker swarm join-token worker' on a manager prints the whole command"


class SwarmMode(ControlPlane):
    """The cluster's engines are the nodes of one swarm."""

    title = "Swarm mode"
    mode: ClassVar[Mode] = "swarm"
    scope = "swarm"
    engines = "1.12 or later, in one swarm"
    members_title = "the swarm's managers"
    remedy = "the engine must be in a swarm whose managers have a leader: notebook 02_autostart_etcd waits for it"
    rejoins_peers = True
    bridges_every_node = True
    reports_data_path = False  # --data-path-addr, which no engine shows
    attachable = True

    def __init__(self, parameters: Parameters) -> None:
        self._overlay = parameters.overlay.name

    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        """The managers, as listed by one with a quorum; without a quorum, all that any engine knows."""
        outcomes = cluster.each(read_swarm)
        if all(outcome.error is not None for outcome in outcomes):
            raise outcomes[0].error or NodeError(outcomes[0].node, "no node answered")
        states = _answered(outcomes)
        roster = read_swarm_nodes(_managers(cluster, states))
        return members(roster, states, {node.name: node.spec.cluster_address for node in cluster})

    def read_last_line(self, node: Node, member: Member) -> str:
        """The manager is the engine: the last line of dockerd's log."""
        return engine_last_line(node)

    def read_registrations(self, cluster: Cluster) -> tuple[Registration, ...]:
        """Connected: active in its own state and ready in its managers' list."""
        outcomes = cluster.each(read_swarm)
        states = _answered(outcomes)
        roster = read_swarm_nodes(_managers(cluster, states))
        rows = []
        for outcome in outcomes:
            if outcome.value is None:
                reason = outcome.error.message if outcome.error else ""
                rows.append(Registration(outcome.node, "", False, detail=reason))
            else:
                why = why_not_ready(outcome.value, roster)
                rows.append(Registration(outcome.node, outcome.value.address, not why, detail=why))
        return tuple(rows)

    def read_overlay_access(self, node: Node) -> OverlayAccess:
        """Managers with a quorum create networks; workers list those of their containers."""
        state = read_swarm(node)
        return OverlayAccess(state.trouble, manages=state.manager)

    def read_manages(self, node: Node) -> bool:
        """True for managers."""
        return read_swarm(node).manager

    def read_own_start(self, node: Node) -> str:
        """What starts dockerd, which is the member; empty with autolock, which needs the unlock key first."""
        return "" if read_swarm(node).autolock else read_engine_start(node).by

    def read_restart_blocker(self, cluster: Cluster, names: Sequence[str] = ()) -> InputError | None:
        """With autolock, restarted managers would wait for the unlock key."""
        nodes = [cluster.node(name) for name in names] or list(cluster.nodes)
        states = _answered(cluster.each(read_swarm, nodes=nodes))
        locking = [node for node, state in states.items() if state.autolock]
        if not locking:
            return None
        return InputError(
            f"after a restart {', '.join(locking)} would wait for the swarm's unlock key (autolock)",
            place="power_cycle",
            remedy="switch autolock off (docker swarm update --autolock=false), or restart no node"
            " (power_cycle: false)",
        )

    def read_gossip(self, node: Node) -> Gossip:
        """The peers that the engine lists for its swarm networks; every node is in ingress."""
        address = self.read_gossip_address(node)
        if not address:
            return Gossip(node.name)
        ids = [item.id for item in read_networks(node) if item.scope == self.scope]
        networks = [found for found in (read_network(node, item) for item in ids) if found is not None and found.peers]
        peers = {address}.union(*(found.peers for found in networks))
        return Gossip(node.name, address, frozenset(peers), frozenset(found.id for found in networks))

    def read_gossip_address(self, node: Node) -> str:
        """Its advertised address, once it listens."""
        state = read_swarm(node)
        return state.address if state.state == "active" and listens_for_gossip(node, state.address) else ""

    def read_stored(self, cluster: Cluster) -> Stored:
        """Nodes and networks from a manager, endpoints from an engine on the overlay."""
        outcomes = cluster.each(read_swarm)
        managers = _managers(cluster, _answered(outcomes))
        roster = read_swarm_nodes(managers)
        if not roster:
            raise NodeError(
                cluster.nodes[0].name, "no manager of the swarm answers with its nodes and networks", remedy=self.remedy
            )
        networks = [item for item in managers[0].engine.networks() if item["Scope"] == self.scope]
        endpoints = self._gossiped_endpoints(cluster)
        keys = [StoreKey(f"node/{item.host_name}", json.dumps(_as_stored_value(item))) for item in roster]
        keys += [StoreKey(f"swarm-network/{item['Name']}", json.dumps(item)) for item in networks]
        keys += [
            StoreKey(f"heard/{item.name}", json.dumps({"address": item.address, "node": item.locator}))
            for item in endpoints
        ]
        return Stored(tuple(keys), endpoints)

    def read_vnis(self, cluster: Cluster) -> Mapping[str, int]:
        """None: every engine shows the VNI of a network that it lists."""
        return {}

    def ports(self, engines: Mapping[str, EngineFacts]) -> Ports:
        """The managers that each engine knows, and the data path port from a manager."""
        told = [facts.swarm.data_path_port for facts in engines.values() if facts.swarm.data_path_port]
        addresses = {
            name: tuple(_host_and_port(address) for _, address in facts.swarm.managers)
            for name, facts in engines.items()
        }
        return Ports(addresses, MANAGER_PORT, self.members_title, _JOIN, told[0] if told else DATA_PATH_PORT)

    def incompatibility(self, engine: EngineFacts) -> str:
        """Too old, or not in a working swarm."""
        if parse_version(engine.version) < (1, 12):
            return "Swarm mode came with Docker 1.12"
        if engine.cluster_store:
            return "it has a cluster store: start dockerd without --cluster-store, or choose control_plane: etcd"
        if engine.swarm.state == "inactive":
            return _JOIN
        return f"{engine.swarm.trouble} (notebook 02_autostart_etcd)" if engine.swarm.trouble else ""

    def advertise_remedy(self, facts: Advertised) -> str:
        """Leave and join again: an engine keeps the address with which it joined."""
        return (
            f"on {facts.node}: docker swarm leave, and join again with --advertise-addr {facts.own[0]} (a manager"
            " first: docker node demote)"
        )

    def refusal(self, infos: Mapping[str, Mapping[str, Any]]) -> InputError | None:
        """A cluster store, an engine outside the swarm, two swarms, or no manager."""
        place = "control_plane"
        stored = [node for node, info in infos.items() if info.get("ClusterStore")]
        if stored:
            return InputError(
                f"the engine of {', '.join(stored)} keeps its networks in a cluster store, not in a swarm",
                place=place,
                remedy="a cluster has one control plane: choose control_plane: etcd, or move it into the swarm",
            )
        states = {node: parse_swarm(info.get("Swarm") or {}) for node, info in infos.items()}
        outside = [node for node, state in states.items() if state.state == "inactive"]
        if outside:
            return InputError(f"the engine of {', '.join(outside)} is not in a swarm", place=place, remedy=_JOIN)
        locked = [node for node, state in states.items() if state.state == "locked"]
        if locked:
            return InputError(
                f"the engine of {', '.join(locked)} waits for its swarm's unlock key (autolock)",
                place=place,
                remedy="docker swarm unlock there; 'docker swarm unlock-key' on another manager prints the key",
            )
        strange = nodes_of_other_swarms(states)
        if strange:
            others = ", ".join(node for node in states if node not in strange)
            return InputError(
                f"{', '.join(strange)} is not in the same swarm as {others}",
                place=place,
                remedy="docker swarm leave there, then join the swarm of the others; or take it out of the inventory",
            )
        if states and not any(state.manager for state in states.values()):
            return InputError(
                f"{', '.join(states)}: all are workers, but only a manager can create networks",
                place="inventory",
                remedy="add a manager to the inventory, or promote a node: docker node promote NODE",
            )
        return None

    def _gossiped_endpoints(self, cluster: Cluster) -> tuple[StoredEndpoint, ...]:
        """The overlay's endpoints, from the first engine that has one of them."""
        for outcome in cluster.each(lambda node: read_network(node, self._overlay)):
            if outcome.value is not None and outcome.value.endpoints:
                data = cluster.node(outcome.node).engine.network(self._overlay, verbose=True)
                return gossiped_endpoints(data)
        return ()


def members(roster: Sequence[SwarmNode], states: States, addresses: Mapping[str, str]) -> tuple[Member, ...]:
    """The managers as members, by their nodes' names.

    Args:
        roster: the list of a manager that has a quorum; empty without one.
        states: each engine's own state, by node; a node that did not answer is missing.
        addresses: every node's address on the cluster's network.
    """
    known = {address: _as_swarm_node(address) for state in states.values() for address in state.managers}
    managers = [item for item in roster if item.manager] or list(known.values())
    by_id = {state.node_id: node for node, state in states.items()}
    by_address = {address: node for node, address in addresses.items()}
    rows = []
    for item in managers:
        node = by_id.get(item.node_id) or by_address.get(_host_and_port(item.manager_address)[0], "")
        rows.append(_member(item, node, states.get(node)))
    order = {node: place for place, node in enumerate(addresses)}
    return tuple(sorted(rows, key=lambda row: (order.get(row.node, len(order)), row.name)))


def _as_swarm_node(told: tuple[str, str]) -> SwarmNode:
    node_id, address = told
    return SwarmNode(node_id, address, "unknown", "", manager=True, manager_address=address)


def _member(item: SwarmNode, node: str, state: SwarmState | None) -> Member:
    health: Health = "healthy"
    detail = ""
    if state is None and (node or item.reachability != "reachable"):
        health, detail = "down", item.message or "its node did not answer"
    elif state is not None and state.trouble:
        health, detail = "unhealthy", state.trouble
    elif item.reachability not in ("reachable", ""):
        health, detail = "unhealthy", f"the other managers do not reach it ({item.message or item.reachability})"
    return Member(
        name=node or item.host_name,
        node=node,
        container_state="running" if state is not None else "unknown",
        restart_policy="",
        health=health,
        leader=item.leader,
        client_url=f"tcp://{item.manager_address}",
        member_id=item.node_id,
        detail=detail,
    )


def why_not_ready(state: SwarmState, roster: Iterable[SwarmNode]) -> str:
    """Why an engine is not ready for its managers; empty if it is."""
    if state.trouble:
        return state.trouble
    known = {item.node_id: item for item in roster}
    if not known:
        return "no manager reports whether it is ready: the swarm has no leader, or only workers were asked"
    own = known.get(state.node_id)
    if own is None:
        return "the cluster's managers do not know it: it is in another swarm"
    if own.state != "ready":
        return f"its managers report it as {own.state}{f' ({own.message})' if own.message else ''}"
    return ""


def nodes_of_other_swarms(states: States) -> tuple[str, ...]:
    """The nodes that are not in the swarm of most managers (at a tie, of the first).

    A node that does not know its swarm's ID yet is left out.
    """
    clusters = [state.cluster_id for state in states.values() if state.cluster_id]
    if not clusters:
        return ()
    home = max(dict.fromkeys(clusters), key=clusters.count)
    managers = {state.node_id for state in states.values() if state.cluster_id == home}
    return tuple(
        node
        for node, state in states.items()
        if (state.cluster_id and state.cluster_id != home)
        or (not state.manager and state.managers and not managers & {manager for manager, _ in state.managers})
    )


def gossiped_endpoints(data: Mapping[str, Any]) -> tuple[StoredEndpoint, ...]:
    """Endpoints in ``GET /networks/{name}?verbose=true`` of an engine on the network; without MACs."""
    tasks = [task for service in (data.get("Services") or {}).values() for task in service.get("Tasks") or ()]
    found = [
        StoredEndpoint(
            network_id=str(data["Id"]),
            endpoint_id=str(task["EndpointID"]),
            name=str(task["Name"]),
            address=str(task["EndpointIP"]),
            mac="",
            locator=str((task.get("Info") or {}).get("Host IP") or ""),
        )
        for task in tasks
    ]
    return tuple(sorted(found, key=lambda item: item.name))


def _answered(outcomes: Iterable[Outcome[SwarmState]]) -> dict[str, SwarmState]:
    return {outcome.node: outcome.value for outcome in outcomes if outcome.value is not None}


def _managers(cluster: Cluster, states: States) -> list[Node]:
    return [node for node in cluster if node.name in states and states[node.name].manager]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port) if port.isdigit() else MANAGER_PORT


def _as_stored_value(item: SwarmNode) -> dict[str, object]:
    return {"role": "manager" if item.manager else "worker", "state": item.state, "address": item.address}
