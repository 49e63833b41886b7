"""One run on one cluster, from the request to the last record; ``batch`` does this for each cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import ExitCode
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.kernels import Kernels
from runbook_lib.execute.outcome import NOT_RUN, PASSED_BEFORE, STILL_HOLDS, NotebookResult
from runbook_lib.execute.run.engine import OUTPUT_LIMIT
from runbook_lib.execute.run.notebooks import NO_CLUSTER
from runbook_lib.execute.run.preparation import Request, ensure_testbed
from runbook_lib.execute.run.previous_run import EarlierRun
from runbook_lib.execute.run.reporting import Reporter
from runbook_lib.locking import cluster_lock
from runbook_lib.model.loading import Run
from runbook_lib.model.redaction import redactor_for
from runbook_lib.redact import Redactor


@dataclass(frozen=True)
class ClusterRequest:
    """A run on one cluster.

    ``archive`` is a folder or a URL; ``earlier`` the run to resume; the time limits are in seconds, ``None`` for none;
    ``output_limit`` is in characters per cell.
    """

    notebooks: tuple[Path, ...]
    request: Request
    archive: str
    cell_timeout: int | None = None
    notebook_timeout: float | None = None
    output_limit: int = OUTPUT_LIMIT
    log_output: bool = False
    earlier: EarlierRun | None = None


@dataclass(frozen=True)
class ClusterResult:
    """The result of a run: one result per notebook, in order; ``run`` is the ID for ``--resume``."""

    cluster: str
    run: str
    archive: str
    results: tuple[NotebookResult, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the first notebook that did not pass, else pass."""
        return next((result.exit_code for result in self.results if result.exit_code), ExitCode.PASS)


def prepare_cluster(request: Request, before_up: Callable[[], None]) -> Run:
    """Validate the parameters, start their testbed, validate the inventory. This needs no lock.

    Args:
        request: the parameter file and the values that override it.
        before_up: called before a testbed is started (it installs the testbed's requirements).

    Raises:
        ParameterError: with every fault; nothing was touched.
        InputError: an inventory that cannot be found, plan mode without a testbed.
        TestbedError: the testbed could not be started.
    """
    parameters = request.parameters()
    ensure_testbed(parameters, plan=parameters.plan, before_up=before_up)
    return request.validate()


def run_cluster(
    wanted: ClusterRequest, run: Run | None, reporter: Reporter, interruption: Interruption
) -> ClusterResult:
    """Execute the notebooks in order on a prepared cluster, until one fails.

    ``run`` is ``None`` for notebooks that need no cluster: then nothing is locked, and the user's parameters are
    injected unchanged.

    Raises:
        LockedError: another run holds the cluster.
        InputError: an archive that cannot be used.
        RecordError: a record cannot be written; the notebook that ran was interrupted.
    """
    what = f"{len(wanted.notebooks)} notebooks" if len(wanted.notebooks) > 1 else wanted.notebooks[0].stem
    with ExitStack() as stack:
        if run is not None:
            stack.enter_context(cluster_lock(run.inventory, f"runbook run, {what}"))
        kernels = stack.enter_context(Kernels(wanted.notebooks[0].parent))
        # papermill and pandas are imported while the first kernel starts, which takes as long.
        kernels.prepare()
        from runbook_lib.execute.recording.recording import RunFacts
        from runbook_lib.execute.run.previous_run import recheck
        from runbook_lib.execute.run.runner import RunSettings, run_notebooks
        from runbook_lib.records.store import open_archive
        from runbook_lib.records.writer import new_record_id

        archive = open_archive(wanted.archive, refresh=False)
        earlier = wanted.earlier
        facts = RunFacts(
            archive=archive,
            run=new_record_id(),
            cluster=run.parameters.name if run else NO_CLUSTER,
            notebooks=tuple(path.stem for path in wanted.notebooks),
            resumes=earlier.id if earlier else "",
            plan=run.parameters.plan if run else False,
            parameters=run.parameters.model_dump(mode="json") if run else dict(wanted.request.overrides),
            redactor=redactor_for(run) if run else Redactor(),
        )
        settings = RunSettings(
            facts,
            wanted.request.injected() if run else wanted.request.overrides,
            wanted.cell_timeout,
            wanted.notebook_timeout,
            wanted.output_limit,
            wanted.log_output,
        )
        with reporter.running():
            held = recheck(run, earlier.passed, reporter) if run and earlier else []
            left = wanted.notebooks[len(held) :]
            results = held + run_notebooks(left, settings, reporter, kernels, interruption)
    return ClusterResult(facts.cluster, facts.run, wanted.archive, tuple(results))


def left_over(results: Sequence[NotebookResult]) -> bool:
    """Whether the run can be resumed: some notebook passed, and a later one did not."""
    done = [result for result in results if result.verdict in ("pass", STILL_HOLDS, PASSED_BEFORE)]
    return bool(done) and len(done) < len(results) and any(result.verdict != NOT_RUN for result in results)
