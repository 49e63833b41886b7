"""The ping matrix: every container pings every other by name and by address, in one round trip a node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, PreconditionError
from runbook_lib.facts.containers import ContainerFacts, read_containers
from runbook_lib.model.parameters import Probes
from runbook_lib.verify.probe import By, Expectation, Pair, Probe, judge, unprobed
from runbook_lib.verify.prober import Method, Reading, is_address, run_probers

Unreachable = Collection[str | tuple[str, str]]

_NO_RESOLUTION = {
    "nxdomain": "no resolution: the resolver does not know the name",
    "servfail": "no resolution: the resolver failed (SERVFAIL)",
    "refused": "no resolution: nothing listens at 127.0.0.11",
    "timeout": "no resolution: 127.0.0.11 did not answer in time",
}


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
    """Ping along all ordered pairs of the named containers, all at once.

    ``expect_unreachable`` holds containers (every pair with one of them) and ordered pairs (source, target) that must
    not answer. ``last_known`` gives the addresses to try for containers that have none on the network now.
    Returns one row for each pair and way, also for those whose node does not answer; ordered by source, target, by
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
    return _probe(
        cluster, containers, containers, network, probes or Probes(), by, expect_unreachable, last_known or {}, method
    )


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
    """Ping one container from another: one row a way, as in ``ping_matrix``, which also tells what is raised."""
    unreachable = {(source, target)} if expected == "unreachable" else set[tuple[str, str]]()
    return _probe(cluster, [source], [target], network, probes or Probes(), by, unreachable, last_known or {}, method)


def _probe(
    cluster: Cluster,
    sources: Sequence[str],
    targets: Sequence[str],
    network: str,
    probes: Probes,
    by: Sequence[By],
    unreachable: Unreachable,
    last_known: Mapping[str, str],
    method: Method,
) -> tuple[Probe, ...]:
    found, silent = find_containers(cluster, {*sources, *targets})
    addresses = {
        name: (found[name].addresses.get(network, "") if name in found else "") or last_known.get(name, "")
        for name in targets
    }
    running = [found[name] for name in sources if name in found and found[name].running]
    readings = run_probers(cluster, running, addresses, probes, by, method)
    rows = []
    for pair in _pairs(sources, targets, by, found, addresses, unreachable):
        reading = readings.get(pair.source)
        if reading is None:
            container = found.get(pair.source)
            rows.append(unprobed(pair, f"{pair.source} is {container.status}" if container else silent))
        else:
            rows.append(row(pair, reading, network))
    return tuple(rows)


def find_containers(cluster: Cluster, names: Collection[str]) -> tuple[dict[str, ContainerFacts], str]:
    """The named containers, asked of all nodes at once, and a sentence on the nodes that did not answer.

    Raises:
        PreconditionError: all nodes answered and none has a container of one of the names.
    """
    found: dict[str, ContainerFacts] = {}
    silent = []
    for outcome in cluster.each(read_containers):
        if outcome.error is not None:
            silent.append(f"{outcome.node} does not answer: {outcome.error.message}")
        for container in outcome.value or ():
            if container.name in names:
                found.setdefault(container.name, container)
    missing = sorted(set(names) - set(found))
    if missing and not silent:
        raise PreconditionError(
            f"no node has a container named {', '.join(missing)}",
            remedy="notebook 04_run_containers makes the containers; or correct the names",
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


def row(pair: Pair, reading: Reading, network: str) -> Probe:
    """The row of one pair, from what the prober in its source found."""
    if not reading.complete:
        return unprobed(pair, reading.error or f"the prober in {pair.source} did not finish")
    if pair.by == "address" and not pair.address:
        return judge(pair, "", (), f"no address: {pair.target} is not on {network}")
    answer = pair.address if pair.by == "address" else reading.answers.get(pair.target, "timeout")
    if not is_address(answer):
        return judge(pair, "", (), _NO_RESOLUTION.get(answer, f"no resolution: {answer}"))
    echoes = reading.echoes.get((pair.target, pair.by))
    if echoes is None:
        return unprobed(pair, f"no echo request was sent to {answer}")
    note = echoes.trouble
    if echoes.shared and pair.by == "name":
        note = "; ".join(part for part in (note, "the same echo requests as by address") if part)
    return judge(pair, answer, echoes.times, note=note)
