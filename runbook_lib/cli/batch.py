"""``runbook batch``: executes notebooks on many clusters in parallel, one parameter file each, with a summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbook_lib.cli.arguments import (
    PARAMETER,
    CellTimeout,
    NotebookTimeout,
    PairCommand,
    PlanMode,
    RecordsLocation,
    pairs,
    project_folder,
)
from runbook_lib.cli.privileges import become_root
from runbook_lib.execute.batch.batch import Cancellation, exit_code_of_batch, run_batch
from runbook_lib.execute.batch.clusters import BatchCluster, read_clusters
from runbook_lib.execute.batch.display import conclude, display_for
from runbook_lib.execute.batch.jobs import Job, JobResult, failed
from runbook_lib.execute.batch.local import LocalProcesses
from runbook_lib.execute.run.notebooks import check_parameters_cells, choose_notebooks
from runbook_lib.execute.run.preparation import parse_overrides
from runbook_lib.model.locations import records_location
from runbook_lib.records.store import open_archive
from runbook_lib.testbed.system_packages import install_missing_packages

if TYPE_CHECKING:
    from runbook_lib.execute.batch.dask import DaskWorkers

app = typer.Typer(add_completion=False)

_NOTEBOOK = ("-n", "--notebook")


class _BatchCommand(PairCommand):
    """Lets ``-n`` take several notebooks, up to the next parameter file."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Add ``-n`` before each of them before typer parses the line."""
        words: list[str] = []
        following = False
        for place, word in enumerate(args):
            if word == "--":
                words += args[place:]
                break
            if word.startswith("-"):
                following = False
            elif following and words[-1] not in _NOTEBOOK and not word.endswith((".yaml", ".yml")):
                words.append(_NOTEBOOK[0])
            following = following or word in _NOTEBOOK
            words.append(word)
        return super().parse_args(ctx, words)


@app.command(cls=_BatchCommand)
def batch(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Parameter files, one per cluster.")],
    notebook: Annotated[
        list[str] | None,
        typer.Option(*_NOTEBOOK, metavar="NOTEBOOK...", help="Names, prefixes such as 05, or paths (default: all)."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(*PARAMETER, metavar="KEY VALUE", help="Replace a parameter of every cluster: -p probes.count 9."),
    ] = None,
    plan: PlanMode = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, metavar="N", help="Clusters in parallel (default: number of processors)."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on the workers of this Dask scheduler, such as tcp://10.0.0.1:8786."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report for build servers: one suite per cluster.")
    ] = None,
    records: RecordsLocation = None,
    timeout: CellTimeout = None,
    notebook_timeout: NotebookTimeout = None,
) -> None:
    """Execute notebooks on many clusters in parallel, and print one summary.

    On each cluster the notebooks run in order, until one fails; a failure does not stop other clusters. Ctrl-C ends
    all of them and lets running cells clean up, a second one kills their kernels.

    Exit code: 4 if a cluster was interrupted or not started, else that of the first cluster, in the given order, that
    did not pass (1 a check failed, 2 bad input, 3 error, 5 timeout, 6 kernel died, 7 locked), else 0.
    """
    chosen = tuple(choose_notebooks(notebook or (), project_folder() / "notebooks"))
    check_parameters_cells(chosen)
    overrides = parse_overrides(pairs(parameter), plan=plan)
    clusters = read_clusters(files, overrides)
    location = open_archive(records or records_location(), refresh=False).location
    if junit is not None:
        from runbook_lib.execute.batch.junit import check_destination

        check_destination(junit)
    _prepare_for_testbeds(clusters, plan=plan)
    wanted = [
        Job(
            number,
            cluster.name,
            cluster.file.absolute(),
            cluster.request,
            chosen,
            location,
            timeout,
            notebook_timeout,
        )
        for number, cluster in enumerate(clusters)
    ]
    refused = [failed(wanted[number], one.error) for number, one in enumerate(clusters) if one.error is not None]
    results = _run(wanted, refused, scheduler, jobs)
    conclude(results, location, sys.stdout)
    if junit is not None:
        from runbook_lib.execute.batch.junit import write_junit

        write_junit(results, junit)
    raise typer.Exit(exit_code_of_batch(results))


def _prepare_for_testbeds(clusters: Sequence[BatchCluster], *, plan: bool) -> None:
    """Become root and install packages once, which jobs that start testbeds cannot do."""
    if any(cluster.testbed is not None for cluster in clusters):
        become_root({name for cluster in clusters for name in cluster.secret_variables})
        if not plan:
            install_missing_packages()


def _run(
    jobs: Sequence[Job], refused: Sequence[JobResult], scheduler: str | None, limit: int | None
) -> list[JobResult]:
    cancellation = Cancellation()
    with cancellation.installed(), _workers(scheduler) as workers:
        return run_batch(jobs, refused, workers, limit or workers.limit, display_for(jobs, sys.stdout), cancellation)


def _workers(scheduler: str | None) -> LocalProcesses | DaskWorkers:
    if scheduler is None:
        return LocalProcesses()
    from runbook_lib.execute.batch.dask import DaskWorkers  # an extra, and slow to import

    return DaskWorkers(scheduler)
