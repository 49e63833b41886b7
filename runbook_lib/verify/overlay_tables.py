"""An overlay's forwarding and neighbour tables, held against where each container really is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace
from runbook_lib.model.results import Check, Verdict

Table = Literal["forwarding", "neighbour"]
_COLD = "nothing to mend: the first packet makes the engine ask the others"
_STALE = "nothing to mend where the container is gone; a row that stays is the engine's: restart dockerd there"


@dataclass(frozen=True)
class Entry:
    """What one node's table says of one container elsewhere.

    The ``neighbour`` table tells the MAC of an address, the ``forwarding`` table the node (its VTEP) of a MAC. ``key``
    is looked up, ``expected`` is the truth, ``found`` what the table says (empty: no row). ``container`` is
    ``node4/alpine2``, or empty for a row that leads to no container. ``half`` is true for a row of the forwarding table
    that the engine did not write although the neighbour table has its container's MAC: then the kernel asks the engine
    for nothing. ``namespace`` is the file of the overlay's namespace.
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
        """A wrong row fails, and one half of a pair of rows.

        Where both are missing it is a warning: the first packet makes the engine ask the others for them.
        """
        if self.half:
            return Verdict.FAIL
        if self.found == self.expected:
            return Verdict.PASS
        return Verdict.FAIL if self.found and self.container else Verdict.WARN

    @property
    def says(self) -> str:
        """What the table says, in words."""
        if self.half and self.found:
            return f"{self.key} → {self.found}, learned from a packet and soon forgotten: the engine's own row is gone"
        if self.half:
            return f"{self.key} → no row, though the neighbour table has this MAC: nobody asks for it"
        return f"{self.key} → {self.found or 'no row yet'}"

    @property
    def remedy(self) -> str:
        """What mends it; empty where it passes."""
        if self.verdict is Verdict.PASS:
            return ""
        if self.verdict is Verdict.WARN:
            return _COLD if self.container else _STALE
        name = self.container.rpartition("/")[2]
        if self.table == "forwarding":
            write = f"bridge fdb replace {self.key} dev vxlan0 dst {self.expected} self permanent"
        else:
            write = f"ip neigh replace {self.key} lladdr {self.expected} dev vxlan0 nud permanent"
        anew = f"disconnect {name} from the overlay and connect it (notebook 06_disconnect_connect shows how)"
        if not (self.namespace and self.expected):
            return anew
        return f"{anew}; or on {self.node} as root: nsenter --net={self.namespace} {write}"


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
    # a paused container keeps its address, and its rows
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
    # both rows are the engine's: it writes them together, and is only asked again for a missing neighbour
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
            expected=f"{entry.key} → {entry.expected or 'no such row'}",
            found=entry.says,
            remedy=entry.remedy,
        )
        for entry in entries
    )
