"""Pre-flight checks: what an overlay needs of its nodes, each tested rather than assumed."""

from __future__ import annotations

from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Etcd, Overlay
from runbook_lib.model.results import Check


def preflight(cluster: Cluster, etcd: Etcd | None = None, overlay: Overlay | None = None) -> tuple[Check, ...]:
    """All checks, in a fixed order. One row a node or an ordered pair of nodes; every node answers."""
    raise NotImplementedError
