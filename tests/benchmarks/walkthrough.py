"""The whole walkthrough (notebooks 00 to 06) against a plain shell script that gives the same commands one by one.

    python tests/benchmarks/walkthrough.py [--rounds 1] [--keep FOLDER]

Run by hand, as root. In each round both do the article on a testbed of their own that is new; who begins alternates.
What is timed is the whole command: ``python -m runbook_lib run``, start-up, kernels, records and all checks included,
and ``walkthrough.sh``. Prints both times and their ratio, and exits 1 if the median ratio is above 0.6.

The script fails where the engines that it restarted together do not find each other again, which is a matter of luck
(see ``runbook_lib/facts/overlay/gossip.py``) and which it does nothing about. Then this is said, and the script
begins again.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from runbook_lib.model.loading import load_run
from runbook_lib.testbed import Testbed

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_suffix(".sh")
NAME = "walkthrough-bench"
TARGET = 0.6
TRIES = 4
NOTEBOOKS = [path.stem for path in sorted((PROJECT / "notebooks").glob("0[0-6]_*.ipynb"))]


class CommandFailed(Exception):
    """A command that is timed did not succeed."""


def timed(command: Sequence[str], log: Path) -> float:
    """Run a command with its output in a file; return its seconds. Raises ``CommandFailed`` with the output's tail."""
    started = time.monotonic()
    with log.open("w") as output:
        status = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    seconds = time.monotonic() - started
    if status != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise CommandFailed(f"{' '.join(command[:5])} … ended with status {status} after {seconds:.0f} s:\n{tail}")
    return seconds


def run_notebooks(testbed: Testbed, folder: Path) -> float:
    """Execute 00 to 06 on a new testbed; return the seconds."""
    values = yaml.safe_load((PROJECT / "params" / "testbed.yaml").read_text())
    parameters = folder / "parameters.yaml"
    parameters.write_text(yaml.safe_dump(values | {"name": testbed.name, "inventory": f"testbed:{testbed.name}"}))
    command = [sys.executable, "-P", "-m", "runbook_lib", "run", *NOTEBOOKS]
    options = ["-f", str(parameters), "--records", str(folder / "records")]
    return timed([*command, *options], folder / "runbook.log")


def run_script(testbed: Testbed, folder: Path) -> float:
    """Run the shell script on a new testbed; return the seconds."""
    nodes = folder / "nodes.txt"
    run = load_run({"inventory": f"testbed:{testbed.name}"})
    lines = [
        f"{node.name} {node.ssh.host} {node.cluster_address} {node.ssh.key_file} {node.ssh.known_hosts}\n"
        for node in run.inventory.nodes
    ]
    nodes.write_text("".join(lines))
    return timed(["bash", str(SCRIPT), str(nodes)], folder / "script.log")


def on_a_new_testbed(act: Callable[[Testbed, Path], float], folder: Path) -> float:
    """Bring a testbed up, act on it, take it down; return the seconds of the act."""
    folder.mkdir(parents=True, exist_ok=True)
    Testbed.remove(NAME)
    testbed = Testbed.up(NAME, nodes=4, subnet="auto")
    try:
        return act(testbed, folder)
    finally:
        testbed.down()


def script_at_last(folder: Path) -> float:
    """Run the script, each time on a new testbed, until it succeeds."""
    for number in range(1, TRIES):
        try:
            return on_a_new_testbed(run_script, folder)
        except CommandFailed as error:
            print(f"try {number} of the script failed: {str(error).splitlines()[-1]}", flush=True)
    return on_a_new_testbed(run_script, folder)


def notebooks_at_once(folder: Path) -> float:
    """Execute the notebooks; they have one try."""
    return on_a_new_testbed(run_notebooks, folder)


def compare(rounds: int, folder: Path) -> float:
    """Print every round's seconds and return the median ratio."""
    ratios = []
    for number in range(rounds):
        order = [script_at_last, notebooks_at_once] if number % 2 == 0 else [notebooks_at_once, script_at_last]
        seconds = {act: act(folder / str(number)) for act in order}
        plain, ours = seconds[script_at_last], seconds[notebooks_at_once]
        ratios.append(ours / plain)
        print(f"round {number + 1}: script {plain:.1f} s, notebooks {ours:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    return statistics.median(ratios)


def main() -> int:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep logs and records in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as scratch:
        ratio = compare(options.rounds, options.keep or Path(scratch))
    print(f"median ratio {ratio:.2f} (target at most {TARGET})")
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
