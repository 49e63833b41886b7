"""Looks again, on the live nodes, at what the notebooks of an earlier run left behind."""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.execute.outcome import PASSED_BEFORE, STILL_HOLDS, NotebookResult
from runbook_lib.execute.reporting import Reporter
from runbook_lib.model.events import StepEvent
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Status
from runbook_lib.session.catalog import StepCatalog
from runbook_lib.steps import run_step


def recheck(run: Run, notebooks: Sequence[str], reporter: Reporter) -> list[NotebookResult]:
    """Look on the live nodes whether what these notebooks left behind is still there; nothing is changed.

    Returns:
        One result for each notebook that still holds, in their order, up to the first that does not. One that leaves
        nothing behind, as it only reads, has just passed before.
    """
    catalog = StepCatalog(run.inventory, run.parameters)
    held = []
    with Cluster(run.inventory, run.parameters.timeouts) as cluster:
        for notebook in notebooks:
            reporter.notebook_started(notebook, "looked at again")
            rows = [row for step in catalog.left_by(notebook) for row in run_step(cluster, step, plan=True)]
            for row in rows:
                reporter.step(notebook, StepEvent.of(row))
            if any(row.status not in (Status.OK, Status.SKIPPED) for row in rows):
                break
            verdict = STILL_HOLDS if rows else PASSED_BEFORE
            result = NotebookResult(notebook, verdict, steps=len(rows), seconds=sum(row.seconds for row in rows))
            reporter.notebook_ended(result)
            held.append(result)
    return held
