from __future__ import annotations

import subprocess
import sys

# matplotlib and scapy take half a second each, and a cell that needs neither must not wait for them.
HEAVY = {"matplotlib", "scapy", "nbconvert", "nbdime", "papermill"}


def test_opening_a_notebook_leaves_the_heavy_libraries_to_the_cells_that_use_them() -> None:
    code = (
        "import sys\n"
        "from runbook_lib.session import start\n"
        "from runbook_lib.widgets import choose_cluster, connections, live_matrix, step_panel\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY & set(done.stdout.split()) == set()
