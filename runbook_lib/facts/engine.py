"""What an engine says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import reading
from runbook_lib.facts.swarm import NO_SWARM, SwarmState, parse_swarm

Mode = Literal["etcd", "swarm", "other", "none"]


@dataclass(frozen=True)
class EngineFacts:
    """One engine.

    ``mode`` tells where it keeps a multi-host network's state: ``etcd`` (an etcd cluster store is configured,
    reachable or not), ``swarm`` (it is part of a swarm), ``other`` (another kind of store), ``none``.
    """

    node: str
    version: str
    api_version: str
    engine_id: str
    mode: Mode
    cluster_store: str
    cluster_advertise: str
    storage_driver: str
    kernel: str
    operating_system: str
    containers_running: int
    swarm: SwarmState = NO_SWARM


def read_engine(node: Node) -> EngineFacts:
    """Ask a node's engine. Raises ``UnreachableError`` or ``EngineError``."""
    info, version = node.engine.info(), node.engine.version()
    with reading(node.name, "engine's answer"):
        return parse_engine(node.name, info, version)


def parse_engine(node: str, info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """Facts from ``GET /info`` and ``GET /version``. Raises ``ValueError`` when an essential key is missing."""
    missing = [key for key in ("ID", "ServerVersion", "Driver") if key not in info]
    if missing or "ApiVersion" not in version:
        raise ValueError(f"no {', '.join(missing) or 'ApiVersion'} in the answer")
    store = str(info.get("ClusterStore") or "")
    swarm = parse_swarm(info.get("Swarm") or {})
    return EngineFacts(
        node=node,
        version=str(info["ServerVersion"]),
        api_version=str(version["ApiVersion"]),
        engine_id=str(info["ID"]),
        mode=_mode(store, swarm.state),
        cluster_store=store,
        cluster_advertise=str(info.get("ClusterAdvertise") or swarm.address),
        storage_driver=str(info["Driver"]),
        kernel=str(info.get("KernelVersion") or ""),
        operating_system=str(info.get("OperatingSystem") or ""),
        containers_running=int(info.get("ContainersRunning") or 0),
        swarm=swarm,
    )


def parse_version(version: str) -> tuple[int, ...]:
    """``20.10.24+dfsg1`` as ``(20, 10, 24)``."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _mode(store: str, swarm: str) -> Mode:
    if swarm != "inactive":
        return "swarm"
    if not store:
        return "none"
    return "etcd" if store.startswith("etcd://") else "other"
