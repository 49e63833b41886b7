"""Waiting for the cluster store, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster
from runbook_lib.facts.etcd import EtcdMember, read_members
from runbook_lib.facts.gossip import read_gossip
from runbook_lib.facts.host import read_host
from runbook_lib.facts.registrations import StoreRegistration, read_registrations
from runbook_lib.model.parameters import Parameters
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, frame

_PAUSE = 0.25


@dataclass(frozen=True)
class StoreState:
    """The cluster store at one moment; seconds count from the last node's boot, ``None`` where it is not so yet."""

    member_facts: tuple[EtcdMember, ...]
    registration_facts: tuple[StoreRegistration, ...]
    gossiping: frozenset[str]
    seconds_to_healthy: float | None = None
    seconds_to_connected: float | None = None
    watched: bool = False

    @property
    def members(self) -> pd.DataFrame:
        """Columns: member, node, container, restart policy, health, leader, client URL, detail."""
        return tables.members(self.member_facts)

    @property
    def registrations(self) -> pd.DataFrame:
        """Columns: node, advertises, connected, gossips, last heartbeat (s ago), detail."""
        table = tables.registrations(self.registration_facts)
        table.insert(3, "gossips", table["node"].isin(list(self.gossiping)).astype(FLAG))  # type: ignore[call-overload]
        return table

    @property
    def healthy(self) -> int:
        """How many members are healthy."""
        return sum(member.health == "healthy" for member in self.member_facts)

    @property
    def leaders(self) -> int:
        """How many members say that they lead."""
        return sum(member.leader for member in self.member_facts)

    @property
    def connected(self) -> int:
        """How many engines are connected to the store and, through it, have joined each other's gossip."""
        return sum(row.connected and row.node in self.gossiping for row in self.registration_facts)

    @property
    def ready(self) -> bool:
        """True when every member is healthy, one leads, and every engine is connected."""
        return (
            self.healthy == len(self.member_facts)
            and self.leaders == 1
            and self.connected == len(self.registration_facts)
        )

    @property
    def timing(self) -> pd.DataFrame:
        """Columns: from the last node's boot until, time (s), measured (``exactly`` or ``at most``)."""
        how = "while waiting" if self.watched else "at most"
        rows = [
            ("every member is healthy and one leads", self.seconds_to_healthy, how),
            ("every engine is connected to its store", self.seconds_to_connected, how),
        ]
        return frame(rows, {"from the last node's boot until": TEXT, "time (s)": DECIMAL, "measured": TEXT})


def wait_for_store(cluster: Cluster, parameters: Parameters) -> StoreState:
    """Read the store again and again until it is ready, at most ``timeouts.converge`` seconds (in plan mode once).

    Running out of time is no error here: the state tells what is missing, and the notebook's expectations fail.
    """
    booted = _last_boot(cluster)
    deadline = time.monotonic() + parameters.timeouts.converge
    to_healthy: float | None = None
    watched = False
    while True:
        state = read_store(cluster, parameters)
        if to_healthy is None and state.healthy == len(state.member_facts) and state.leaders == 1:
            to_healthy = _since(booted)
        to_connected = _since(booted) if state.ready else None
        state = replace(state, seconds_to_healthy=to_healthy, seconds_to_connected=to_connected, watched=watched)
        if state.ready or parameters.plan or time.monotonic() > deadline:
            return state
        watched = True
        time.sleep(_PAUSE)


def read_store(cluster: Cluster, parameters: Parameters) -> StoreState:
    """Read the store once: members, registrations, and which engines gossip."""
    gossip = {outcome.node for outcome in cluster.each(read_gossip) if outcome.value}
    members = read_members(cluster, parameters.etcd)
    registrations = read_registrations(cluster, parameters.etcd)
    return StoreState(members, registrations, frozenset(gossip))


def _last_boot(cluster: Cluster) -> float | None:
    """When the node that booted last did so, by this machine's clock; ``None`` when a node does not answer."""
    hosts = [outcome.value for outcome in cluster.each(read_host)]
    times = [host.started_at - host.clock_offset_ms / 1000 for host in hosts if host is not None]
    return max(times) if len(times) == len(hosts) else None


def _since(moment: float | None) -> float | None:
    return None if moment is None else round(time.time() - moment, 1)


@dataclass(frozen=True)
class Outage:
    """The store after a power cycle, and per node whether its member was to start by itself."""

    store: StoreState
    expected: dict[str, bool]

    @property
    def table(self) -> pd.DataFrame:
        """Columns: member, node, container, restart policy, runs, health."""
        rows = [
            (
                item.name,
                item.node,
                item.container_state,
                item.restart_policy,
                item.container_state == "running",
                item.health,
            )
            for item in self.store.member_facts
        ]
        columns = {
            "member": TEXT,
            "node": TEXT,
            "container": TEXT,
            "restart policy": TEXT,
            "runs": FLAG,
            "health": TEXT,
        }
        return frame(rows, columns)

    @property
    def connected(self) -> bool:
        """Whether every engine is connected to its store; ``False`` also when only some are."""
        return self.store.connected == len(self.store.registration_facts)

    @property
    def should_connect(self) -> bool:
        """Whether every engine should be: all members start by themselves."""
        return bool(self.expected) and all(self.expected.values())
