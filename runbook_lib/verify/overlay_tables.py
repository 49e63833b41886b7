"""An overlay's forwarding and neighbour tables, held against where each container really is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.hidden_namespace import HiddenNamespace
from runbook_lib.facts.networks import Endpoint
from runbook_lib.model.results import Check, Verdict

Table = Literal["forwarding", "neighbour"]
_REMEDY = "connect the container anew, or see which engine gossips a wrong address (notebook 02)"


@dataclass(frozen=True)
class Entry:
    """What one node's table says of one container elsewhere.

    The ``neighbour`` table tells the MAC of an address, the ``forwarding`` table the node (its VTEP) of a MAC. ``key``
    is looked up, ``expected`` is the truth, ``found`` what the table says (empty: no row). ``container`` is
    ``node4/alpine2``, or empty for a row that leads to no container.
    """

    node: str
    table: Table
    container: str
    key: str
    expected: str
    found: str

    @property
    def verdict(self) -> Verdict:
        """A wrong row fails. A missing one warns: the first packet makes the engine ask the others for it."""
        if self.found == self.expected:
            return Verdict.PASS
        return Verdict.FAIL if self.found and self.container else Verdict.WARN


def audit(
    namespaces: Iterable[HiddenNamespace],
    containers: Sequence[ContainerFacts],
    network: str,
    vteps: Mapping[str, str],
    balancers: Sequence[Endpoint] = (),
) -> tuple[Entry, ...]:
    """What each hidden namespace says of every container on another node, and rows that lead to none.

    ``vteps`` maps the nodes to their addresses on the cluster's network. Rows that lead to ``balancers`` (Swarm mode
    has one a node) are left out.
    """
    known = {word for endpoint in balancers for word in (endpoint.address, endpoint.mac)}
    joined = [item for item in containers if item.running and network in item.addresses]
    entries = []
    for hidden in namespaces:
        away = [item for item in joined if item.node != hidden.node]
        entries += _of_neighbours(hidden, away, network)
        entries += _of_forwarding(hidden, away, network, vteps)
    return tuple(entry for entry in entries if entry.container or entry.key not in known)


def _of_neighbours(hidden: HiddenNamespace, away: Sequence[ContainerFacts], network: str) -> list[Entry]:
    found = {row.address: row.mac for row in hidden.neighbours if row.mac}
    known = [
        Entry(hidden.node, "neighbour", item.full_name, address, item.macs.get(network, ""), found.pop(address, ""))
        for item in away
        for address in (item.addresses[network],)
    ]
    return known + [Entry(hidden.node, "neighbour", "", address, "", mac) for address, mac in found.items()]


def _of_forwarding(
    hidden: HiddenNamespace, away: Sequence[ContainerFacts], network: str, vteps: Mapping[str, str]
) -> list[Entry]:
    found = {row.mac: row.vtep for row in hidden.forwarding if row.vtep}
    known = [
        Entry(hidden.node, "forwarding", item.full_name, mac, vteps.get(item.node, ""), found.pop(mac, ""))
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
            expected=f"{entry.key} → {entry.expected or 'no such row'}",
            found=f"{entry.key} → {entry.found or 'no row yet'}",
            remedy="" if entry.verdict is Verdict.PASS else _REMEDY,
        )
        for entry in entries
    )
