"""Waiting for the cluster store, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.engine import engine_last_line
from runbook_lib.facts.host.host import read_host
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Verdict
from runbook_lib.tables.frame import DECIMAL, FLAG, Column, Table, document_columns
from runbook_lib.waiting import Deadline

_PAUSE = 0.25


@dataclass(frozen=True)
class Milestone:
    """When a state was reached, in seconds from the last node's boot; ``None`` if it was not, or if that is unknown.

    ``awaited`` is false if it held at the first reading already: then it took at most that long.
    """

    seconds: float | None = None
    awaited: bool = False

    @property
    def measured(self) -> str:
        """How to read the time."""
        if self.seconds is None:
            return "not yet"
        return "while waiting" if self.awaited else "at most"


TIMING = Table[tuple[str, Milestone]](
    "One row per milestone.",
    Column("from the last node's boot until", lambda row: row[0]),
    Column("time", lambda row: row[1].seconds, DECIMAL, "s"),
    Column("measured", lambda row: row[1].measured, meaning="``while waiting``, ``at most`` or ``not yet``"),
)

RUNNING_MEMBERS = tables.members.only("member", "node", "container", "restart policy", "health").with_column(
    Column("runs", lambda row: row.container_state == "running", FLAG), 4
)


def _registration_table(gossiping: Collection[str] = ()) -> Table[Registration]:
    meaning = "whether it takes part in the engines' gossip"
    return tables.registrations.with_column(Column("gossips", lambda row: row.node in gossiping, FLAG, "", meaning), 3)


@dataclass(frozen=True)
class StoreState:
    """The cluster store's state, and how long it took to reach it."""

    member_facts: tuple[Member, ...]
    registration_facts: tuple[Registration, ...]
    gossip_facts: tuple[Gossip, ...]
    became_healthy: Milestone = Milestone()
    became_connected: Milestone = Milestone()
    last_lines: Mapping[str, str] = field(default_factory=dict)

    @property
    @document_columns(tables.members)
    def members(self) -> pd.DataFrame:
        """The members of the control plane."""
        return tables.members(self.member_facts)

    @property
    @document_columns(_registration_table())
    def registrations(self) -> pd.DataFrame:
        """Whether every engine is connected to its control plane."""
        gossiping = {row.node for row in self.gossip_facts if row.address and not row.trouble}
        return _registration_table(gossiping)(self.registration_facts)

    @property
    def member_checks(self) -> tuple[Check, ...]:
        """Whether each member is healthy; for one that is not, the fault and the end of its log."""
        claim = "every member is healthy"
        return tuple(
            Check(claim, row.node, Verdict.PASS, f"{row.name} healthy", "healthy")
            if row.health == "healthy"
            else Check(claim, row.node, Verdict.FAIL, f"{row.name} healthy", self._told(row), row.remedy)
            for row in self.member_facts
        )

    @property
    def leader_checks(self) -> tuple[Check, ...]:
        """Whether there is exactly one leader; if not, which members lead, and the state of all."""
        leaders = [row for row in self.member_facts if row.leader]
        names = ", ".join(row.name for row in self.member_facts)
        found = " and ".join(f"{row.name} on {row.node}" for row in leaders) or "none of them"
        if len(leaders) != 1:
            states = (f"{row.name} on {row.node or 'no node'} is {row.health}" for row in self.member_facts)
            found = f"{found}: {', '.join(states)}"
        verdict = Verdict.PASS if len(leaders) == 1 else Verdict.FAIL
        return (Check("exactly one member leads", "", verdict, f"one of {names}", found),)

    @property
    def engine_checks(self) -> tuple[Check, ...]:
        """Whether each engine is connected to its store; for one that is not, the reason and the end of its log."""
        claim = "every engine is connected to its store"
        silent = self._silent
        return tuple(
            Check(claim, row.node, Verdict.PASS, "connected", "connected")
            if row.connected and row.node not in silent
            else Check(claim, row.node, Verdict.FAIL, "connected", self._why(row))
            for row in self.registration_facts
        )

    @property
    def _silent(self) -> set[str]:
        """The nodes whose engine does not take part in the gossip."""
        gossiping = {row.node for row in self.gossip_facts if row.address and not row.trouble}
        return {row.node for row in self.registration_facts} - gossiping

    def _told(self, member: Member) -> str:
        told = f"{member.name} {member.health}" + (f": {member.detail}" if member.detail else "")
        return self._with_log(told, member.name)

    def _why(self, row: Registration) -> str:
        why = row.detail or "not connected" if not row.connected else "it does not take part in the engines' gossip"
        return self._with_log(why, _log_of_engine(row.node))

    def _with_log(self, told: str, whose: str) -> str:
        """The text with the end of the log, if that was read."""
        return f"{told}; its log ends: {self.last_lines[whose]}" if whose in self.last_lines else told

    @property
    def healthy(self) -> int:
        """How many members are healthy."""
        return sum(member.health == "healthy" for member in self.member_facts)

    @property
    def leaders(self) -> int:
        """How many members report that they are leader."""
        return sum(member.leader for member in self.member_facts)

    @property
    def connected(self) -> int:
        """How many engines are connected to the store and take part in the gossip."""
        return sum(row.connected and row.node not in self._silent for row in self.registration_facts)

    @property
    def decides(self) -> bool:
        """True when every member is healthy and one leads."""
        return self.healthy == len(self.member_facts) and self.leaders == 1

    @property
    def ready(self) -> bool:
        """True when every member is healthy, one leads, and every engine is connected."""
        return self.decides and self.connected == len(self.registration_facts)

    @property
    @document_columns(TIMING)
    def timing(self) -> pd.DataFrame:
        """How long it took."""
        return TIMING(
            [
                ("every member is healthy and one leads", self.became_healthy),
                ("every engine is connected to its store", self.became_connected),
            ]
        )


def _is_ready(state: StoreState) -> bool:
    return state.ready


def wait_for_store(
    cluster: Cluster, parameters: Parameters, until: Callable[[StoreState], bool] = _is_ready
) -> StoreState:
    """Read the store repeatedly until it is ready, at most ``timeouts.converge`` seconds (once in plan mode).

    A timeout does not raise: the returned state shows what is missing, with the end of the logs concerned, and the
    notebook's checks fail.

    Raises:
        RunbookError: no node answers at all.
    """
    booted = _last_boot(cluster)
    deadline = Deadline(0.0 if parameters.plan else parameters.timeouts.converge)
    healthy = connected = Milestone()
    awaited = False
    while True:
        state = read_store(cluster, parameters)
        now = Milestone(None if booted is None else round(time.time() - booted, 1), awaited)
        healthy = (healthy if healthy.seconds is not None else now) if state.decides else Milestone()
        connected = now if state.ready else Milestone()
        state = replace(state, became_healthy=healthy, became_connected=connected)
        if until(state):
            return state
        if deadline.passed:
            return replace(state, last_lines=_last_lines(cluster, parameters, state))
        awaited = True
        time.sleep(_PAUSE)


def read_store(cluster: Cluster, parameters: Parameters) -> StoreState:
    """Read the store once: members, registrations, and which engines take part in the gossip."""
    control_plane = control_plane_of(parameters)
    outcomes = cluster.each(control_plane.read_gossip)
    gossip = tuple(outcome.value for outcome in outcomes if outcome.value is not None)
    members = control_plane.read_members(cluster)
    return StoreState(members, control_plane.read_registrations(cluster), gossip)


def _last_lines(cluster: Cluster, parameters: Parameters, state: StoreState) -> dict[str, str]:
    """The last log lines of each member that is not healthy and each engine that is not connected, by name."""
    control_plane = control_plane_of(parameters)
    members = [row for row in state.member_facts if row.health != "healthy" and row.node]
    engines = {check.node for check in state.engine_checks if check.verdict is Verdict.FAIL}

    def read(node: Node) -> dict[str, str]:
        found = {row.name: control_plane.read_last_line(node, row) for row in members if row.node == node.name}
        return {_log_of_engine(node.name): engine_last_line(node)} | found if node.name in engines else found

    lines: dict[str, str] = {}
    for outcome in cluster.each(read):
        lines |= outcome.result
    return lines


def _log_of_engine(node: str) -> str:
    return f"engine of {node}"


def _last_boot(cluster: Cluster) -> float | None:
    """The boot time of the node that booted last, by this machine's clock; ``None`` if a node does not answer."""
    hosts = [outcome.value for outcome in cluster.each(read_host)]
    times = [host.started_at - host.clock_offset_ms / 1000 for host in hosts if host is not None]
    return max(times) if len(times) == len(hosts) else None


@dataclass(frozen=True)
class Outage:
    """The store after a power cycle, and per node with a member whether something ``starts`` it at boot.

    If no node was ``restarted``, a member without autostart may run too, because it was started manually.
    """

    store: StoreState
    starts: Mapping[str, bool] = field(default_factory=dict)
    restarted: bool = False

    @property
    def expected(self) -> dict[str, bool]:
        """Whether each node's member should run; nodes for which this is unknown are left out."""
        return {node: starts for node, starts in self.starts.items() if starts or self.restarted}

    @property
    @document_columns(RUNNING_MEMBERS)
    def table(self) -> pd.DataFrame:
        """Whether every member runs."""
        return RUNNING_MEMBERS(self.store.member_facts)

    @property
    def connected(self) -> bool:
        """Whether every engine is connected to its store; ``False`` also when only some are."""
        return self.store.connected == len(self.store.registration_facts)

    @property
    def engine_checks(self) -> tuple[Check, ...]:
        """Whether engines have their store if and only if the members that it needs run."""
        if self.should_connect:
            return self.store.engine_checks
        names = ", ".join(row.name for row in self.store.member_facts if not self.starts.get(row.node))
        expected = f"not every engine connected, because nothing starts {names}"
        verdict = Verdict.FAIL if self.connected else Verdict.PASS
        found = f"{self.store.connected} of {len(self.store.registration_facts)} connected"
        return (Check("engines have their store only if etcd runs", "", verdict, expected, found),)

    @property
    def should_connect(self) -> bool:
        """Whether every engine should be connected: all members start at boot, or no node was restarted."""
        return not self.restarted or all(self.starts.values())


def after_power_cycle(
    cluster: Cluster, parameters: Parameters, starts: Mapping[str, bool], *, restarted: bool
) -> Outage:
    """The store after a power cycle; waits only for members that start at boot.

    Args:
        starts: for each node with a member, whether something starts it at boot.
        restarted: whether the nodes were restarted.
    """
    if not restarted or all(starts.values()):
        return Outage(wait_for_store(cluster, parameters), starts, restarted)

    def started(state: StoreState) -> bool:
        runs = {member.node for member in state.member_facts if member.container_state == "running"}
        return all(node in runs for node, starting in starts.items() if starting)

    return Outage(wait_for_store(cluster, parameters, started), starts, restarted)
