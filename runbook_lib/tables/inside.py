"""Tables about what Docker hides: an overlay's namespaces, name service and keys. Columns are told at each function."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

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
from runbook_lib.facts.overlay.interfaces import HostInterface, Inside
from runbook_lib.facts.overlay.name_service import NameService
from runbook_lib.tables.frame import FLAG, TEXT, WHOLE, frame
from runbook_lib.tables.overlay import SHORT_ID

NAMESPACE_COLUMNS = {
    "node": TEXT,
    "hidden namespace": TEXT,
    "containers here": TEXT,
    "others here": TEXT,
    "VNI": WHOLE,
    "UDP port": WHOLE,
}


def namespaces(
    nodes: Iterable[str],
    hidden: Mapping[str, HiddenNamespace],
    containers: Sequence[ContainerFacts],
    others: Sequence[ContainerFacts] = (),
) -> pd.DataFrame:
    """One row a node: its hidden namespace (empty without one), its containers on the overlay, VNI and port.

    ``others`` are containers on the overlay that are not ours.
    """
    rows = []
    for node in nodes:
        own = hidden.get(node)
        vxlan = own.vxlan if own else None
        rows.append(
            (
                node,
                own.name if own else "",
                ", ".join(item.name for item in containers if item.node == node),
                ", ".join(item.name for item in others if item.node == node),
                vxlan.vni if vxlan else None,
                vxlan.port if vxlan else None,
            )
        )
    return frame(rows, NAMESPACE_COLUMNS)


LINK_COLUMNS = {
    "node": TEXT,
    "interface": TEXT,
    "kind": TEXT,
    "port of": TEXT,
    "other end": TEXT,
    "address": TEXT,
    "MTU (bytes)": WHOLE,
}


def overlay_links(hidden: Iterable[HiddenNamespace], insides: Sequence[Inside]) -> pd.DataFrame:
    """One row an interface of a hidden namespace.

    ``other end`` is ``alpine1 eth0`` for a veth, ``VNI 256, UDP 4789`` for the VXLAN interface.
    """
    return frame(
        (
            (own.node, link.name, link.kind, link.bridge, _other_end(own.node, link, insides), link.address, link.mtu)
            for own in hidden
            for link in own.links
        ),
        LINK_COLUMNS,
    )


def _other_end(node: str, link: OverlayLink, insides: Sequence[Inside]) -> str:
    if link.kind == "vxlan":
        return f"the other nodes: VNI {link.vni}, UDP {link.port}"
    ends = [
        f"{inside.container.name} {item.name}"
        for inside in insides
        for item in inside.interfaces
        if inside.container.node == node and _are_ends(link.index, link.peer_index, item.index, item.peer_index)
    ]
    return ", ".join(ends)


def _are_ends(index: int, peer: int, other_index: int, other_peer: int) -> bool:
    return peer != 0 and (index, peer) == (other_peer, other_index)


CONTAINER_LINK_COLUMNS = {
    "interface": TEXT,
    "address": TEXT,
    "MAC": TEXT,
    "MTU (bytes)": WHOLE,
    "other end": TEXT,
    "which is a port of": TEXT,
    "routes": TEXT,
}


def container_links(inside: Inside, hidden: HiddenNamespace | None, host: Iterable[HostInterface]) -> pd.DataFrame:
    """One row an interface of a container, with the other end of its cable and where that leads.

    ``other end`` is ``veth0 in 1-b6aade677f`` or ``veth2c8abf9 on node3``; ``routes`` lists the destinations that leave
    by this interface, ``default`` for everything else.
    """
    places = []
    if hidden is not None:
        places += [(link.index, link.peer_index, f"{link.name} in {hidden.name}", link.bridge) for link in hidden.links]
    places += [(item.index, item.peer_index, f"{item.name} on {item.node}", item.master) for item in host]
    rows = []
    for item in inside.interfaces:
        end, bridge = next(
            (place[2:] for place in places if _are_ends(place[0], place[1], item.index, item.peer_index)), ("", "")
        )
        routes = [route.destination for route in inside.routes if route.interface == item.name]
        shown = ", ".join("default" if route == "0.0.0.0/0" else route for route in routes)
        address = f"{item.address}/{item.prefix_length}" if item.address else ""
        rows.append((item.name, address, item.mac, item.mtu, end, bridge, shown))
    return frame(rows, CONTAINER_LINK_COLUMNS)


RULE_COLUMNS = {
    "chain": TEXT,
    "protocol": TEXT,
    "from": TEXT,
    "to": TEXT,
    "action": TEXT,
    "becomes": TEXT,
    "there listens": TEXT,
}


def name_service(row: NameService) -> pd.DataFrame:
    """One row a rule that rewrites a question or its answer; ``there listens`` names the process at the new address."""
    listening = {(item.protocol, f"{item.address}:{item.port}"): item.process for item in row.listeners}
    return frame(
        (
            (
                rule.chain,
                rule.protocol,
                _end(rule.source, rule.source_port),
                _end(rule.destination, rule.destination_port),
                rule.action,
                rule.becomes,
                listening.get((rule.protocol, rule.becomes), "" if rule.action != "DNAT" else "nobody"),
            )
            for rule in row.rules
        ),
        RULE_COLUMNS,
    )


def _end(address: str, port: int | None) -> str:
    host = address.removesuffix("/32")
    return f"{host}:{port}" if port is not None else host


MASQUERADE_COLUMNS = {"node": TEXT, "from": TEXT, "leaving by": TEXT, "action": TEXT}


def masquerades(rules: Mapping[str, Sequence[NatRule]]) -> pd.DataFrame:
    """One row a node and rule that puts the node's own address in the place of a container's."""
    return frame(
        (
            (node, rule.source, f"anything but {rule.out[1:]}" if rule.out.startswith("!") else rule.out, rule.action)
            for node, own in rules.items()
            for rule in own
            if rule.action == "MASQUERADE"
        ),
        MASQUERADE_COLUMNS,
    )


KEY_COLUMNS = {"keys under": TEXT, "keys": WHOLE, "what it is": TEXT, "says": TEXT}

# (the beginning of a key, what is kept there), in the order in which they are told
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


def store_keys(keys: Sequence[StoreKey]) -> pd.DataFrame:
    """One row a kind of key (in etcd under ``/docker``): how many there are, what they are for, and what they say."""
    rows, left = [], list(keys)
    for prefix, meaning in _KINDS:
        own = [item for item in left if item.key.removeprefix("/docker/").startswith(prefix)]
        left = [item for item in left if item not in own]
        if own:
            rows.append((prefix, len(own), meaning, _says(prefix, own, keys)))
    if left:
        rows.append(("", len(left), "other keys", ", ".join(item.key.removeprefix("/docker/") for item in left)[:80]))
    return frame(rows, KEY_COLUMNS)


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
    """One object of a swarm in a few words."""
    name, value = item.key.partition("/")[2], json.loads(item.value)
    vni = (value.get("Options") or {}).get("com.docker.network.driver.overlay.vxlanid_list", "")
    words = value.get("role") or value.get("address") or (f"is VNI {vni}" if vni else "")
    return f"{name} {words}".strip()


STORED_ENDPOINT_COLUMNS = {
    "endpoint": TEXT,
    "container": TEXT,
    "ours": FLAG,
    "address": TEXT,
    "MAC": TEXT,
    "locator": TEXT,
    "node": TEXT,
    "as Docker says": FLAG,
}


def stored_endpoint_rows(
    rows: Iterable[StoredEndpoint],
    containers: Sequence[ContainerFacts],
    network: str,
    addresses: Mapping[str, str],
    wanted: Collection[str],
) -> pd.DataFrame:
    """One row an endpoint in the store, held against what the container's own engine says; ours (``wanted``) first.

    ``locator`` is the address in the store, ``node`` the node that has it; ``addresses`` maps nodes to theirs.
    """
    owners = {address: node for node, address in addresses.items()}
    truth = {item.endpoint_ids.get(network, ""): item for item in containers}
    table = []
    for row in rows:
        item, node = truth.get(row.endpoint_id), owners.get(row.locator, "")
        said = (row.name, row.address.partition("/")[0], row.mac or None, node)
        agrees = item is not None and said == (
            item.name,
            item.addresses.get(network),
            # engines of a swarm do not tell the MAC of an endpoint that they heard of
            item.macs.get(network) if row.mac else None,
            item.node,
        )
        ours = row.name in wanted
        table.append((row.endpoint_id[:SHORT_ID], row.name, ours, row.address, row.mac, row.locator, node, agrees))
    return frame(sorted(table, key=lambda row: not row[2]), STORED_ENDPOINT_COLUMNS)
