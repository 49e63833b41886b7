"""Networks as the engines list them, networks that one engine has lost, and docker_gwbridge.

An engine has no list of the cluster's networks: it reads the cluster store for every call. What it cannot read at that
moment it reports as *not found*, although its containers are on the network and the other engines list it.

docker_gwbridge is the default gateway of containers that have only overlays. Docker creates it on a node with the first
such container, or when the node joins a swarm, and never removes it (libnetwork, ``default_gateway.go``:
``setupDefaultGW``, ``needDefaultGW``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.errors import EngineNotFound
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.sections import reading

UNRESOLVED = "ep-"


@dataclass(frozen=True)
class Endpoint:
    """A container's endpoint on a network.

    ``name`` is the container's, or ``ep-<endpoint id>`` where an etcd-mode engine does not know it;
    ``node`` and ``container`` are known once ``join_endpoints`` has matched it with the containers.
    """

    name: str
    endpoint_id: str
    mac: str
    address: str
    prefix_length: int = 0
    container_id: str = ""
    container: str = ""
    node: str = ""


@dataclass(frozen=True)
class NetworkFacts:
    """One network as one node's engine lists it; ``vni`` where the engine shows it (Swarm mode).

    The engine assigns addresses from ``ip_range`` (if empty, from the whole subnet), except those ``reserved``.
    In Swarm mode ``balancers`` are the endpoints of a node's load balancers, ``peers`` the addresses of the nodes that
    this node knows to be on the network (itself included), and ``ingress`` marks the swarm's own network. One that a
    manager is still creating has no ``driver`` yet.
    """

    node: str
    id: str
    name: str
    driver: str
    scope: str
    subnet: str
    gateway: str
    vni: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    ip_range: str = ""
    reserved: frozenset[str] = frozenset()
    balancers: tuple[Endpoint, ...] = ()
    peers: frozenset[str] = frozenset()
    ingress: bool = False


def read_networks(node: Node) -> tuple[NetworkFacts, ...]:
    """All networks of a node's engine, by name; the list holds no endpoints (``read_network`` does).

    Raises:
        UnreachableError, EngineError: the engine does not answer or refuses.
    """
    found = node.engine.networks()
    with reading(node.name, "list of networks"):
        facts = [parse_network(node.name, item) for item in found]
    return tuple(sorted(facts, key=lambda item: (item.name, item.id)))


def read_network(node: Node, name: str) -> NetworkFacts | None:
    """One network with its endpoints, or ``None`` if this engine finds none of that name."""
    try:
        found = node.engine.network(name)
    except EngineNotFound:
        return None
    with reading(node.name, f"network {name}"):
        return parse_network(node.name, found)


def parse_network(node: str, data: Mapping[str, Any]) -> NetworkFacts:
    """Facts from ``GET /networks/{name}`` or one entry of ``GET /networks``.

    Raises:
        ValueError: an essential key is missing.
    """
    missing = [key for key in ("Id", "Name", "Driver", "Scope") if not isinstance(data.get(key), str)]
    if missing:
        raise ValueError(f"no {', '.join(missing)} in the network")
    pool: Mapping[str, Any] = next(iter((data.get("IPAM") or {}).get("Config") or []), {})
    options = {str(key): str(value) for key, value in (data.get("Options") or {}).items()}
    vni = options.get("com.docker.network.driver.overlay.vxlanid_list", "").split(",")[0]
    endpoints = [(key, _endpoint(key, item)) for key, item in (data.get("Containers") or {}).items()]
    return NetworkFacts(
        node=node,
        id=data["Id"],
        name=data["Name"],
        driver=data["Driver"],
        scope=data["Scope"],
        subnet=str(pool.get("Subnet") or ""),
        gateway=str(pool.get("Gateway") or "").partition("/")[0],
        vni=int(vni) if vni else None,
        options=options,
        internal=bool(data.get("Internal")),
        attachable=bool(data.get("Attachable")),
        labels={str(key): str(value) for key, value in (data.get("Labels") or {}).items()},
        endpoints=_by_text(item for key, item in endpoints if not _is_balancer(key)),
        ip_range=str(pool.get("IPRange") or ""),
        reserved=frozenset((pool.get("AuxiliaryAddresses") or {}).values()),
        balancers=_by_text(item for key, item in endpoints if _is_balancer(key)),
        peers=frozenset(str(item["IP"]) for item in data.get("Peers") or ()),
        ingress=bool(data.get("Ingress")),
    )


def _is_balancer(key: str) -> bool:
    """Swarm mode lists load balancers as containers: ``lb-NETWORK`` and ``ingress-sbox``."""
    return key.startswith("lb-") or key == "ingress-sbox"


def _by_text(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(sorted(endpoints, key=lambda item: item.address))


def _endpoint(key: str, data: Mapping[str, Any]) -> Endpoint:
    address, _, length = str(data.get("IPv4Address") or "").partition("/")
    return Endpoint(
        name=str(data["Name"]),
        endpoint_id=str(data["EndpointID"]),
        mac=str(data.get("MacAddress") or ""),
        address=address,
        prefix_length=int(length or 0),
        # an endpoint whose container the engine does not know is listed under ep-<endpoint id>
        container_id="" if key.startswith(UNRESOLVED) else key,
    )


def join_endpoints(networks: Iterable[NetworkFacts], containers: Iterable[ContainerFacts]) -> tuple[Endpoint, ...]:
    """All endpoints of one network, each once, with the container and node that own it.

    ``networks`` is the same network as seen by several nodes, ``containers`` the containers of all nodes. In etcd mode
    every engine lists the whole cluster's endpoints but names only its own; in Swarm mode each lists only its
    own. An endpoint without a container (stale in the store, or on a node that did not answer) keeps an empty
    ``container`` and ``node``. Ordered by address.
    """
    owners = {
        endpoint_id: container
        for container in containers
        for endpoint_id in container.endpoint_ids.values()
        if endpoint_id
    }
    found: dict[str, Endpoint] = {}
    for network in networks:
        for endpoint in network.endpoints:
            known = found.get(endpoint.endpoint_id)
            if known is None or known.name.startswith(UNRESOLVED):
                found[endpoint.endpoint_id] = endpoint
    joined = []
    for endpoint in found.values():
        owner = owners.get(endpoint.endpoint_id)
        if owner is not None:
            endpoint = replace(endpoint, name=owner.name, container=owner.name, container_id=owner.id, node=owner.node)
        joined.append(endpoint)
    return tuple(sorted(joined, key=_by_address))


def _by_address(endpoint: Endpoint) -> tuple[Sequence[int], str]:
    return [int(part) for part in endpoint.address.split(".") if part], endpoint.endpoint_id


# an engine reads the store again at each heartbeat, by default every 20 s
STORE_RECHECK_SECONDS = 45.0


@dataclass(frozen=True)
class LostNetwork:
    """A network that the engine of ``node`` does not find; ``holder`` says who has it.

    ``found``: another engine lists it; otherwise only containers are still on it.
    """

    node: str
    network: str
    id: str
    holder: str
    found: bool

    @property
    def why(self) -> str:
        """What is wrong, in one phrase."""
        return f"{self.node}'s engine does not find {self.network} ({self.id[:12]}), which {self.holder}"

    @property
    def remedy(self) -> str:
        """What to do if it persists."""
        restart = f"restart dockerd on {self.node}, whose connection to the store fails"
        if self.found:
            return restart
        return f"{restart}; if no engine finds it then, it was removed: run notebook 03_create_overlay"


def lost_networks(
    network: str,
    seen: Mapping[str, NetworkFacts | None],
    containers: Iterable[ContainerFacts],
    managers: Collection[str],
) -> dict[str, LostNetwork]:
    """The nodes, by name, whose engine does not find a network although it should.

    ``seen`` is what each node's engine found by the network's name. An engine that found none should have found it: a
    manager (``managers`` see every network) if any engine or container has it, another node if one of its running
    containers is on it. ``containers`` may be those of any node.
    """
    # a node's local bridge of the same name is another network
    engines = {name: found.id for name, found in seen.items() if found is not None and found.scope != "local"}
    members = [
        item for item in containers if item.running and item.network_ids.get(network) and seen.get(item.node) is None
    ]
    lost = {}
    for node in (name for name, found in seen.items() if found is None):
        own = [item for item in members if item.node == node]
        others = members if node in managers else own
        witnesses = own or others
        if engines and node in managers:
            holder, key = f"{', '.join(engines)} {'has' if len(engines) == 1 else 'have'}", next(iter(engines.values()))
        elif witnesses:
            holder, key = f"{witnesses[0].full_name} is on", witnesses[0].network_ids[network]
        else:
            continue
        lost[node] = LostNetwork(node, network, key, holder, bool(engines))
    return lost


GATEWAY_BRIDGE = "docker_gwbridge"


@dataclass(frozen=True)
class GatewayBridge:
    """The bridge as one node's engine has it, the node's networks and all its containers.

    ``bridge`` lists its endpoints; ``None`` where there is none.
    """

    node: str
    bridge: NetworkFacts | None
    networks: tuple[NetworkFacts, ...]
    containers: tuple[ContainerFacts, ...]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints on it: containers, and in Swarm mode that of the swarm's ingress network."""
        return (*self.bridge.endpoints, *self.bridge.balancers) if self.bridge is not None else ()

    @property
    def needed_by(self) -> tuple[ContainerFacts, ...]:
        """The node's running containers that are on an overlay and have no other gateway."""
        overlays = {item.name for item in self.networks if item.driver == "overlay" and not item.internal}
        return tuple(
            item
            for item in self.containers
            if item.running and overlays & set(item.addresses) and not set(item.gateways) - overlays
        )

    def users(self, containers: tuple[ContainerFacts, ...]) -> tuple[str, ...]:
        """The names of those containers that are on it."""
        ids = {endpoint.container_id for endpoint in self.endpoints}
        return tuple(item.name for item in containers if item.id in ids)


def read_gateway_bridge(node: Node) -> GatewayBridge:
    """The bridge of one node. Raises ``UnreachableError`` or ``NodeError``."""
    networks = read_networks(node)
    there = any(item.name == GATEWAY_BRIDGE for item in networks)
    bridge = read_network(node, GATEWAY_BRIDGE) if there else None
    return GatewayBridge(node.name, bridge, networks, read_containers(node))
