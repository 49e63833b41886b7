from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from runbook_lib.charts import ClusterView
from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.docker.networks import NetworkFacts
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model.inventory import ClusterNetwork

NETWORK = ClusterNetwork(interface="eth1", subnet="192.168.99.0/24")


def address(node: str, value: str | None, expected: str = "") -> ClusterAddress:
    return ClusterAddress(node, "eth1", value, 24, "02:00:00:00:01:01", expected or value or "", "static")


def container(node: str, name: str, *, on: str = "", state: str = "running") -> ContainerFacts:
    addresses = {"ovr0": on} if on else {}
    return ContainerFacts(node, "id", name, "alpine", "sha", "sh", state, state, "no", addresses=addresses)


def gossip_of(names: Sequence[str], islands: Sequence[Collection[str]]) -> list[Gossip]:
    """Engines that know just those of their own island."""
    at = {name: f"192.168.99.{place + 25}" for place, name in enumerate(names)}
    return [Gossip(name, at[name], frozenset(at[other] for other in land)) for land in islands for name in land]


def view_of(nodes: int, containers: int) -> ClusterView:
    names = [f"node{number}" for number in range(1, nodes + 1)]
    networks = [NetworkFacts(name, "13e8806640ab", "ovr0", "overlay", "global", "10.0.0.0/16", "") for name in names]
    bridges = [NetworkFacts(name, name, "docker_gwbridge", "bridge", "local", "172.18.0.0/16", "") for name in names]
    return ClusterView(
        names,
        NETWORK,
        "ovr0",
        addresses=[address(name, f"192.168.99.{place + 25}") for place, name in enumerate(names)],
        engines=[
            EngineFacts(name, "20.10.24", "1.41", name, "etcd", "etcd://", "", "overlay2", "6.1", "Debian", 1)
            for name in names
        ],
        registrations=[Registration(name, "a", True) for name in names],
        members=[
            Member(f"etcd{place + 1}", name, "running", "no", "healthy", place == 0, "")
            for place, name in enumerate(names[:3])
        ],
        networks=[*networks, *bridges],
        vnis={"13e8806640ab": 256},
        gossip=gossip_of(names, [set(names)]),
        containers=[
            container(name, f"alpine{place * containers + number}", on=f"10.0.{place}.{number}")
            for place, name in enumerate(names)
            for number in range(1, containers + 1)
        ],
    )


@pytest.fixture
def view() -> ClusterView:
    """Four healthy nodes with a container each."""
    return view_of(4, 1)
