"""Networks as the engines see them, those that an engine does not find, and docker_gwbridge.

Networks that an engine does not find although others know of them.

An engine keeps no list of the cluster's networks: it asks its store anew for every call, and what it cannot read at
that moment it calls *not found*, while its containers are on the network and the other engines have it.

docker_gwbridge on one node: whether it is there, who is on it, and who needs it.

Docker makes this bridge with a node's first container that has no other way out than an overlay, as its way out, and
never removes it (libnetwork, ``default_gateway.go``: ``setupDefaultGW``, ``needDefaultGW``). A node that joins a swarm
makes it then.
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
    """A container's end of a network.

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
    """One network as one node's engine lists it; ``vni`` where the engine tells it (Swarm mode).

    Of its subnet the engine gives out ``ip_range`` (all of it when empty), but none of the addresses ``reserved``.
    In Swarm mode ``balancers`` are the ends of a node's load balancers on it, ``peers`` the addresses of the nodes that
    this one takes to be on it too, itself among them, and ``ingress`` tells the swarm's own network. One that a manager
    is still making has no ``driver`` yet.
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
    """One network with its endpoints, or ``None`` when this engine knows none of that name."""
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
    """Swarm mode's load balancers stand among the containers: ``lb-NETWORK``, and ``ingress-sbox``."""
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
    every engine lists the whole cluster's endpoints but knows the names of its own alone; in Swarm mode each lists its
    own. An endpoint that no container has (stale in the store, or on a node that did not answer) keeps an empty
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


# two looks at the store, at an engine's default heartbeat of 20 s
PATIENCE_SECONDS = 45.0


@dataclass(frozen=True)
class LostNetwork:
    """A network that the engine of ``node`` does not find; ``holder`` is who knows of it, in words.

    ``found`` tells whether any engine finds it; else only containers speak for it.
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
        """What to do about it, where it lasts."""
        restart = f"restart dockerd on {self.node}, whose connection to the store fails"
        if self.found:
            return restart
        return f"{restart}; if no engine finds it then, somebody has removed it: notebook 03_create_overlay"


def lost_networks(
    network: str,
    seen: Mapping[str, NetworkFacts | None],
    containers: Iterable[ContainerFacts],
    managers: Collection[str],
) -> dict[str, LostNetwork]:
    """The nodes, by name, whose engine does not find a network although it should.

    ``seen`` is what each node's engine found by the network's name. Of the nodes that found none those should that are
    among the ``managers`` (they see every network) if anybody knows of it; the others if a running container of their
    own is on it. ``containers`` may be those of any node.
    """
    # a bridge of one node that has the same name is another network
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
        """Everybody on it: containers, and in Swarm mode the node's way into the swarm's own network."""
        return (*self.bridge.endpoints, *self.bridge.balancers) if self.bridge is not None else ()

    @property
    def needed_by(self) -> tuple[ContainerFacts, ...]:
        """The node's running containers on an overlay that have no other way out."""
        overlays = {item.name for item in self.networks if item.driver == "overlay" and not item.internal}
        return tuple(
            item
            for item in self.containers
            if item.running and overlays & set(item.addresses) and not set(item.gateways) - overlays
        )

    def users(self, containers: tuple[ContainerFacts, ...]) -> tuple[str, ...]:
        """The names of those of the containers that are on it."""
        ids = {endpoint.container_id for endpoint in self.endpoints}
        return tuple(item.name for item in containers if item.id in ids)


def read_gateway_bridge(node: Node) -> GatewayBridge:
    """Ask a node's engine. Raises ``UnreachableError`` or ``NodeError``."""
    networks = read_networks(node)
    there = any(item.name == GATEWAY_BRIDGE for item in networks)
    bridge = read_network(node, GATEWAY_BRIDGE) if there else None
    return GatewayBridge(node.name, bridge, networks, read_containers(node))
