"""The ping matrix: every container pings every other by name and by address, in one round trip a node."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Probes
from runbook_lib.verify.probe import By, Probe
from runbook_lib.verify.prober import Method


def ping_matrix(
    cluster: Cluster,
    containers: Sequence[str],
    network: str,
    probes: Probes | None = None,
    *,
    by: Sequence[By] = ("name", "address"),
    expect_unreachable: Collection[str | tuple[str, str]] = (),
    last_known: Mapping[str, str] | None = None,
    method: Method = "auto",
) -> tuple[Probe, ...]:
    """Ping along all ordered pairs of the named containers, all at once.

    ``expect_unreachable`` holds containers (every pair with one of them) and ordered pairs (source, target) that must
    not answer. ``last_known`` gives the addresses to try for containers that have none on the network now.
    """
    raise NotImplementedError
