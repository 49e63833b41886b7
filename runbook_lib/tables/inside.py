"""Tables about what Docker hides: an overlay's namespaces, name service and keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from runbook_lib.facts.control_planes.base import StoredEndpoint, StoreKey
from runbook_lib.facts.control_planes.etcd.keys import (
    stored_endpoints,
    stored_networks,
    stored_pools,
    stored_sets,
    stored_vnis,
)
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.host.ip import NatRule
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace, OverlayLink
from runbook_lib.facts.overlay.interfaces import ContainerInterface, HostInterface, Inside
from runbook_lib.facts.overlay.name_service import NameService
from runbook_lib.tables.frame import FLAG, WHOLE, Column, Table, document_columns
from runbook_lib.tables.overlay import SHORT_ID, cidr


class _NodeOverlay(NamedTuple):
    node: str
    hidden: HiddenNamespace | None
    vxlan: OverlayLink | None
    containers: Sequence[ContainerFacts]
    others: Sequence[ContainerFacts]

    def names(self, containers: Sequence[ContainerFacts]) -> str:
        return ", ".join(item.name for item in containers if item.node == self.node)


NAMESPACES = Table[_NodeOverlay](
    "One row per node.",
    Column("node", lambda row: row.node),
    Column("hidden namespace", lambda row: row.hidden and row.hidden.name, meaning="empty without one"),
    Column("containers here", lambda row: row.names(row.containers), meaning="our containers on the overlay"),
    Column("others here", lambda row: row.names(row.others), meaning="all others on the overlay"),
    Column("VNI", lambda row: row.vxlan and row.vxlan.vni, WHOLE, meaning="the overlay's number in VXLAN packets"),
    Column("UDP port", lambda row: row.vxlan and row.vxlan.port, WHOLE),
)


@document_columns(NAMESPACES)
def namespaces(
    nodes: Iterable[str],
    hidden: Mapping[str, HiddenNamespace],
    containers: Sequence[ContainerFacts],
    others: Sequence[ContainerFacts] = (),
) -> pd.DataFrame:
    """The hidden namespaces of an overlay and its containers; ``others`` are not ours."""
    rows = []
    for node in nodes:
        own = hidden.get(node)
        rows.append(_NodeOverlay(node, own, own.vxlan if own else None, containers, others))
    return NAMESPACES(rows)


class _HiddenLink(NamedTuple):
    node: str
    link: OverlayLink
    other_end: str


OVERLAY_LINKS = Table[_HiddenLink](
    "One row per interface of a hidden namespace.",
    Column("node", lambda row: row.node),
    Column("interface", lambda row: row.link.name),
    Column("kind", lambda row: row.link.kind, meaning="``bridge``, ``vxlan`` or ``veth``"),
    Column("port of", lambda row: row.link.bridge, meaning="the bridge that it is a port of"),
    Column("other end", lambda row: row.other_end, meaning="of a veth ``alpine1 eth0``, of VXLAN its VNI and UDP port"),
    Column("address", lambda row: row.link.address, meaning="in CIDR notation"),
    Column("MTU", lambda row: row.link.mtu, WHOLE, "bytes"),
)


@document_columns(OVERLAY_LINKS)
def overlay_links(hidden: Iterable[HiddenNamespace], insides: Sequence[Inside]) -> pd.DataFrame:
    """The interfaces of hidden namespaces, with the container interface of each veth."""
    return OVERLAY_LINKS(
        _HiddenLink(own.node, link, _other_end(own.node, link, insides)) for own in hidden for link in own.links
    )


def _other_end(node: str, link: OverlayLink, insides: Sequence[Inside]) -> str:
    if link.kind == "vxlan":
        return f"the other nodes: VNI {link.vni}, UDP {link.port}"
    ends = [
        f"{inside.container.name} {item.name}"
        for inside in insides
        for item in inside.interfaces
        if inside.container.node == node and _are_ends(link, item)
    ]
    return ", ".join(ends)


def _are_ends(one: OverlayLink | HostInterface, other: ContainerInterface) -> bool:
    """Whether two interfaces are the two ends of one veth."""
    return one.peer_index != 0 and (one.index, one.peer_index) == (other.peer_index, other.index)


class _ContainerLink(NamedTuple):
    item: ContainerInterface
    other_end: str
    bridge: str
    routes: str


CONTAINER_LINKS = Table[_ContainerLink](
    "One row per interface of a container.",
    Column("interface", lambda row: row.item.name),
    Column("address", lambda row: cidr(row.item.address, row.item.prefix_length), meaning="in CIDR notation"),
    Column("MAC", lambda row: row.item.mac),
    Column("MTU", lambda row: row.item.mtu, WHOLE, "bytes"),
    Column("other end", lambda row: row.other_end, meaning="``veth0 in 1-b6aade677f`` or ``veth2c8abf9 on node3``"),
    Column("which is a port of", lambda row: row.bridge, meaning="the bridge at that other end"),
    Column("routes", lambda row: row.routes, meaning="the destinations that leave here, ``default`` for all others"),
)


@document_columns(CONTAINER_LINKS)
def container_links(inside: Inside, hidden: HiddenNamespace | None, host: Iterable[HostInterface]) -> pd.DataFrame:
    """A container's interfaces, with the other end of each veth and its bridge."""
    ends: list[tuple[OverlayLink | HostInterface, str, str]] = []
    if hidden is not None:
        ends += [(link, f"{link.name} in {hidden.name}", link.bridge) for link in hidden.links]
    ends += [(item, f"{item.name} on {item.node}", item.master) for item in host]
    rows = []
    for item in inside.interfaces:
        other_end, bridge = next((words for end, *words in ends if _are_ends(end, item)), ("", ""))
        routes = [route.destination for route in inside.routes if route.interface == item.name]
        shown = ", ".join("default" if route == "0.0.0.0/0" else route for route in routes)
        rows.append(_ContainerLink(item, other_end, bridge, shown))
    return CONTAINER_LINKS(rows)


class _Rewriting(NamedTuple):
    rule: NatRule
    listener: str


NAME_SERVICE = Table[_Rewriting](
    "One row per rule that rewrites a DNS question or its answer.",
    Column("chain", lambda row: row.rule.chain),
    Column("protocol", lambda row: row.rule.protocol),
    Column("from", lambda row: _end(row.rule.source, row.rule.source_port)),
    Column("to", lambda row: _end(row.rule.destination, row.rule.destination_port)),
    Column("action", lambda row: row.rule.action, meaning="``DNAT`` for a question, ``SNAT`` for an answer"),
    Column("becomes", lambda row: row.rule.becomes, meaning="the address and port that are put in"),
    Column("there listens", lambda row: row.listener, meaning="the process at that address, where a question ends"),
)


@document_columns(NAME_SERVICE)
def name_service(row: NameService) -> pd.DataFrame:
    """The rules between a container and its name server."""
    listening = {(item.protocol, f"{item.address}:{item.port}"): item.process for item in row.listeners}
    return NAME_SERVICE(
        _Rewriting(rule, listening.get((rule.protocol, rule.becomes), "nobody" if rule.action == "DNAT" else ""))
        for rule in row.rules
    )


def _end(address: str, port: int | None) -> str:
    host = address.removesuffix("/32")
    return f"{host}:{port}" if port is not None else host


def _leaving_by(rule: NatRule) -> str:
    return f"anything but {rule.out[1:]}" if rule.out.startswith("!") else rule.out


MASQUERADES = Table[tuple[str, NatRule]](
    "One row per node and rule.",
    Column("node", lambda row: row[0]),
    Column("from", lambda row: row[1].source, meaning="the addresses of containers, in CIDR notation"),
    Column("leaving by", lambda row: _leaving_by(row[1]), meaning="the interface through which the packet goes"),
    Column("action", lambda row: row[1].action),
)


@document_columns(MASQUERADES)
def masquerades(rules: Mapping[str, Sequence[NatRule]]) -> pd.DataFrame:
    """The masquerade rules by which a node replaces a container's address by its own."""
    return MASQUERADES((node, rule) for node, own in rules.items() for rule in own if rule.action == "MASQUERADE")


class _KindOfKey(NamedTuple):
    prefix: str
    keys: Sequence[StoreKey]
    meaning: str
    says: str


STORE_KEYS = Table[_KindOfKey](
    "One row per kind of key.",
    Column("keys under", lambda row: row.prefix, meaning="with what they begin (in etcd after ``/docker/``)"),
    Column("keys", lambda row: len(row.keys), WHOLE, meaning="how many there are"),
    Column("what it is", lambda row: row.meaning),
    Column("says", lambda row: row.says, meaning="what their values say"),
)

# (prefix of a key, its content), in the order of the table
_KINDS = (
    ("node/", "members of the swarm: role, state and address (raft, kept by the managers)"),
    ("swarm-network/", "networks of scope swarm, each with its VNI (raft, kept by the managers)"),
    ("heard/", "endpoints: who, with which address, on which node (gossip, on nodes with a container there)"),
    ("nodes/", "engines: each writes its address again every 20 s"),
    ("network/v1.0/network/", "networks of scope global"),
    ("network/v1.0/overlay/network/", "the overlay driver: VNI of each subnet"),
    ("network/v1.0/endpoint/", "endpoints: who, with which address, on which node"),
    ("network/v1.0/endpoint_count/", "how many endpoints a network has"),
    ("network/v1.0/ipam/default/config/", "pools of addresses"),
    ("network/v1.0/ipam/default/data/", "one bit an address: taken or free"),
    ("network/v1.0/idm/", "one bit a VNI: taken or free"),
)


@document_columns(STORE_KEYS)
def store_keys(keys: Sequence[StoreKey]) -> pd.DataFrame:
    """The keys of the store by kind (in etcd those under ``/docker``)."""
    rows, left = [], list(keys)
    for prefix, meaning in _KINDS:
        own = [item for item in left if item.key.removeprefix("/docker/").startswith(prefix)]
        left = [item for item in left if item not in own]
        if own:
            rows.append(_KindOfKey(prefix, own, meaning, _says(prefix, own, keys)))
    if left:
        others = ", ".join(item.key.removeprefix("/docker/") for item in left)
        rows.append(_KindOfKey("", left, "other keys", others[:80]))
    return STORE_KEYS(rows)


def _says(prefix: str, own: Sequence[StoreKey], keys: Sequence[StoreKey]) -> str:
    match prefix.removeprefix("network/v1.0/").split("/")[0]:
        case "node" | "swarm-network" | "heard":
            return ", ".join(_member_says(item) for item in own)
        case "nodes":
            left = [item.ttl for item in own if item.ttl is not None]
            return f"the next one ends in {min(left)} s unless renewed" if left else ""
        case "network":
            return ", ".join(name for name, _ in stored_networks(keys).values())
        case "endpoint_count":
            return ", ".join(f"{name}: {count}" for name, count in stored_networks(keys).values())
        case "overlay":
            vnis = stored_vnis(own).values()
            return ", ".join(f"{subnet} is VNI {vni}" for subnets in vnis for subnet, vni in subnets.items())
        case "endpoint":
            return ", ".join(f"{item.name} {item.address}" for item in stored_endpoints(own))
    free = ", ".join(f"{item.name}: {item.free} of {item.size} free" for item in stored_sets(own))
    return free or ", ".join(stored_pools(own))


def _member_says(item: StoreKey) -> str:
    """A short description of one object of a swarm."""
    name, value = item.key.partition("/")[2], json.loads(item.value)
    vni = (value.get("Options") or {}).get("com.docker.network.driver.overlay.vxlanid_list", "")
    words = value.get("role") or value.get("address") or (f"is VNI {vni}" if vni else "")
    return f"{name} {words}".strip()


class _EndpointInStore(NamedTuple):
    stored: StoredEndpoint
    ours: bool
    node: str
    agrees: bool


STORED_ENDPOINTS = Table[_EndpointInStore](
    "One row per endpoint in the store.",
    Column("endpoint", lambda row: row.stored.endpoint_id[:SHORT_ID], meaning="the first 12 digits of its ID"),
    Column("container", lambda row: row.stored.name),
    Column("ours", lambda row: row.ours, FLAG, meaning="whether the parameters want that container"),
    Column("address", lambda row: row.stored.address, meaning="in CIDR notation"),
    Column("MAC", lambda row: row.stored.mac),
    Column("locator", lambda row: row.stored.locator, meaning="the address of its node, as the store has it"),
    Column("node", lambda row: row.node, meaning="the node that has this address"),
    Column("as Docker says", lambda row: row.agrees, FLAG, meaning="whether the container's own engine says the same"),
)


@document_columns(STORED_ENDPOINTS)
def stored_endpoint_rows(
    rows: Iterable[StoredEndpoint],
    containers: Sequence[ContainerFacts],
    network: str,
    addresses: Mapping[str, str],
    wanted: Collection[str],
) -> pd.DataFrame:
    """A network's endpoints in the store, compared with those of the containers' own engines; ours come first.

    Args:
        rows: the endpoints in the store.
        containers: all that are on the network.
        network: its name.
        addresses: node → the address that is a locator.
        wanted: the names of our containers.
    """
    owners = {address: node for node, address in addresses.items()}
    truth = {item.endpoint_ids.get(network, ""): item for item in containers}
    found = []
    for row in rows:
        item, node = truth.get(row.endpoint_id), owners.get(row.locator, "")
        said = (row.name, row.address.partition("/")[0], row.mac or None, node)
        agrees = item is not None and said == (
            item.name,
            item.addresses.get(network),
            # engines of a swarm do not know the MAC of an endpoint that another one announced
            item.macs.get(network) if row.mac else None,
            item.node,
        )
        found.append(_EndpointInStore(row, row.name in wanted, node, agrees))
    return STORED_ENDPOINTS(sorted(found, key=lambda row: not row.ours))
