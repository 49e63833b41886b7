"""Containers with an address in the cluster's own network, as a notebook probes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError
from runbook_lib.model.parameters import MODES, ExternalMode, Parameters, external
from runbook_lib.model.parameters import External as Spec
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.claim import Claim, alone
from runbook_lib.session.questions.readings import Checked
from runbook_lib.session.questions.recorded_tables import Kept, kept
from runbook_lib.tables.frame import DECIMAL, FLAG, Column, Table, document_columns
from runbook_lib.verify.external import (
    ExternalState,
    NodePing,
    ReachProbe,
    find_candidates,
    judge_candidates,
    judge_kept,
    judge_reach,
    ping_nodes,
    probe_external,
)

NOT_HERE = "not on this kernel"

# Properties that cannot be read from a cluster, from Docker's manual (macvlan and ipvlan network drivers) and the
# kernel's (Documentation/networking/ipvlan.rst). A table shows 50 characters of a cell.
_KNOWN: tuple[tuple[str, Mapping[str, str]], ...] = (
    (
        "DHCP",
        {
            "published": "its node's affair: fix that address (01)",
            "macvlan": "never asked: keep its range out of the pool",
            "ipvlan": "never asked: keep its range out of the pool",
        },
    ),
    (
        "limit",
        {
            "published": "one container for each port of a node",
            "macvlan": "not reached from its own node",
            "ipvlan": "the same, and never beside macvlan on one node",
        },
    ),
    (
        "needs",
        {
            "published": "nothing",
            "macvlan": "a switch that takes many MACs a port: no Wi-Fi",
            "ipvlan": "Linux 4.2 with ipvlan",
        },
    ),
)

PLACES = Table[Spec](
    "One row per way to give a container an external address.",
    Column("way", lambda spec: spec.mode, meaning="``published``, ``macvlan`` or ``ipvlan``"),
    Column("container", lambda spec: spec.container),
    Column("node", lambda spec: spec.node),
    Column("looked at from", lambda spec: spec.observer_node, meaning="another node"),
    Column("network", lambda spec: spec.network, meaning="the Docker network that it is on"),
    Column("its addresses", lambda spec: spec.block or "the node's", meaning="the block that the network gives out"),
)

PROBES = Table[ReachProbe](
    "One row per container and node that probes it.",
    Column("container", lambda look: look.container),
    Column("address", lambda look: look.reach and look.reach.address),
    Column("from", lambda look: look.seen_from, meaning="``another node`` or ``its own node``"),
    Column("node", lambda look: look.node, meaning="the node that asks"),
    Column("ping", lambda look: look.reach and look.reach.ping_ms, DECIMAL, "ms", meaning="the mean round trip"),
    Column("it answers", lambda look: look.reach and look.reach.answer, meaning="the name that it serves"),
    Column("MAC seen", lambda look: look.reach and look.reach.mac, meaning="none at an address of the node that asks"),
    Column("reached", lambda look: look.reached if look.reach else None, FLAG, meaning="it answered with its name"),
)

PINGS = Table[NodePing](
    "One row per node.",
    Column("container", lambda row: row.container, meaning="the one that pings"),
    Column("node", lambda row: row.node, meaning="the one that is pinged"),
    Column("address", lambda row: row.address),
    Column("ping", lambda row: row.ping_ms, DECIMAL, "ms", meaning="the mean round trip"),
    Column("answers", lambda row: row.answers, FLAG),
)


def _answer(mode: ExternalMode) -> Column[tuple[str, Mapping[str, str]]]:
    return Column(mode, lambda row: row[1].get(mode))


COMPARISON = Table[tuple[str, Mapping[str, str]]](
    "One row per question, one column per way.", Column("question", lambda row: row[0]), *map(_answer, MODES)
)


@dataclass(frozen=True)
class ReachProbes:
    """Every container with an external address, probed from another node and from its own."""

    states: tuple[ExternalState, ...]
    looks: tuple[ReachProbe, ...]

    @property
    @document_columns(PROBES)
    def table(self) -> pd.DataFrame:
        """Who reached which container."""
        return PROBES(self.looks)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether each container is reached from exactly the nodes that should reach it."""
        return judge_reach(self.states, self.looks)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that such containers run on, or would in plan mode; each once."""
        return tuple(dict.fromkeys(item.spec.node for item in self.states if not item.trouble))

    @property
    def macs(self) -> pd.DataFrame:
        """Whose MAC another node sees. Columns: node, container, MAC seen, whose."""
        table = self.table[self.table["from"] == "another node"]
        whose = [self.whose(str(name)) for name in table["container"]]
        return table[["node", "container", "MAC seen"]].assign(whose=whose).reset_index(drop=True)

    def whose(self, container: str) -> str:
        """Whose MAC another node sees at a container's address: ``the node's``, ``its own``, or why there is none."""
        state = next(item for item in self.states if item.spec.container == container)
        if state.trouble:
            return NOT_HERE
        reach = next(look.reach for look in self.looks if look.container == container)
        mac = reach.mac if reach is not None else ""
        # an ipvlan container shares the node's MAC, so the node's entry must win
        owners = {state.mac: "its own", state.node_mac: "the node's"}
        return owners.get(mac, "a stranger's") if mac else "nobody's"

    def kept_since(self, before: ReachProbes) -> tuple[Check, ...]:
        """Whether each container kept its address since ``before``, over a restart of its node."""
        return judge_kept(before.states, self.states)


class ExternalAddresses:
    """``run.external``: where the containers are placed, whether their addresses are free, and who reaches them."""

    def __init__(self, cluster: Cluster, parameters: Parameters, kept: Kept, claim: Claim) -> None:
        self.kept = kept
        self.claim = claim
        self._cluster = cluster
        self._parameters = parameters

    @kept
    @document_columns(PLACES)
    def places(self) -> pd.DataFrame:
        """Where the container of each mode is placed. Raises ``InputError``."""
        return PLACES(self._specs())

    @kept
    @alone
    def addresses(self) -> Checked:
        """Whether each container's address is free, or its own already: by inventory, DHCP, ARP, and every engine."""
        return Checked(judge_candidates(self._cluster.inventory, find_candidates(self._cluster, self._specs())))

    @kept
    @alone
    def look(self) -> ReachProbes:
        """Probe every container from another node and from its own."""
        return ReachProbes(*probe_external(self._cluster, self._specs()))

    @kept
    @alone
    @document_columns(PINGS)
    def ping_nodes(self, container: str) -> pd.DataFrame:
        """Ping every node, at its address on the cluster's network, from inside one of the containers.

        Raises:
            InputError: unknown container.
            PreconditionError: it does not run.
        """
        return PINGS(ping_nodes(self._cluster, self._spec(container), self._parameters.probes))

    @document_columns(COMPARISON)
    def compare(self, before: ReachProbes, after: ReachProbes) -> pd.DataFrame:
        """The three modes compared: what the probes before and after a restart found, and what is known of each."""
        table = comparison(before, after)
        self.kept.keep("comparison", table)
        return table

    def _spec(self, container: str) -> Spec:
        specs = {spec.container: spec for spec in self._specs()}
        if container not in specs:
            raise InputError(f"unknown container {container!r}", remedy=f"name one of {', '.join(specs)}")
        return specs[container]

    def _specs(self) -> tuple[Spec, ...]:
        return tuple(external(self._cluster.inventory, self._parameters, mode) for mode in MODES)


@document_columns(COMPARISON)
def comparison(before: ReachProbes, after: ReachProbes) -> pd.DataFrame:
    """The three modes compared: what both probes found, then what is known."""
    checks = {item.spec.mode: check for item, check in zip(after.states, after.kept_since(before), strict=True)}
    rows: list[tuple[str, Mapping[str, str]]] = [
        ("its address is", {item.spec.mode: _address(item) for item in after.states}),
        ("reached from another node", _reached(after, "another node")),
        ("reached from its own node", _reached(after, "its own node")),
        ("MAC that others see", {item.spec.mode: after.whose(item.spec.container) for item in after.states}),
        ("kept across a restart", {item.spec.mode: _kept(item, checks[item.spec.mode]) for item in after.states}),
    ]
    return COMPARISON([*rows, *_KNOWN])


def _address(item: ExternalState) -> str:
    if item.trouble:
        return NOT_HERE
    own = "the node's" if item.spec.mode == "published" else "its own"
    return f"{own}, {item.address}" if item.address else "none now"


def _reached(looks: ReachProbes, seen_from: str) -> dict[str, str]:
    troubled = {item.spec.mode for item in looks.states if item.trouble}
    return {
        look.mode: NOT_HERE if look.mode in troubled else "yes" if look.reached else "no"
        for look in looks.looks
        if look.seen_from == seen_from
    }


def _kept(item: ExternalState, check: Check) -> str:
    return NOT_HERE if item.trouble else {Verdict.PASS: "yes", Verdict.FAIL: "no"}.get(check.verdict, check.found)
