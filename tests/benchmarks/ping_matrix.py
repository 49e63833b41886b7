"""How much faster the ping matrix is than one ``docker exec ping`` a pair. Run by hand; prints ratios of one run.

    python tests/benchmarks/ping_matrix.py params/testbed.yaml

Makes an overlay and 32 containers of its own on the cluster of that parameter file (its store must run) and removes
them. The rivals ping by name only, so they do half of the matrix's work; they talk to the Docker API over a kept
connection, so they are spared the start of a docker command a pair; and they send a probe each 0.2 s, not each second.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineNotFound
from runbook_lib.model.loading import load_run
from runbook_lib.model.parameters import Probes
from runbook_lib.model.results import Verdict
from runbook_lib.verify.ping_matrix import ping_matrix
from runbook_lib.verify.prober import Method

NETWORK = "bench-ping"
TARGET_SECONDS, TARGET_RATIO = 3.0, 20.0
PING = ("ping", "-c", "3", "-i", "0.2", "-W", "1", "-q")
Pair = tuple[Node, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parameters", type=Path)
    parser.add_argument("--containers", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each way of the matrix")
    parser.add_argument("--sample", type=int, default=40, help="pairs of the rival that goes one after another")
    options = parser.parse_args()
    run = load_run(options.parameters)
    with Cluster(run.inventory, run.parameters.timeouts) as cluster:
        places = [(cluster.nodes[n % len(cluster.nodes)], f"bench{n + 1:02d}") for n in range(options.containers)]
        remove(cluster, places)
        try:
            make(cluster, places)
            compare(cluster, places, options.repeat, options.sample)
        finally:
            remove(cluster, places)


def make(cluster: Cluster, places: list[tuple[Node, str]]) -> None:
    cluster.nodes[-1].engine.create_network(NETWORK, subnet="10.92.0.0/24")

    def start(node: Node) -> None:
        for name in (name for place, name in places if place is node):
            node.engine.create_container(name, "alpine", command=["sleep", "100000"], network=NETWORK)
            node.engine.start(name)

    for outcome in cluster.each(start):
        _ = outcome.result


def remove(cluster: Cluster, places: list[tuple[Node, str]]) -> None:
    def clear(node: Node) -> None:
        for name in (name for place, name in places if place is node):
            try:
                node.engine.remove_container(name, force=True)
            except EngineNotFound:
                continue

    for outcome in cluster.each(clear):
        _ = outcome.result
    try:
        cluster.nodes[-1].engine.remove_network(NETWORK)
    except EngineNotFound:
        return


def compare(cluster: Cluster, places: list[tuple[Node, str]], repeat: int, sample: int) -> None:
    names = [name for _, name in places]
    pairs = [(node, source, target) for node, source in places for target in names if source != target]
    load = os.getloadavg()[0]
    print(f"{len(names)} containers on {len(cluster.nodes)} nodes, {len(pairs)} ordered pairs, 3 probes each")
    print(f"{os.cpu_count()} processors here, load {load:.1f} before the start\n")
    ways: tuple[Method, ...] = ("perl", "ping", "exec")
    times = {way: [matrix(cluster, names, way, cold=turn == 0) for turn in range(repeat)] for way in ways}
    one_by_one = sequential(pairs, sample) / sample * len(pairs)
    together = concurrent(pairs)
    print(f"\n{'':46}median   slowest")
    for way, seconds in times.items():
        print(f"  matrix, {way + ', by name and by address':36}{median(seconds):6.2f} s {max(seconds):7.2f} s")
    print(f"  one docker exec a pair, 8 at once a node, by name  {together:7.1f} s (all {len(pairs)} pairs)")
    print(f"  one docker exec a pair, one after another, by name {one_by_one:7.1f} s (extrapolated from {sample})\n")
    best = median(times["perl"])
    verdict("matrix within its time", best <= TARGET_SECONDS, f"{best:.2f} s, at most {TARGET_SECONDS:.0f} s")
    for rival, seconds in (("one after another (extrapolated)", one_by_one), ("8 at once a node", together)):
        ratio = seconds / best
        verdict(f"faster than {rival}", ratio >= TARGET_RATIO, f"{ratio:.0f} times, at least {TARGET_RATIO:.0f}")


def verdict(what: str, holds: bool, words: str) -> None:
    print(f"{'met    ' if holds else 'NOT MET'} {what}: {words}")


def matrix(cluster: Cluster, names: list[str], way: Method, *, cold: bool) -> float:
    started = time.perf_counter()
    rows = ping_matrix(cluster, names, NETWORK, Probes(count=3), method=way)
    seconds = time.perf_counter() - started
    odd = sum(row.verdict is not Verdict.PASS for row in rows)
    lost = sum(row.sent - row.received for row in rows)
    print(f"matrix {way:5} {seconds:6.2f} s, {len(rows)} rows, {odd} not passed, {lost} probes lost{' (cold)' * cold}")
    return seconds


def ping_one(pair: Pair) -> bool:
    node, source, target = pair
    return node.engine.execute(source, (*PING, target))[0] == 0


def sequential(pairs: list[Pair], sample: int) -> float:
    chosen = pairs[:: max(1, len(pairs) // sample)][:sample]
    started = time.perf_counter()
    failed = sum(not ping_one(pair) for pair in chosen)
    seconds = time.perf_counter() - started
    print(f"rival, one after another: {len(chosen)} pairs in {seconds:.1f} s, {failed} failed")
    return seconds


def concurrent(pairs: list[Pair]) -> float:
    started = time.perf_counter()
    nodes = {node.name for node, _, _ in pairs}
    pools = {name: ThreadPoolExecutor(8) for name in nodes}
    failed = sum(not future.result() for future in [pools[pair[0].name].submit(ping_one, pair) for pair in pairs])
    seconds = time.perf_counter() - started
    for pool in pools.values():
        pool.shutdown()
    print(f"rival, 8 at once a node: {len(pairs)} pairs in {seconds:.1f} s, {failed} failed")
    return seconds


if __name__ == "__main__":
    main()
