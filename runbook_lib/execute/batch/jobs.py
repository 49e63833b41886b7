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
    """Where a job is now, and a line to tell unless it is empty; beside a live table only if it is ``notable``."""

    number: int
    notebook: str = ""
    step: str = ""
    line: str = ""
    notable: bool = False


@dataclass(frozen=True)
class Cancel:
    """An order to a job: be interrupted by this signal. The second order kills the kernel."""

    signal: signal.Signals


@dataclass(frozen=True)
class JobResult:
    """What came of one cluster.

    ``failure`` is there if the run itself failed, rather than one of its notebooks; ``run`` is its ID, empty if it did
    not begin; ``seconds`` is all the time that it took.
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
        """The notebook that did not pass, if one ran and did not."""
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
        """How many checks of all its notebooks warned."""
        return sum(result.warnings for result in self.notebooks)

    @property
    def changed(self) -> int:
        """How many result rows changed a node."""
        return sum(result.changed for result in self.notebooks)


def not_run(job: Job) -> JobResult:
    """The result of a job that never began, because the batch was cancelled first."""
    return JobResult(job, NOT_RUN, ExitCode.INTERRUPTED, tuple(NotebookResult(path.stem) for path in job.notebooks))


def failed(
    job: Job, error: BaseException, seconds: float = 0.0, redact: Callable[[str], str] = lambda text: text
) -> JobResult:
    """The result of a job that an error ended outside its notebooks: ours explains itself, any other has its trace.

    Args:
        redact: takes secrets out of a text.
    """
    code = error.exit_code if isinstance(error, RunbookError) else ExitCode.ERROR
    trace = "" if isinstance(error, RunbookError) else "".join(format_tb(error.__traceback__)).rstrip()
    failure = Failure(type(error).__name__, redact(str(error)), code, trace=redact(trace))
    notebooks = tuple(NotebookResult(path.stem) for path in job.notebooks)
    return JobResult(job, str(RecordVerdict.of(code)), code, notebooks, seconds=seconds, failure=failure)
