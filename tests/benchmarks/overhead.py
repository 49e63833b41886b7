"""What an honest record costs: ``runbook run`` and papermill with our engine against the plain papermill CLI.

    python tests/benchmarks/overhead.py [--rounds 5] [--notebooks 7]

All execute the same generated notebooks, in turn, in every round. The time outside the cells is the wall-clock
time of the whole command, its start-up included, minus the durations of the cells in the records. papermill has to be
called once a notebook; ``runbook run`` takes one or all of them. Exits 1 if ``runbook run`` takes longer outside the
cells than plain papermill, or if papermill with our engine adds 10 % to the whole time of one notebook, or 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PROJECT = Path(__file__).resolve().parents[2]
CELLS = 12
MOST_OF_TIME = 1.10
MOST_ADDED_SECONDS = 0.5
INVENTORY = """
network: {{interface: eth1, subnet: 192.168.99.0/24}}
nodes:
  - name: node1
    cluster_address: 192.168.99.104
    ssh: {{host: 127.0.0.1, key_file: {folder}/key, known_hosts: {folder}/known_hosts}}
"""


def write_notebooks(folder: Path, count: int) -> list[Path]:
    """Write notebooks like the project's: text, tables, a parameters cell; no cell takes long."""
    table = "import pandas as pd\npd.DataFrame({'node': [f'node{n}' for n in range(12)], 'seconds': 0.1})"
    paths = []
    for number in range(count):
        parameters = new_code_cell("name = 'testbed'\ninventory = ''", metadata={"tags": ["parameters"]})
        cells = [new_markdown_cell("# Overhead"), parameters]
        for index in range(CELLS):
            cells += [new_markdown_cell(f"## Question {index}"), new_code_cell(table)]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
        paths.append(folder / f"{number:02}_overhead.ipynb")
        nbformat.write(new_notebook(cells=cells, metadata=metadata), paths[-1])
    return paths


def write_parameters(folder: Path) -> Path:
    """Write a parameter file and an inventory that nothing connects to."""
    (folder / "key").touch(mode=0o600)
    (folder / "known_hosts").touch()
    (folder / "inventory.yaml").write_text(INVENTORY.format(folder=folder))
    parameters = folder / "parameters.yaml"
    parameters.write_text(f"name: overhead\ninventory: {folder}/inventory.yaml\ncontainers: []\n")
    return parameters


def seconds_in_cells(records: Sequence[Path]) -> float:
    """Return the sum of all cell durations in the executed notebooks."""
    cells = [cell for record in records for cell in json.loads(record.read_text())["cells"]]
    return sum(cell["metadata"]["papermill"]["duration"] or 0.0 for cell in cells)


def timed(command: Sequence[str]) -> float:
    """Run a command in the project's folder and return its wall-clock seconds."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run(
        command, check=True, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.monotonic() - started


def papermill(notebook: Path, parameters: Path, record: Path, *, engine: str = "") -> float:
    """Execute a notebook with the papermill CLI; return the seconds of the whole command."""
    options = ["--engine", engine] if engine else []
    # As the package's entry point does, which is there only where the package is installed.
    register = "papermill_engines.register('runbook', RunbookEngine); " if engine else ""
    imported = "from runbook_lib.execute.run.engine import RunbookEngine; " if engine else ""
    script = (
        f"from papermill.engines import papermill_engines; {imported}{register}from papermill.cli import papermill; "
        "papermill()"
    )
    return timed([sys.executable, "-P", "-c", script, str(notebook), str(record), "-f", str(parameters), *options])


def papermill_outside(notebooks: Sequence[Path], parameters: Path, folder: Path) -> float:
    """Execute each notebook with the papermill CLI; return seconds outside the cells."""
    folder.mkdir()
    records = [folder / notebook.name for notebook in notebooks]
    pairs = zip(notebooks, records, strict=True)
    return sum(papermill(notebook, parameters, record) for notebook, record in pairs) - seconds_in_cells(records)


def runbook_outside(notebooks: Sequence[Path], parameters: Path, folder: Path) -> float:
    """Execute all notebooks with one ``runbook run``; return seconds outside the cells."""
    command = [sys.executable, "-P", "-m", "runbook_lib", "run", *map(str, notebooks)]
    total = timed([*command, "-f", str(parameters), "--records", str(folder)])
    return total - seconds_in_cells(list(folder.glob("*/notebook.ipynb")))


def compare(notebooks: Sequence[Path], parameters: Path, folder: Path, rounds: int) -> float:
    """Print every round's seconds a notebook and return the median ratio."""
    ratios = []
    for number in range(rounds):
        place = folder / f"{len(notebooks)}-{number}"
        plain = papermill_outside(notebooks, parameters, place.with_name(f"{place.name}-papermill"))
        ours = runbook_outside(notebooks, parameters, place.with_name(f"{place.name}-runbook"))
        ratios.append(ours / plain)
        count = len(notebooks)
        print(
            f"{count} notebooks: papermill {plain / count:.2f} s, runbook {ours / count:.2f} s, ratio {ratios[-1]:.2f}"
        )
    return statistics.median(ratios)


def compare_engines(notebook: Path, parameters: Path, folder: Path, rounds: int) -> tuple[float, float]:
    """Print every round's seconds of the whole command; return the median ratio and the median of what is added."""
    ratios, added = [], []
    for number in range(rounds):
        plain = papermill(notebook, parameters, folder / f"plain-{number}.ipynb")
        ours = papermill(notebook, parameters, folder / f"ours-{number}.ipynb", engine="runbook")
        ratios.append(ours / plain)
        added.append(ours - plain)
        print(f"papermill {plain:.2f} s, with our engine {ours:.2f} s, ratio {ratios[-1]:.2f}")
    return statistics.median(ratios), statistics.median(added)


def main() -> int:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebooks", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        os.environ["OVERLAY_RUNBOOK_RECORDS"] = str(folder / "records")
        os.environ["OVERLAY_RUNBOOK_SIGNING_KEY"] = str(folder / "signing_key.pem")
        parameters = write_parameters(folder)
        notebooks = write_notebooks(folder, options.notebooks)
        single = compare(notebooks[:1], parameters, folder, options.rounds)
        together = compare(notebooks, parameters, folder, max(1, options.rounds // 2)) if notebooks[1:] else single
        ratio, added = compare_engines(notebooks[0], parameters, folder, options.rounds)
    print("runbook run, median ratio of the time outside the cells (at most 1):")
    print(f"  one notebook {single:.2f}, {len(notebooks)} notebooks {together:.2f}")
    print("papermill --engine runbook, median of the whole time (at most 1.10 and 0.5 s more):")
    print(f"  ratio {ratio:.2f}, {added:.2f} s more")
    return int(max(single, together) > 1 or ratio > MOST_OF_TIME or added > MOST_ADDED_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
