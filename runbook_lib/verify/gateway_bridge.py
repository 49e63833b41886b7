"""The experiment that shows what docker_gwbridge is for: count packets while pinging the overlay, then the outside."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.cluster import Cluster
from runbook_lib.model.results import Check


@dataclass(frozen=True)
class Traffic:
    """Packets that one interface counted while one kind of traffic flowed."""

    traffic: str
    node: str
    interface: str
    role: str
    packets_before: int
    packets_after: int
    moved: int


@dataclass(frozen=True)
class BridgeExperiment:
    """The counters, the container's default route, and the verdicts."""

    traffic: tuple[Traffic, ...]
    default_route: str
    checks: tuple[Check, ...]


def gateway_bridge_experiment(
    cluster: Cluster, container: str, peer: str, network: str, *, packets: int = 20
) -> BridgeExperiment:
    """Ping the peer over the overlay, then another node's address, and compare what each interface counted."""
    raise NotImplementedError
