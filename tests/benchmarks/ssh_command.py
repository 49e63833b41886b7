"""What a command over SSH costs on real nodes. Run by hand; nothing on the nodes is changed.

    python tests/benchmarks/ssh_command.py params/testbed.yaml [--repeat 30]

Measures ``true`` on the first node over a kept connection, straight and through the next nodes as jump hosts. Beside it
stands the greeting of the node's sshd on a new TCP connection, which a busy machine delays as well. Nagle's algorithm
on one hop would add 40 ms to the quickest command.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runbook_lib.model.inventory import NodeSpec, SshHop
from runbook_lib.model.loading import load_run
from runbook_lib.transport.ssh import SshConnection

LIMIT_SECONDS = 0.03
MOST_JUMPS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parameters", type=Path, help="of the cluster whose nodes are asked")
    parser.add_argument("--repeat", type=int, default=30)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors here, load {os.getloadavg()[0]:.1f} before the start\n")
    target, *others = load_run(options.parameters).inventory.nodes
    access = target.ssh
    measure("greeting of its sshd", options.repeat, lambda: greeting(access.host, access.port))
    for jumps in range(min(len(others), MOST_JUMPS) + 1):
        with SshConnection(through(target, others[:jumps])) as ssh:
            ssh.run(["true"])
            what = f"'true' through {jumps} jump hosts" if jumps else "'true'"
            measure(what, options.repeat, lambda ssh=ssh: ssh.run(["true"]).seconds, LIMIT_SECONDS)  # type: ignore[misc]


def through(node: NodeSpec, before: list[NodeSpec]) -> NodeSpec:
    """The node behind others as jump hosts."""
    fields = set(SshHop.model_fields)
    jump = [other.ssh.model_dump(include=fields) for other in before]
    return NodeSpec.model_validate(node.model_dump() | {"ssh": node.ssh.model_dump() | {"jump": jump}})


def greeting(host: str, port: int) -> float:
    """The seconds until an SSH server has greeted on a new connection."""
    started = time.perf_counter()
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.recv(64)
    return time.perf_counter() - started


def measure(what: str, repeat: int, call: Callable[[], float], limit: float = 0.0) -> None:
    """Print the quickest, the median and the slowest of some calls; the quickest is held against its limit."""
    seconds = sorted(call() for _ in range(repeat))
    verdict = ("met    " if seconds[0] <= limit else "NOT MET") if limit else " " * 7
    words = (
        f"quickest {seconds[0] * 1e3:.1f} ms, median {median(seconds) * 1e3:.1f} ms, slowest {seconds[-1] * 1e3:.1f} ms"
    )
    print(f"{verdict} {what}: {words}" + (f"; the quickest at most {limit * 1e3:.0f} ms" if limit else ""))


if __name__ == "__main__":
    main()
