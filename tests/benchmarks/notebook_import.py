"""How long a notebook's imports take: ``session.start`` and the widgets, in a new interpreter, against an empty one.

    python tests/benchmarks/notebook_import.py [-n 5]

Prints the median in seconds and the ratio to the 1.5 s that opening a notebook may take.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

LIMIT = 1.5
CASES = {
    "an empty interpreter": "pass",
    "session": "from runbook_lib.session import start",
    "session and widgets": (
        "from runbook_lib.session import start\n"
        "from runbook_lib.widgets import choose_cluster, connections, live_matrix, step_panel\n"
        "import runbook_lib.widgets.controls"
    ),
}


def seconds(code: str) -> float:
    """How long one new interpreter takes for the code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", type=int, default=5, help="how often each is measured")
    times = options.parse_args().n
    for code in CASES.values():
        seconds(code)  # compiles what is not compiled yet
    for name, code in CASES.items():
        median = statistics.median(seconds(code) for _ in range(times))
        print(f"{name:22} {median:5.2f} s   {median / LIMIT:4.0%} of {LIMIT} s")


if __name__ == "__main__":
    main()
