"""Engines from 1.12 on that are a swarm: managers keep the networks (raft), engines gossip about what is on them."""

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
    Ports,
    Registration,
    Standing,
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
from runbook_lib.facts.overlay.gossip import Gossip, gossips_at
from runbook_lib.model.parameters import Parameters

States = Mapping[str, SwarmState]
_JOIN = "docker swarm join … there; 'docker swarm join-token worker' on a manager tells the rest"


class SwarmMode(ControlPlane):
    """The cluster's engines are the members of one swarm; its managers decide."""

    title = "Swarm mode"
    mode: ClassVar[Mode] = "swarm"
    scope = "swarm"
    engines = "1.12 or later, in one swarm"
    members_title = "the swarm's managers"
    remedy = "the engine must be in a swarm whose managers have a leader: notebook 02_autostart_etcd waits for it"
    finds_peers_again = True
    bridges_every_node = True
    tells_data_path = False  # --data-path-addr, which no engine tells
    attachable = True

    def __init__(self, parameters: Parameters) -> None:
        self._overlay = parameters.overlay.name

    def read_members(self, cluster: Cluster) -> tuple[Member, ...]:
        """The managers, by the list of one that has a quorum; without a quorum, all that any engine knows of."""
        outcomes = cluster.each(read_swarm)
        if all(outcome.error is not None for outcome in outcomes):
            raise outcomes[0].error or NodeError(outcomes[0].node, "no node answered")
        states = _answered(outcomes)
        roster = read_swarm_nodes(_managers(cluster, states))
        return members(roster, states, {node.name: node.spec.cluster_address for node in cluster})

    def read_last_line(self, node: Node, member: Member) -> str:
        """That of its engine, which a manager is."""
        return engine_last_line(node)

    def read_registrations(self, cluster: Cluster) -> tuple[Registration, ...]:
        """Who is active by its own word and ready by its managers'."""
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

    def read_standing(self, node: Node) -> Standing:
        """Managers of a quorum make networks; workers see what containers of theirs are on."""
        state = read_swarm(node)
        return Standing(state.trouble, manages=state.manager)

    def read_manages(self, node: Node) -> bool:
        """Managers may."""
        return read_swarm(node).manager

    def read_own_start(self, node: Node) -> str:
        """What starts dockerd: it is the member. Nothing does where a person must type the unlock key first."""
        return "" if read_swarm(node).autolock else read_engine_start(node).by

    def read_restart_objection(self, cluster: Cluster, names: Sequence[str] = ()) -> InputError | None:
        """Managers of a swarm that locks them would wait for its key, and with all of them the swarm."""
        nodes = [cluster.node(name) for name in names] or list(cluster.nodes)
        states = _answered(cluster.each(read_swarm, nodes=nodes))
        locking = [node for node, state in states.items() if state.autolock]
        if not locking:
            return None
        return InputError(
            f"restarted, {', '.join(locking)} would wait for the swarm's unlock key (autolock)",
            place="power_cycle",
            remedy="let them start without it (docker swarm update --autolock=false), or no node be restarted"
            " (power_cycle: false)",
        )

    def read_gossip(self, node: Node) -> Gossip:
        """The peers that the engine lists for the swarm's networks that it takes part in; every one is in ingress."""
        address = self.read_gossip_address(node)
        if not address:
            return Gossip(node.name)
        ids = [item.id for item in read_networks(node) if item.scope == self.scope]
        networks = [found for found in (read_network(node, item) for item in ids) if found is not None and found.peers]
        peers = {address}.union(*(found.peers for found in networks))
        return Gossip(node.name, address, frozenset(peers), frozenset(found.id for found in networks))

    def read_gossip_address(self, node: Node) -> str:
        """What it advertises, once it listens."""
        state = read_swarm(node)
        return state.address if state.state == "active" and gossips_at(node, state.address) else ""

    def read_stored(self, cluster: Cluster) -> Stored:
        """What managers tell (members, networks), and what an engine on the overlay has heard of endpoints."""
        outcomes = cluster.each(read_swarm)
        managers = _managers(cluster, _answered(outcomes))
        roster = read_swarm_nodes(managers)
        if not roster:
            raise NodeError(cluster.nodes[0].name, "no manager of the swarm tells what it keeps", remedy=self.remedy)
        networks = [item for item in managers[0].engine.networks() if item["Scope"] == self.scope]
        endpoints = self._heard(cluster)
        keys = [StoreKey(f"node/{item.host_name}", json.dumps(_told(item))) for item in roster]
        keys += [StoreKey(f"swarm-network/{item['Name']}", json.dumps(item)) for item in networks]
        keys += [
            StoreKey(f"heard/{item.name}", json.dumps({"address": item.address, "node": item.locator}))
            for item in endpoints
        ]
        return Stored(tuple(keys), endpoints)

    def read_vnis(self, cluster: Cluster) -> Mapping[str, int]:
        """None: every engine tells the VNI of a network that it lists."""
        return {}

    def ports(self, engines: Mapping[str, EngineFacts]) -> Ports:
        """The managers that each engine knows, and the data path port that a manager tells."""
        told = [facts.swarm.data_path_port for facts in engines.values() if facts.swarm.data_path_port]
        addresses = {
            name: tuple(_host_and_port(address) for _, address in facts.swarm.managers)
            for name, facts in engines.items()
        }
        return Ports(addresses, MANAGER_PORT, self.members_title, _JOIN, told[0] if told else DATA_PATH_PORT)

    def objection(self, engine: EngineFacts) -> str:
        """Too old, or in no swarm that works."""
        if parse_version(engine.version) < (1, 12):
            return "Swarm mode came with Docker 1.12"
        if engine.cluster_store:
            return "it has a cluster store: start dockerd without --cluster-store, or choose control_plane: etcd"
        if engine.swarm.state == "inactive":
            return _JOIN
        return f"{engine.swarm.trouble} (notebook 02_autostart_etcd)" if engine.swarm.trouble else ""

    def advertise_remedy(self, facts: Advertised) -> str:
        """An engine keeps the address that it joined with."""
        return (
            f"on {facts.node}: docker swarm leave, and join again with --advertise-addr {facts.own[0]} (a manager"
            " first: docker node demote)"
        )

    def refusal(self, infos: Mapping[str, Mapping[str, Any]]) -> InputError | None:
        """An engine with a cluster store, one in no swarm, engines of two swarms, workers alone."""
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
            return InputError(f"the engine of {', '.join(outside)} is in no swarm", place=place, remedy=_JOIN)
        locked = [node for node, state in states.items() if state.state == "locked"]
        if locked:
            return InputError(
                f"the engine of {', '.join(locked)} is locked out of its swarm (autolock)",
                place=place,
                remedy="docker swarm unlock there; 'docker swarm unlock-key' on another manager tells the key",
            )
        strange = strangers_to_the_swarm(states)
        if strange:
            others = ", ".join(node for node in states if node not in strange)
            return InputError(
                f"{', '.join(strange)} is in another swarm than {others}",
                place=place,
                remedy="docker swarm leave there, then join the swarm of the others; or take it out of the inventory",
            )
        if states and not any(state.manager for state in states.values()):
            return InputError(
                f"{', '.join(states)}: only workers, and only a manager makes networks",
                place="inventory",
                remedy="put a manager into the inventory as well, or promote one: docker node promote NODE",
            )
        return None

    def _heard(self, cluster: Cluster) -> tuple[StoredEndpoint, ...]:
        """The overlay's endpoints as the first engine that has one of them has heard of all."""
        for outcome in cluster.each(lambda node: read_network(node, self._overlay)):
            if outcome.value is not None and outcome.value.endpoints:
                data = cluster.node(outcome.node).engine.network(self._overlay, verbose=True)
                return heard_endpoints(data)
        return ()


def members(roster: Sequence[SwarmNode], states: States, addresses: Mapping[str, str]) -> tuple[Member, ...]:
    """The managers as members, by their nodes' names.

    Args:
        roster: the list of a manager that has a quorum; empty without one.
        states: each engine's own word, by node; a node that did not answer is missing.
        addresses: every node's address on the cluster's network.
    """
    known = {address: _own_word(address) for state in states.values() for address in state.managers}
    managers = [item for item in roster if item.manager] or list(known.values())
    by_id = {state.node_id: node for node, state in states.items()}
    by_address = {address: node for node, address in addresses.items()}
    rows = []
    for item in managers:
        node = by_id.get(item.node_id) or by_address.get(_host_and_port(item.manager_address)[0], "")
        rows.append(_member(item, node, states.get(node)))
    order = {node: place for place, node in enumerate(addresses)}
    return tuple(sorted(rows, key=lambda row: (order.get(row.node, len(order)), row.name)))


def _own_word(told: tuple[str, str]) -> SwarmNode:
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
    """Why an engine cannot be given work by its managers now; empty when it can."""
    if state.trouble:
        return state.trouble
    known = {item.node_id: item for item in roster}
    if not known:
        return "no manager tells whether it is ready: the swarm does not have a leader, or only workers were asked"
    own = known.get(state.node_id)
    if own is None:
        return "the cluster's managers do not know it: it is in another swarm"
    if own.state != "ready":
        return f"its managers find it {own.state}{f' ({own.message})' if own.message else ''}"
    return ""


def strangers_to_the_swarm(states: States) -> tuple[str, ...]:
    """The nodes that are in another swarm than most of the managers are (at a tie, than the first one's).

    One that cannot tell, as it has not met its managers yet, is none.
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


def heard_endpoints(data: Mapping[str, Any]) -> tuple[StoredEndpoint, ...]:
    """Endpoints in ``GET /networks/{name}?verbose=true`` of an engine that is on the network. MACs are not told."""
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


def _told(item: SwarmNode) -> dict[str, object]:
    return {"role": "manager" if item.manager else "worker", "state": item.state, "address": item.address}
