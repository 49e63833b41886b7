"""What the engines keep in the cluster store, and whether each engine is connected to it now.

The layout is libnetwork's (``datastore/datastore.go``: ``docker/network/v1.0``, then the ``KeyPrefix`` of the object);
``/docker/nodes`` holds the engines' registrations. An engine up to 20.10 with ``--cluster-advertise`` writes
``/docker/nodes/<advertised address>`` every heartbeat (20 s) with a time to live of three heartbeats (60 s), unless
``--cluster-store-opt kv.path``, ``discovery.heartbeat`` and ``discovery.ttl`` differ; right after its start it tries
twice a second (moby, ``daemon/discovery.go``).

After a power cycle the key alone proves nothing: it outlives the engine that wrote it. So the age of the last heartbeat
(time to live minus seconds left, both by the store's clock) is compared with the age of dockerd's process: a heartbeat
older than the process came from another process. The key is read with ``quorum=true``: without it, a store that lost
its quorum still returns old keys.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.control_planes.base import Registration, StoredEndpoint, StoreKey
from runbook_lib.facts.control_planes.etcd.access import (
    FETCH_FIRST,
    PLAIN,
    StoreAccess,
    has_client,
    http_status,
    no_answer,
    parse_json,
    parse_store_options,
    read_access,
    v2_trouble,
)
from runbook_lib.facts.host.host import process_age
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.base import parse_etcd_url
from runbook_lib.model.parameters import Etcd

DEFAULT_HEARTBEAT_SECONDS = 20
DEFAULT_TTL_SECONDS = 60
# the store counts whole seconds, and a heartbeat may be late on a busy machine
GRACE_SECONDS = 3


@dataclass(frozen=True)
class Discovery:
    """How often an engine registers itself, and how long a registration lives, in seconds."""

    heartbeat: int = DEFAULT_HEARTBEAT_SECONDS
    ttl: int = DEFAULT_TTL_SECONDS


# Arguments: the URLs of the key, one per store member; the first that answers is enough.
_REGISTRATION_SCRIPT = (
    FETCH_FIRST
    + """\
command_line() {
    cat "/proc/$1/cmdline" | tr '\\0' '\\t'
}
read -r engine </var/run/docker.pid
section uptime cat /proc/uptime
section ticks getconf CLK_TCK
section stat cat "/proc/$engine/stat"
section command command_line "$engine"
section settings cat /etc/docker/daemon.json
section key fetch_first "$@"
# a refusal: the key does not exist, or the member has no v2 API
case $status/$answer in
6/*|8/*|22/*|*/*'HTTP/1.'*)
    section root fetch "${url%%/v2/*}/v2/keys"
    section version fetch "${url%%/v2/*}/version"
    ;;
esac
"""
)


def read_registrations(cluster: Cluster, etcd: Etcd) -> tuple[Registration, ...]:
    """Every engine's connection to its store, read from its own node: one row per node, in the inventory's order.

    A node or engine that does not answer gives a row that is not connected, with the reason as its detail.
    """
    rows = []
    for outcome in cluster.each(lambda node: read_registration(node, etcd)):
        if outcome.error is not None:
            rows.append(Registration(outcome.node, "", False, detail=outcome.error.message))
        else:
            rows.append(outcome.result)
    return tuple(rows)


def read_registration(node: Node, etcd: Etcd) -> Registration:
    """One engine's connection to its store.

    Raises:
        UnreachableError: node or engine do not answer.
        NodeError: the store's answer is not etcd's.
    """
    info = node.engine.info()
    store, address = str(info.get("ClusterStore") or ""), str(info.get("ClusterAdvertise") or "")
    row = Registration(node.name, address, False)
    if not store:
        return replace(row, detail="the engine has no cluster store (--cluster-store)")
    if not address:
        return replace(row, detail="the engine does not advertise itself (--cluster-advertise)")
    with reading(node.name, f"cluster store {store}"):
        access = read_access(node)
        urls = key_urls(store, address, access)
    sections = read_sections(node, access.fetch + _REGISTRATION_SCRIPT, *urls, sudo=access.secure)
    with reading(node.name, "registration in the cluster store"):
        return parse_registration(row, sections, access)


def key_urls(store: str, address: str, access: StoreAccess = PLAIN) -> tuple[str, ...]:
    """The URL of an engine's registration at each member of the store; raises as ``store_urls``."""
    return tuple(f"{url}?quorum=true" for url in store_urls(store, f"{access.path}/{address}", access.scheme))


def store_urls(store: str, key: str, scheme: str = "http") -> tuple[str, ...]:
    """Where a key stands, at each member of the store. Raises ``ValueError`` for one that is not etcd's."""
    url = parse_etcd_url(store)
    if not url.members:
        raise ValueError(f"{store!r} is not an etcd URL")
    path = f"{url.prefix}/{key}" if url.prefix else key
    return tuple(f"{scheme}://{member}/v2/keys/{path}" for member in url.members)


def parse_registration(row: Registration, sections: Mapping[str, Section], access: StoreAccess = PLAIN) -> Registration:
    """Judge a registration by the sections uptime, ticks, stat, command, settings and key; root and version, if read.

    Raises:
        ValueError: an unreadable section.
    """
    asked = sections["key"]
    if not has_client(asked):
        raise ValueError(asked.text.strip())
    process = sections["stat"]
    if process.exit_status != 0:
        return replace(row, detail="no process has the pid in /var/run/docker.pid")
    if http_status(asked) == 404:
        return replace(row, detail=_without_key(sections))
    if asked.exit_status != 0:
        return replace(row, detail=f"no member of the store answers this node: {no_answer(asked, access)}")
    left = time_to_live(asked.text)
    if left is None:
        return replace(row, detail="the registration has no time to live: it is not an engine's")
    discovery = parse_discovery(sections["command"].text, sections["settings"])
    age = discovery.ttl - left
    row = replace(row, heartbeat_age_s=float(age))
    running = process_age(process.text, sections["uptime"], sections["ticks"])
    if age < 0:
        return replace(
            row, detail=f"the registration has {left} s left, more than its time to live of {discovery.ttl} s"
        )
    if age > running:
        return replace(row, detail=f"the last heartbeat ({age} s ago) is older than this dockerd ({running:.0f} s)")
    if age > discovery.heartbeat + GRACE_SECONDS:
        return replace(row, detail=f"no heartbeat for {age} s; one is due every {discovery.heartbeat} s")
    return replace(row, connected=True)


def _without_key(sections: Mapping[str, Section]) -> str:
    if "root" not in sections:
        return "the store has no registration of this engine (or its v2 API is off)"
    if http_status(sections["root"]) == 404:
        return f"engines cannot use the store: {v2_trouble(etcd_version(sections['version']))}"
    return "the store has no registration of this engine"


def etcd_version(section: Section) -> str:
    """The version in etcd's ``/version``; empty without an answer. Raises ``ValueError``."""
    return str(parse_json(section.text).get("etcdserver") or "") if section.exit_status == 0 else ""


def time_to_live(text: str) -> int | None:
    """Seconds that an etcd v2 key has left, ``None`` if unlimited. Raises ``ValueError``."""
    node = parse_json(text).get("node")
    if not isinstance(node, dict) or "key" not in node:
        raise ValueError(f"not an etcd v2 key: {text[:80]!r}")
    left = node.get("ttl")
    return None if left is None else int(left)


def parse_discovery(command_line: str, settings: Section) -> Discovery:
    """Heartbeat and time to live from dockerd's tab-separated arguments and daemon.json (absent: no such file).

    A heartbeat alone makes the time to live three heartbeats, as in dockerd. Raises ``ValueError``.
    """
    options = parse_store_options(command_line, settings)
    heartbeat = int(options.get("discovery.heartbeat") or 0)
    ttl = int(options.get("discovery.ttl") or 0)
    if heartbeat and not ttl:
        ttl = heartbeat * 3
    if ttl and not heartbeat:
        heartbeat = max(1, ttl // 3)
    return Discovery(heartbeat or DEFAULT_HEARTBEAT_SECONDS, ttl or DEFAULT_TTL_SECONDS)


_SCRIPT = FETCH_FIRST + 'section keys fetch_first "$@"\n'
_NETWORK = "/docker/network/v1.0/"


@dataclass(frozen=True)
class PoolUsage:
    """How much of a pool of addresses, or of the VNIs, is free."""

    name: str
    size: int
    free: int


def read_store_keys(cluster: Cluster) -> tuple[StoreKey, ...]:
    """Every key under ``/docker`` with a value, read from the first node that gets an answer.

    Raises:
        NodeError: no node gets one.
    """
    outcomes = []
    for node in cluster:  # one answer is enough: all nodes use the same store
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
    """The keys with a value in a recursive answer of etcd's v2 API. Raises ``ValueError``."""
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
    """The endpoints among the keys. Raises ``ValueError`` or ``KeyError`` for a key not written by libnetwork."""
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
    """Per network ID, the VNI of each subnet (CIDR)."""
    found = {}
    for item in keys:
        if item.key.startswith(f"{_NETWORK}overlay/network/"):
            subnets = json.loads(item.value).get("subnets") or ()
            found[item.key.rpartition("/")[2]] = {str(subnet["SubnetIP"]): int(subnet["Vni"]) for subnet in subnets}
    return found


def stored_networks(keys: Sequence[StoreKey]) -> dict[str, tuple[str, int | None]]:
    """Per network ID, its name and count of endpoints (``None`` if the store has none)."""
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


def stored_sets(keys: Sequence[StoreKey]) -> tuple[PoolUsage, ...]:
    """Pools of addresses and the set of VNIs, each with how much of it is free. Raises ``ValueError``.

    libnetwork stores a set as a bit sequence that begins with two 64-bit numbers: how many there are and how many are
    free (``bitseq/sequence.go``: ``ToByteArray``).
    """
    found = []
    for item in keys:
        if "/ipam/default/data/" in item.key or "/idm/" in item.key:
            value = json.loads(item.value)
            packed = base64.b64decode(value["sequence"])
            if len(packed) < 16:
                raise ValueError(f"{item.key} is not a bit sequence")
            size, free = struct.unpack_from(">QQ", packed)
            found.append(PoolUsage(str(value["id"]).rpartition("GlobalDefault/")[2], size, free))
    return tuple(found)
