"""Compares an overlay's FDB and neighbour tables with the containers' real nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace
from runbook_lib.model.results import Check, Verdict

Table = Literal["forwarding", "neighbour"]
_COLD = "no action: at the first packet the engine asks the others"
_STALE = "no action if the container was just removed; if the entry stays, restart dockerd there"


@dataclass(frozen=True)
class Entry:
    """One node's table entry for one container on another node.

    The ``neighbour`` table maps an address to a MAC, the ``forwarding`` table (FDB) a MAC to a node's VTEP. ``key`` is
    the lookup key, ``expected`` the right value, ``found`` the table's (empty: no entry). ``container`` is
    ``node4/alpine2``, or empty for an entry without a container. ``half``: the neighbour table has the MAC, but the
    engine's FDB entry is missing, and the kernel never asks the engine for it. ``namespace`` is the file of the
    overlay's namespace.
    """

    node: str
    table: Table
    container: str
    key: str
    expected: str
    found: str
    half: bool = False
    namespace: str = ""

    @property
    def verdict(self) -> Verdict:
        """A wrong entry fails, and so does half a pair of entries.

        If both are missing it is a warning: at the first packet the engine asks the others for them.
        """
        if self.half:
            return Verdict.FAIL
        if self.found == self.expected:
            return Verdict.PASS
        return Verdict.FAIL if self.found and self.container else Verdict.WARN

    @property
    def says(self) -> str:
        """The table's content, in words."""
        if self.half and self.found:
            return f"{self.key} → {self.found}, learned and ageing out: the engine's own entry is missing"
        if self.half:
            return f"{self.key} → no entry, although the neighbour table has this MAC: the engine is not asked for it"
        return f"{self.key} → {self.found or 'no entry yet'}"

    @property
    def remedy(self) -> str:
        """The remedy; empty if it passes."""
        if self.verdict is Verdict.PASS:
            return ""
        if self.verdict is Verdict.WARN:
            return _COLD if self.container else _STALE
        name = self.container.rpartition("/")[2]
        if self.table == "forwarding":
            write = f"bridge fdb replace {self.key} dev vxlan0 dst {self.expected} self permanent"
        else:
            write = f"ip neigh replace {self.key} lladdr {self.expected} dev vxlan0 nud permanent"
        reconnect = f"disconnect {name} from the overlay and connect it (notebook 06_disconnect_connect shows how)"
        if not (self.namespace and self.expected):
            return reconnect
        return f"{reconnect}; or on {self.node} as root: nsenter --net={self.namespace} {write}"


def audit(
    namespaces: Iterable[HiddenNamespace],
    containers: Sequence[ContainerFacts],
    network: str,
    vteps: Mapping[str, str],
    balancers: Sequence[Endpoint] = (),
) -> tuple[Entry, ...]:
    """Each hidden namespace's entries for the containers on other nodes, and entries without a container.

    ``vteps`` maps the nodes to their addresses on the cluster's network. Rows that lead to ``balancers`` (Swarm mode
    has one per node) are left out.
    """
    known = {word for endpoint in balancers for word in (endpoint.address, endpoint.mac)}
    # a paused container keeps its address and entries
    joined = [item for item in containers if network in item.addresses]
    entries = []
    for hidden in namespaces:
        away = [item for item in joined if item.node != hidden.node]
        entries += _of_neighbours(hidden, away, network)
        entries += _of_forwarding(hidden, away, network, vteps)
    return tuple(entry for entry in entries if entry.container or entry.key not in known)


def _of_neighbours(hidden: HiddenNamespace, away: Sequence[ContainerFacts], network: str) -> list[Entry]:
    found = {row.address: row.mac for row in hidden.neighbours if row.mac}
    known = [
        Entry(
            hidden.node,
            "neighbour",
            item.full_name,
            address,
            item.macs.get(network, ""),
            found.pop(address, ""),
            namespace=hidden.path,
        )
        for item in away
        for address in (item.addresses[network],)
    ]
    return known + [Entry(hidden.node, "neighbour", "", address, "", mac) for address, mac in found.items()]


def _of_forwarding(
    hidden: HiddenNamespace, away: Sequence[ContainerFacts], network: str, vteps: Mapping[str, str]
) -> list[Entry]:
    found = {row.mac: row.vtep for row in hidden.forwarding if row.vtep}
    # the engine writes both entries together, and is asked again only for a missing neighbour
    written = {row.mac for row in hidden.forwarding if row.vtep and row.permanent}
    standing = {(row.address, row.mac) for row in hidden.neighbours if row.state == "PERMANENT"}
    known = [
        Entry(
            hidden.node,
            "forwarding",
            item.full_name,
            mac,
            vteps.get(item.node, ""),
            found.pop(mac, ""),
            half=(item.addresses[network], mac) in standing and mac not in written,
            namespace=hidden.path,
        )
        for item in away
        for mac in (item.macs.get(network, ""),)
    ]
    return known + [Entry(hidden.node, "forwarding", "", mac, "", vtep) for mac, vtep in found.items()]


def check_entries(entries: Iterable[Entry]) -> tuple[Check, ...]:
    """A check for every entry."""
    return tuple(
        Check(
            f"the {entry.table} table leads to {entry.container or 'a container that is there'}",
            entry.node,
            entry.verdict,
            expected=f"{entry.key} → {entry.expected or 'no such entry'}",
            found=entry.says,
            remedy=entry.remedy,
        )
        for entry in entries
    )
