"""How fast the testbed is on this machine, each figure beside its target. Run by hand, as root:

    python tests/benchmarks/testbed_up.py [rounds]

Prints one line a figure: the median, its target, and their ratio (below 1 is within the target).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runbook_lib.testbed import Testbed
from runbook_lib.testbed.image import images, rootfs
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import NodeLayout

NAME = "benchmark"
NODES = 4
UP_SECONDS = 8.0
REBOOT_SECONDS = 5.0
NODE_MEGABYTES = 140.0


def timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def megabytes(node: NodeLayout) -> float:
    """The memory that a node's processes hold, each shared page divided among those that share it."""
    total = 0
    for process in host.processes(node):
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def show(what: str, values: list[float], target: float, unit: str) -> None:
    median = statistics.median(values)
    print(f"{what:<45} {median:8.2f} {unit:<3} target {target:6.1f} {unit:<3} ratio {median / target:.2f}", flush=True)


def main(rounds: int) -> None:
    images.ensure(rootfs.ensure(rootfs.tree_of(Kind())))
    ups, agains, reboots, shuffles, memory, downs = [], [], [], [], [], []
    for _ in range(rounds):
        Testbed.remove(NAME)
        ups.append(timed(lambda: Testbed.up(NAME, nodes=NODES, subnet="auto")))
        testbed = Testbed.load(NAME)
        try:
            agains.append(timed(lambda: Testbed.up(NAME)))
            memory += [megabytes(node) for node in testbed.layout.nodes]
            reboots.append(timed(lambda here=testbed: here.reboot(["node1"])))
            shuffles.append(timed(lambda here=testbed: here.reboot(shuffle=True)))
        finally:
            downs.append(timed(testbed.down))
    show(f"up, {NODES} nodes, warm cache, images included", ups, UP_SECONDS, "s")
    show("up again, nothing to do", agains, 1.0, "s")
    show("reboot of one node until its API answers", reboots, REBOOT_SECONDS, "s")
    show(f"reboot of all {NODES} in another order", shuffles, 2 * REBOOT_SECONDS, "s")
    show("memory of a node", memory, NODE_MEGABYTES, "MB")
    show("down", downs, 2.0, "s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
