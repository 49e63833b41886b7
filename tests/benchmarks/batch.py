"""Many clusters: one ``runbook batch -j 4`` against the plain papermill CLI, a notebook after the other.

    python tests/benchmarks/batch.py [--rounds 3] [--clusters 8] [--notebooks 2] [--jobs 4]

Both execute the same short notebooks with the same parameter files, in every round; the whole wall-clock time counts.
papermill writes executed notebooks, the batch writes signed records. Exits 1 if the median ratio is above 0.6.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from overhead import INVENTORY, timed, write_notebooks

LIMIT = 0.6


def write_clusters(folder: Path, count: int) -> list[Path]:
    """Write parameter files of clusters that nothing connects to, each with a node at an address of its own."""
    (folder / "key").touch(mode=0o600)
    (folder / "known_hosts").touch()
    files = []
    for number in range(1, count + 1):
        inventory = INVENTORY.format(folder=folder).replace("127.0.0.1", f"127.64.{number}.1")
        (folder / f"inventory{number}.yaml").write_text(inventory)
        files.append(folder / f"cluster{number}.yaml")
        files[-1].write_text(f"name: cluster{number}\ninventory: inventory{number}.yaml\ncontainers: []\n")
    return files


def papermill_seconds(notebooks: Sequence[Path], clusters: Sequence[Path], folder: Path) -> float:
    """Execute each notebook for each cluster with the papermill CLI, one after the other."""
    seconds = 0.0
    for cluster in clusters:
        place = folder / cluster.stem
        place.mkdir(parents=True)
        for notebook in notebooks:
            command = [sys.executable, "-m", "papermill", str(notebook), str(place / notebook.name)]
            seconds += timed([*command, "-f", str(cluster)])
    return seconds


def batch_seconds(notebooks: Sequence[Path], clusters: Sequence[Path], folder: Path, jobs: int) -> float:
    """Execute the notebooks on all clusters with one command."""
    chosen = [word for notebook in notebooks for word in ("-n", str(notebook))]
    command = [sys.executable, "-P", "-m", "runbook_lib", "batch", *map(str, clusters), *chosen]
    return timed([*command, "-j", str(jobs), "--records", str(folder)])


def main() -> int:
    """Compare them and print every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clusters", type=int, default=8)
    parser.add_argument("--notebooks", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=4)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="batch-") as name:
        folder = Path(name)
        os.environ["OVERLAY_RUNBOOK_SIGNING_KEY"] = str(folder / "signing_key.pem")
        notebooks = write_notebooks(folder, options.notebooks)
        clusters = write_clusters(folder, options.clusters)
        for number in range(options.rounds):
            plain = papermill_seconds(notebooks, clusters, folder / f"papermill-{number}")
            ours = batch_seconds(notebooks, clusters, folder / f"records-{number}", options.jobs)
            ratios.append(ours / plain)
            print(f"papermill {plain:.1f} s, batch {ours:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(
        f"{options.clusters} clusters, {options.notebooks} notebooks each, -j {options.jobs}, {os.cpu_count()} cores:"
    )
    print(f"  median ratio {statistics.median(ratios):.2f} (at most {LIMIT})")
    return int(statistics.median(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
