"""How long after Docker has finished a switch of the connection panel its effect is seen. Run by hand.

    python tests/benchmarks/toggle.py params/testbed.yaml [-n 5]

The cluster of that parameter file must have what notebooks 00 to 04 make. The first container is disconnected and
connected again, as a click does it. Docker's own event says when it had finished; seconds are counted from there until
the toggle, the picture and the ping matrix show it (what the widgets hold, before the browser draws it). Prints the
median and the slowest of each, and the ratio of the slowest to the limit of 1 s.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runbook_lib.cluster import Node
from runbook_lib.facts.docker.containers import find_container
from runbook_lib.model.loading import load_run
from runbook_lib.session import Session, start
from runbook_lib.widgets.connections import ConnectionPanel

LIMIT = 1.0
PATIENCE = 30.0
EVENT = "{{.TimeNano}} {{.Action}}"
EVENTS = (
    "docker events --since {since} --until {until} --filter type=network --format '{{{{.TimeNano}}}} {{{{.Action}}}}'"
)


def switch(run: Session, panel: ConnectionPanel, connected: bool) -> dict[str, float]:
    """Seconds from Docker's event until each part shows the switch."""
    container, network = run.first, run.parameters.overlay.name
    node = next(node for node in run.cluster.nodes if node.name == find_container(run.cluster, container).node)
    toggle = next(item for item in panel._view._toggles.values() if item.tooltip == f"{container} on {network}")
    words, picture = ("● connected" if connected else "○ disconnected"), panel._view._picture.value
    silent = "answers" if connected else "– silent, as expected"
    seen: dict[str, float] = {}
    begun = time.time()
    toggle.value = connected
    while len(seen) < 3 and time.time() - begun < PATIENCE:
        now = time.time()
        if toggle.description == words:
            seen.setdefault("toggle", now)
        if panel._view._picture.value != picture:
            seen.setdefault("picture", now)
        if panel.matrix["by address"].str.startswith(silent).all() and len(panel.matrix):
            seen.setdefault("matrix", now)
        time.sleep(0.005)
    panel.wait(PATIENCE)
    told = docker_events(node, begun)
    action = "connect" if connected else "disconnect"
    finished = [int(line.split()[0]) / 1e9 for line in told if line.endswith(f" {action}")]
    after = max(moment for moment in finished if moment >= begun)
    return {name: moment - after for name, moment in seen.items()}


def docker_events(node: Node, since: float) -> list[str]:
    """What Docker told of its networks since then: nanoseconds and action."""
    span = ["--since", str(int(since) - 1), "--until", str(int(time.time()) + 1)]
    argv = ["docker", "events", *span, "--filter", "type=network", "--format", EVENT]
    return node.ssh.run(argv, sudo=True).stdout.splitlines()


def main() -> None:
    """Switch, measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parameters", type=Path)
    options.add_argument("-n", type=int, default=5, help="how often it is disconnected and connected")
    given = options.parse_args()
    parameters = load_run(given.parameters).parameters.model_dump()
    run = start("06_disconnect_connect", parameters)
    panel = ConnectionPanel(run)
    assert panel.controls is not None
    rows = [(state, switch(run, panel, state)) for _ in range(given.n) for state in (False, True)]
    for state in (False, True):
        for part in ("toggle", "picture", "matrix"):
            times = [row[part] for was, row in rows if was is state and part in row]
            print(
                f"{'connect' if state else 'disconnect':11} {part:8} median {median(times):5.2f} s  "
                f"slowest {max(times):5.2f} s  {max(times) / LIMIT:4.0%} of {LIMIT} s  ({len(times)} of {given.n})"
            )


if __name__ == "__main__":
    main()
