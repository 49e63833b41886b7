"""The ping matrix: every container pings every other by name and by address, in one round trip per node.

Probing repairs what it tests (an answer adds the reverse path to the tables), so the tables of all nodes are read
before the first packet, and each ordered pair is also judged by the entries on its source's node.

``on_two_nodes`` finds containers for experiments whose packets must leave a node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import InputError, PreconditionError, RunbookError
from runbook_lib.facts.control_planes.base import read_vtep
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace, read_hidden_namespace
from runbook_lib.model.parameters import Probes
from runbook_lib.model.results import By, Expectation, Probe, Verdict
from runbook_lib.verify.overlay_tables import Entry, audit
from runbook_lib.verify.probe import SHARED, Evidence, Pair, judge, unprobed
from runbook_lib.verify.prober import Method, Reading, is_address, run_probers

T = TypeVar("T")
Unreachable = Collection[str | tuple[str, str]]

_NO_RESOLUTION = {
    "nxdomain": "no resolution: the resolver does not know the name",
    "servfail": "no resolution: the resolver failed (SERVFAIL)",
    "refused": "no resolution: the resolver refuses to answer (REFUSED)",
    "closed": "no resolution: nothing listens at 127.0.0.11",
    "no rule": "no resolution: dockerd listens in the container's namespace, but the rules (DNAT) are gone that lead"
    " 127.0.0.11:53 to it",
    "timeout": "no resolution: 127.0.0.11 did not answer in time",
}
RESTART_ENGINE = "restart dockerd on {node} (see its journal or docker.log)"
_RESTART = "docker restart {container}, which writes the rules again"


@dataclass(frozen=True)
class TableReadings:
    """Containers and tables before the first packet; ``unread`` says why a node's tables are missing."""

    found: Mapping[str, ContainerFacts]
    silent: str
    entries: tuple[Entry, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def rows(self, source: str, target: str) -> list[Entry]:
        """The entries for the target on the source's node; none if both are on one node."""
        if source not in self.found or target not in self.found:
            return []
        node, place = self.found[source].node, self.found[target].full_name
        return [entry for entry in self.entries if entry.node == node and entry.container == place]


def ping_matrix(
    cluster: Cluster,
    containers: Sequence[str],
    network: str,
    probes: Probes | None = None,
    *,
    by: Sequence[By] = ("name", "address"),
    expect_unreachable: Unreachable = (),
    last_known: Mapping[str, str] | None = None,
    method: Method = "auto",
) -> tuple[Probe, ...]:
    """Ping all ordered pairs of the named containers at once.

    Each pair that answers also gets a packet of full size and a TCP connection.
    ``expect_unreachable`` holds containers (every pair with one of them) and ordered pairs (source, target) that must
    not answer. ``last_known`` gives the addresses to try for containers that have none on the network now.
    Returns one row for each pair and ``by``, also for those whose node does not answer; ordered by source, target, by
    as they were given.

    Raises:
        PreconditionError: all nodes answered and none has a container of one of the names.
        InputError: fewer than two containers, or one name twice.
    """
    if len(set(containers)) != len(containers) or len(containers) < 2:
        raise InputError(
            f"a matrix needs two or more different containers, not {', '.join(containers) or 'none'}",
            place="containers",
            remedy="name each container once",
        )
    before = read_tables(cluster, containers, network)
    unreachable, known = expect_unreachable, last_known or {}
    return _probe(cluster, before, containers, containers, network, probes or Probes(), by, unreachable, known, method)


def ping_pair(
    cluster: Cluster,
    source: str,
    target: str,
    network: str,
    probes: Probes | None = None,
    *,
    by: Sequence[By] = ("name", "address"),
    expected: Expectation = "reachable",
    last_known: Mapping[str, str] | None = None,
    method: Method = "auto",
) -> tuple[Probe, ...]:
    """Ping one container from another: one row per ``by``; parameters and errors as in ``ping_matrix``.

    Only echo requests are sent, and no tables are read before.
    """
    unreachable = {(source, target)} if expected == "unreachable" else set[tuple[str, str]]()
    before = TableReadings(*find_containers(cluster, {source, target}))
    known = last_known or {}
    return _probe(cluster, before, [source], [target], network, probes or Probes(), by, unreachable, known, method)


def _probe(
    cluster: Cluster,
    before: TableReadings,
    sources: Sequence[str],
    targets: Sequence[str],
    network: str,
    probes: Probes,
    by: Sequence[By],
    unreachable: Unreachable,
    last_known: Mapping[str, str],
    method: Method,
) -> tuple[Probe, ...]:
    found = before.found
    addresses = {
        name: (found[name].addresses.get(network, "") if name in found else "") or last_known.get(name, "")
        for name in targets
    }
    running = [found[name] for name in sources if name in found and found[name].running]
    carry = sources == targets  # a connection needs a prober at its other end
    readings = run_probers(cluster, running, addresses, probes, by, method, carry=carry)
    rows = []
    for pair in _pairs(sources, targets, by, found, addresses, unreachable):
        reading = readings.get(pair.source)
        if reading is None:
            container = found.get(pair.source)
            rows.append(unprobed(pair, f"{pair.source} is {container.status}" if container else before.silent))
        else:
            evidence = _evidence(before, pair, reading, readings.get(pair.target), probes) if carry else None
            rows.append(row(pair, reading, network, evidence or Evidence(may_lose=probes.may_lose)))
    return tuple(rows)


def _evidence(before: TableReadings, pair: Pair, reading: Reading, other: Reading | None, probes: Probes) -> Evidence:
    here, back = before.rows(pair.source, pair.target), before.rows(pair.target, pair.source)
    faults = [(f"{entry.node}'s {entry.table} table before the first packet: {entry.says}", entry) for entry in here]
    connection = reading.connections.get(pair.target, "")
    if connection not in ("", "passed") and not connection.startswith("not tried"):
        if other is None or not other.listens:
            connection = f"not tried: nothing could listen in {pair.target}"
        elif connection == "refused" and pair.source not in other.connections:
            # no answer reached it, so it did not wait for a connection
            connection = f"not tried: the prober in {pair.target} had ended, for which {pair.source} is silent"
    return Evidence(
        size=reading.sizes.get(pair.target),
        connection=connection,
        faults=tuple((words, entry.remedy) for words, entry in faults if entry.verdict is Verdict.FAIL),
        route_known=bool(here and back) and all(entry.verdict is Verdict.PASS for entry in (*here, *back)),
        may_lose=probes.may_lose,
        unread=before.unread.get(pair.source_node, ""),
    )


def read_tables(cluster: Cluster, names: Collection[str], network: str) -> TableReadings:
    """The named containers and their nodes' table entries; sends no packet to them.

    Raises:
        PreconditionError: all nodes answered and none has a container of one of the names.
    """

    def ask(node: Node) -> tuple[tuple[ContainerFacts, ...], str, HiddenNamespace | None, str]:
        containers = read_containers(node)
        joined = [item for item in containers if item.name in names and item.running and network in item.network_ids]
        if not joined:
            return containers, "", None, ""
        try:
            address = read_vtep(node, cluster.inventory.network)
            hidden = read_hidden_namespace(node, joined[0].network_ids[network])
        except RunbookError as error:
            return containers, "", None, f"{node.name}'s tables were not read before: {error.message.splitlines()[0]}"
        return containers, address, hidden, ""

    outcomes = cluster.each(ask)
    found, silent = _found({outcome.node: outcome.value[0] for outcome in outcomes if outcome.value}, outcomes, names)
    seen = {outcome.node: outcome.value for outcome in outcomes if outcome.value is not None}
    vteps = {node: address for node, (_, address, _, _) in seen.items() if address}
    hidden = [item for _, _, item, _ in seen.values() if item is not None]
    known = [item for item in found.values() if item.node in vteps]
    unread = {node: reason for node, (*_, reason) in seen.items() if reason}
    return TableReadings(found, silent, audit(hidden, known, network, vteps), unread)


def find_containers(cluster: Cluster, names: Collection[str]) -> tuple[dict[str, ContainerFacts], str]:
    """The named containers, from all nodes at once, and a sentence on the nodes that did not answer.

    Raises:
        PreconditionError: all nodes answered and none has a container of one of the names.
    """
    outcomes = cluster.each(read_containers)
    return _found({outcome.node: outcome.value for outcome in outcomes if outcome.value}, outcomes, names)


def _found(
    containers: Mapping[str, Sequence[ContainerFacts]], outcomes: Sequence[Outcome[T]], names: Collection[str]
) -> tuple[dict[str, ContainerFacts], str]:
    found: dict[str, ContainerFacts] = {}
    for items in containers.values():
        for item in items:
            if item.name in names:
                found.setdefault(item.name, item)
    silent = [
        f"{outcome.node} does not answer: {outcome.error.message}" for outcome in outcomes if outcome.error is not None
    ]
    missing = sorted(set(names) - set(found))
    if missing and not silent:
        raise PreconditionError(
            f"no node has a container named {', '.join(missing)}",
            remedy="notebook 04_run_containers creates the containers; or correct the names",
        )
    return found, "; ".join(silent)


def _pairs(
    sources: Sequence[str],
    targets: Sequence[str],
    by: Sequence[By],
    found: Mapping[str, ContainerFacts],
    addresses: Mapping[str, str],
    unreachable: Unreachable,
) -> Iterator[Pair]:
    for source in sources:
        for target in targets:
            if source == target:
                continue
            lost = source in unreachable or target in unreachable or (source, target) in unreachable
            for way in by:
                yield Pair(
                    source=source,
                    source_node=found[source].node if source in found else "",
                    target=target,
                    target_node=found[target].node if target in found else "",
                    by=way,
                    address=addresses[target],
                    expected="unreachable" if lost else "reachable",
                )


def row(pair: Pair, reading: Reading, network: str, evidence: Evidence | None = None) -> Probe:
    """The row of one pair, from its source's reading and other evidence."""
    evidence = evidence or Evidence()
    if not reading.complete:
        return unprobed(pair, reading.error or f"the prober in {pair.source} did not finish")
    if pair.by == "address" and not pair.address:
        return judge(pair, "", (), f"no address: {pair.target} is not on {network}", evidence)
    answer = pair.address if pair.by == "address" else reading.answers.get(pair.target, "timeout")
    if not is_address(answer):
        words, remedy = _unresolved(pair, answer, reading)
        return judge(pair, "", (), words, evidence, remedy)
    echoes = reading.echoes.get((pair.target, pair.by))
    if echoes is None:
        return unprobed(pair, f"no echo request was sent to {answer}")
    shared = SHARED if echoes.shared and pair.by == "name" else ""
    notes = [part for part in (echoes.trouble, shared) if part]
    return judge(pair, answer, echoes.times, evidence=replace(evidence, note="; ".join(notes)))


def _unresolved(pair: Pair, answer: str, reading: Reading) -> tuple[str, str]:
    """Why a name does not resolve, as far as proven, and the remedy.

    An engine without the peer's service record forwards the name to an external resolver, which may not answer; it
    answers the source's own name itself.
    """
    words = _NO_RESOLUTION.get(answer, f"no resolution: {answer}")
    if answer == "no rule":
        return words, _RESTART.format(container=pair.source)
    if pair.expected == "unreachable" or answer not in ("timeout", "nxdomain", "servfail"):
        return words, ""
    own, remedy = reading.answers.get(pair.source, ""), RESTART_ENGINE.format(node=pair.source_node)
    echoes = reading.echoes.get((pair.target, "address"))
    answers = echoes is not None and any(time is not None for time in echoes.times)
    if answers and answer == own == "timeout":  # the source is on the network, so its engine should know its name
        return f"{words}, nor for the name {pair.source} itself", remedy
    alive = is_address(own) or answer != "timeout"  # it has answered something
    record = f"{words}; the engine of {pair.source_node} has no service record of {pair.target}"
    if alive and answers:
        return f"{record}, whose address answers", remedy
    if is_address(own) and echoes is None and pair.address:
        return f"{record}, while it answers for {pair.source}", remedy
    return words, ""


def on_two_nodes(cluster: Cluster, source: str, target: str, network: str) -> tuple[ContainerFacts, ContainerFacts]:
    """Find two running containers of one network on different nodes.

    Raises:
        PreconditionError: one of them does not run on the network.
        InputError: both are on one node.
    """
    found, silent = find_containers(cluster, {source, target})
    for name in (source, target):
        if name not in found or not found[name].running or network not in found[name].addresses:
            state = f"{name} is {found[name].status}, on {', '.join(found[name].networks)}" if name in found else silent
            raise PreconditionError(
                f"{name} does not run on {network}: {state}",
                remedy="notebook 04_run_containers starts it, 06_disconnect_connect connects it",
            )
    if found[source].node == found[target].node:
        raise InputError(
            f"{source} and {target} are both on {found[target].node}: no packet would leave the node",
            place="containers",
            remedy="name two containers on different nodes",
        )
    return found[source], found[target]
