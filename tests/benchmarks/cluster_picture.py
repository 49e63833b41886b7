"""How long the picture of a large cluster takes. Run by hand; prints times of one run against their limit.

    python tests/benchmarks/cluster_picture.py [params/testbed.yaml] [--keep FILE.svg]

Draws 16 nodes with 64 containers from facts made up here, alone and beside an earlier picture. With a parameter file it
also measures what ``run.picture()`` takes on that cluster, which reads the facts first; nothing there is changed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runbook_lib.charts import ClusterView, before_and_after, cluster_picture
from runbook_lib.cluster import Cluster
from runbook_lib.model.loading import load_run
from runbook_lib.session.views.pictures import picture
from tests.unit.charts.conftest import container, view_of

NODES, CONTAINERS_A_NODE, LIMIT_SECONDS = 16, 4, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parameters", type=Path, nargs="?", help="of a cluster whose picture is drawn too")
    parser.add_argument("--keep", type=Path, help="where to write the large picture, to be looked at")
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors here, load {os.getloadavg()[0]:.1f} before the start\n")
    view = view_of(NODES, CONTAINERS_A_NODE)
    size = f"{NODES} nodes, {NODES * CONTAINERS_A_NODE} containers"
    measure(f"one picture of {size}", options.repeat, lambda: cluster_picture(view))
    measure(f"before and after, {size}", options.repeat, lambda: before_and_after(view, broken(view)))
    if options.keep:
        options.keep.write_text(cluster_picture(view), encoding="utf-8")
    if options.parameters:
        run = load_run(options.parameters)
        with Cluster(run.inventory, run.parameters.timeouts) as cluster:
            picture(cluster, run.parameters)  # the connections stay open from then on
            what = f"run.picture() of {len(cluster.nodes)} nodes, facts read first"
            measure(what, options.repeat, lambda: picture(cluster, run.parameters).svg)


def broken(view: ClusterView) -> ClusterView:
    """The same with a node silent and a container off the overlay."""
    return replace(
        view, silent={"node7": "timed out"}, containers=[container("node1", "alpine1"), *view.containers[1:]]
    )


def measure(what: str, repeat: int, draw: Callable[[], str]) -> None:
    times = []
    size = 0
    for _ in range(repeat):
        started = time.perf_counter()
        size = len(draw().encode())
        times.append(time.perf_counter() - started)
    met = "met    " if max(times) <= LIMIT_SECONDS else "NOT MET"
    words = f"median {median(times):.3f} s, slowest {max(times):.3f} s, at most {LIMIT_SECONDS} s"
    print(f"{met} {what}: {words} ({size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
