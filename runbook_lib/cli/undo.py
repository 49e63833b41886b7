"""``runbook run --undo``: takes back what notebooks have changed on the hosts, a line a step and node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from runbook_lib.errors import InputError
from runbook_lib.execute.locking import cluster_lock
from runbook_lib.execute.preparation import Request
from runbook_lib.execute.reporting import Reporter


def undo(notebooks: Sequence[Path], request: Request, reporter: Reporter) -> None:
    """Take back what the notebooks changed, the last one's first; with the parameter ``plan`` only show it.

    Raises:
        InputError: a notebook whose changes are not taken back this way; nothing was touched.
        ParameterError: with every fault of the parameters; nothing was touched.
        StepFailed: naming every node on which a step did not succeed.
        LockedError: another run holds the cluster.
    """
    from runbook_lib.cluster import Cluster
    from runbook_lib.session.catalog import StepCatalog
    from runbook_lib.steps import require_success, run_step

    run = request.validate()
    catalog = StepCatalog(run.inventory, run.parameters)
    steps = [step for path in reversed(notebooks) for step in catalog.undoing(path.stem)]
    with (
        cluster_lock(run.inventory, "runbook run --undo"),
        Cluster(run.inventory, run.parameters.timeouts) as cluster,
    ):
        for step in steps:
            rows = run_step(cluster, step, plan=run.parameters.plan)
            for row in rows:
                reporter.line(Text(f"{row.step:25} {row.node:12} {row.status.value:11} {row.after}"))
            require_success(rows)


def require_notebooks(names: Sequence[str]) -> None:
    """Make sure that notebooks are named: all of them is not what a person means who wants one back."""
    if not names:
        raise InputError(
            "--undo takes back what the named notebooks changed",
            place="--undo",
            remedy="name them: ./runbook run 01 --undo",
        )
