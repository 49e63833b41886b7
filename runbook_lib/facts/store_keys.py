"""What the engines keep in the cluster store: every key under ``/docker``, and what the overlay's keys say.

The layout is libnetwork's (``datastore/datastore.go``: ``docker/network/v1.0``, then the ``KeyPrefix`` of what is
stored); ``/docker/nodes`` is the engines' discovery.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.fetch import FETCH_FIRST, http_status, parse_json
from runbook_lib.facts.reading import read_sections, reading
from runbook_lib.facts.registrations import store_urls
from runbook_lib.facts.store_access import no_answer, read_access
from runbook_lib.facts.stored import StoredEndpoint, StoreKey

_SCRIPT = FETCH_FIRST + 'section keys fetch_first "$@"\n'
_NETWORK = "/docker/network/v1.0/"


@dataclass(frozen=True)
class Taken:
    """How much of a set of numbers is in use: a pool's addresses, or the VNIs."""

    name: str
    size: int
    free: int


def read_store_keys(cluster: Cluster) -> tuple[StoreKey, ...]:
    """Every key under ``/docker`` that has a value, asked by the first node that gets an answer.

    Raises:
        NodeError: no node gets one.
    """
    outcomes = []
    for node in cluster:  # one answer is enough: it is the same store
        outcomes = cluster.each(_read, nodes=[node])
        if outcomes[0].error is None:
            break
    return outcomes[0].result


def _read(node: Node) -> tuple[StoreKey, ...]:
    store = str(node.engine.info().get("ClusterStore") or "")
    with reading(node.name, f"cluster store {store}"):
        access = read_access(node)
        urls = [f"{url}?recursive=true&sorted=true&quorum=true" for url in store_urls(store, "docker", access.scheme)]
    section = read_sections(node, access.fetch + _SCRIPT, *urls, sudo=access.secure)["keys"]
    if http_status(section) == 404:
        return ()
    if section.exit_status != 0:
        trouble = no_answer(section, access)
        raise NodeError(node.name, f"no member of the store answers: {trouble.found}", remedy=trouble.remedy)
    with reading(node.name, "keys of the cluster store"):
        return parse_store_keys(section.text)


def parse_store_keys(text: str) -> tuple[StoreKey, ...]:
    """The keys with a value in a recursive answer of etcd's v2 API. Raises ``ValueError`` for another answer."""
    root = parse_json(text).get("node")
    if not isinstance(root, dict):
        raise ValueError(f"not an etcd v2 key: {text[:80]!r}")
    return tuple(_leaves(root))


def _leaves(node: Mapping[str, Any]) -> Iterator[StoreKey]:
    if not node.get("dir"):
        # with a prefix in --cluster-store the path begins before /docker
        key = str(node["key"])
        left = node.get("ttl")
        yield StoreKey(key[key.index("/docker") :], str(node.get("value") or ""), None if left is None else int(left))
    for child in node.get("nodes") or ():
        yield from _leaves(child)


def stored_endpoints(keys: Sequence[StoreKey]) -> tuple[StoredEndpoint, ...]:
    """The endpoints among the keys. Raises ``ValueError`` or ``KeyError`` for one that libnetwork did not write."""
    found = []
    for item in keys:
        if item.key.startswith(f"{_NETWORK}endpoint/"):
            network_id, endpoint_id = item.key.split("/")[-2:]
            value = json.loads(item.value)
            interface = value.get("ep_iface") or {}
            found.append(
                StoredEndpoint(
                    network_id=network_id,
                    endpoint_id=endpoint_id,
                    name=str(value["name"]),
                    address=str(interface.get("addr") or ""),
                    mac=str(interface.get("mac") or ""),
                    locator=str(value.get("locator") or ""),
                )
            )
    return tuple(sorted(found, key=lambda item: item.name))


def stored_vnis(keys: Sequence[StoreKey]) -> dict[str, dict[str, int]]:
    """Network ID to its subnets (CIDR) with the VNI of each, as the overlay driver wrote them."""
    found = {}
    for item in keys:
        if item.key.startswith(f"{_NETWORK}overlay/network/"):
            subnets = json.loads(item.value).get("subnets") or ()
            found[item.key.rpartition("/")[2]] = {str(subnet["SubnetIP"]): int(subnet["Vni"]) for subnet in subnets}
    return found


def stored_networks(keys: Sequence[StoreKey]) -> dict[str, tuple[str, int | None]]:
    """Network ID to its name and its count of endpoints (``None`` where the store has none)."""
    counts = {
        item.key.rpartition("/")[2]: int(json.loads(item.value)["Count"])
        for item in keys
        if item.key.startswith(f"{_NETWORK}endpoint_count/")
    }
    found = {}
    for item in keys:
        if item.key.startswith(f"{_NETWORK}network/"):
            network_id = item.key.rpartition("/")[2]
            found[network_id] = (str(json.loads(item.value)["name"]), counts.get(network_id))
    return found


def stored_pools(keys: Sequence[StoreKey]) -> tuple[str, ...]:
    """The subnets (CIDR) from which addresses of global networks are taken."""
    found = []
    for item in keys:
        if item.key.startswith(f"{_NETWORK}ipam/default/config/"):
            found += [str(pool["Pool"]) for pool in (json.loads(item.value).get("Subnets") or {}).values()]
    return tuple(found)


def stored_sets(keys: Sequence[StoreKey]) -> tuple[Taken, ...]:
    """Pools of addresses and the set of VNIs, each with how much of it is free. Raises ``ValueError``.

    libnetwork keeps a set as a sequence of bits that begins with two 64-bit numbers, how many there are and how many
    are not taken (``bitseq/sequence.go``: ``ToByteArray``).
    """
    found = []
    for item in keys:
        if "/ipam/default/data/" in item.key or "/idm/" in item.key:
            value = json.loads(item.value)
            packed = base64.b64decode(value["sequence"])
            if len(packed) < 16:
                raise ValueError(f"{item.key} holds no sequence of bits")
            size, free = struct.unpack_from(">QQ", packed)
            found.append(Taken(str(value["id"]).rpartition("GlobalDefault/")[2], size, free))
    return tuple(found)
