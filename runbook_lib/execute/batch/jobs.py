"""What goes to a worker and what comes back; all of it can be pickled."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from traceback import format_tb

from runbook_lib.errors import ExitCode, RunbookError
from runbook_lib.execute.outcome import NOT_RUN, Failure, NotebookResult
from runbook_lib.execute.run.preparation import Request
from runbook_lib.model.record import RecordVerdict
from runbook_lib.model.results import with_warnings


@dataclass(frozen=True)
class Job:
    """One cluster of a batch.

    ``number`` is its place in the batch, from 0; ``cluster`` is what it is called there, unlike any other; ``file`` is
    its parameter file (absolute), and ``request`` what the batch read there; ``archive`` is a folder or an address;
    the time limits are in seconds, ``None`` for none.
    """

    number: int
    cluster: str
    file: Path
    request: Request
    notebooks: tuple[Path, ...]
    archive: str
    cell_timeout: int | None = None
    notebook_timeout: float | None = None


@dataclass(frozen=True)
class Progress:
    """A job's progress, with a line to print if not empty; above a live table only if it is ``notable``."""

    number: int
    notebook: str = ""
    step: str = ""
    line: str = ""
    notable: bool = False


@dataclass(frozen=True)
class Cancel:
    """A request to interrupt a job by this signal. The second one kills the kernel."""

    signal: signal.Signals


@dataclass(frozen=True)
class JobResult:
    """The result of one cluster.

    ``failure`` is set if the run itself failed, rather than one of its notebooks; ``run`` is its ID, empty if it did
    not start; ``seconds`` is its total time.
    """

    job: Job
    verdict: str
    exit_code: ExitCode
    notebooks: tuple[NotebookResult, ...] = ()
    run: str = ""
    seconds: float = 0.0
    failure: Failure | None = None

    @property
    def stopped_at(self) -> NotebookResult | None:
        """The notebook that ran and did not pass, if any."""
        return next((result for result in self.notebooks if result.exit_code is not ExitCode.PASS), None)

    @property
    def passed(self) -> int:
        """How many notebooks passed."""
        return sum(result.exit_code is ExitCode.PASS and result.verdict != NOT_RUN for result in self.notebooks)

    @property
    def verdict_text(self) -> str:
        """The verdict as it is shown, with the warnings of all its notebooks: ``pass, 3 warnings``."""
        return with_warnings(self.verdict, self.warnings)

    @property
    def warnings(self) -> int:
        """How many checks of all its notebooks were warnings."""
        return sum(result.warnings for result in self.notebooks)

    @property
    def changed(self) -> int:
        """How many result rows changed a node."""
        return sum(result.changed for result in self.notebooks)


def not_run(job: Job) -> JobResult:
    """The result of a job that did not start because the batch was cancelled."""
    return JobResult(job, NOT_RUN, ExitCode.INTERRUPTED, tuple(NotebookResult(path.stem) for path in job.notebooks))


def failed(
    job: Job, error: BaseException, seconds: float = 0.0, redact: Callable[[str], str] = lambda text: text
) -> JobResult:
    """The result of a job that failed outside its notebooks; errors that are not ours include their traceback.

    Args:
        redact: removes secrets from a text.
    """
    code = error.exit_code if isinstance(error, RunbookError) else ExitCode.ERROR
    trace = "" if isinstance(error, RunbookError) else "".join(format_tb(error.__traceback__)).rstrip()
    failure = Failure(type(error).__name__, redact(str(error)), code, trace=redact(trace))
    notebooks = tuple(NotebookResult(path.stem) for path in job.notebooks)
    return JobResult(job, str(RecordVerdict.of(code)), code, notebooks, seconds=seconds, failure=failure)
