"""Runs notebooks one after the other, through papermill, until one of them fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.text import Text

from runbook_lib.errors import ExitCode, InterruptedRun, RunbookError
from runbook_lib.execute.engine import RunbookEngine
from runbook_lib.execute.imports import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernels import Kernels
from runbook_lib.execute.outcome import VERDICTS, Failure, NotebookResult, exit_code_of, failure_in_record
from runbook_lib.execute.records import unused_name
from runbook_lib.execute.reporting import Reporter
from runbook_lib.model.events import CheckEvent, Event, FinishEvent, StepEvent, read_events
from runbook_lib.model.results import Status

with without_slow_formats():
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook
    from papermill.log import logger as papermill_log

_ENGINE = "runbook"
_START_TIMEOUT = 60
# What every notebook of the project imports first, libraries and all.
_SESSION = "runbook_lib.session"


@dataclass(frozen=True)
class RunSettings:
    """What is the same for every notebook of a run; ``cell_timeout`` in seconds, for each cell."""

    parameters: Mapping[str, Any]
    records: Path
    cell_timeout: int | None = None


class Progress:
    """Counts what a notebook's events tell and passes them on to the reporter."""

    def __init__(self, notebook: str, reporter: Reporter, prepare_next: Callable[[], None] | None = None) -> None:
        self.notebook = notebook
        self.steps = self.changed = 0
        self.verdict = ""
        self._reporter = reporter
        self._prepare_next = prepare_next

    def cell_started(self, number: int, total: int, source: str) -> None:
        """Pass on which cell runs; at the first, let the next notebook's kernel start beside it."""
        if number == 1 and self._prepare_next is not None:
            self._prepare_next()
        self._reporter.cell_started(self.notebook, number, total, source)

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """Read the display's events; an update without any is the progress of something long."""
        checks = []
        for event in self._read(data):
            match event:
                case StepEvent():
                    self.steps += 1
                    self.changed += event.status is Status.CHANGED
                    self._reporter.step(self.notebook, event)
                case CheckEvent():
                    checks.append(event)
                case FinishEvent():
                    self.verdict = event.verdict
        if checks:
            self._reporter.checks(self.notebook, checks)
        text = data.get("text/plain")
        if updated and isinstance(text, str):
            self._reporter.activity(text)

    def _read(self, data: Mapping[str, Any]) -> Sequence[Event]:
        try:
            return read_events(data)
        except (ValidationError, LookupError, TypeError) as error:
            # The notebook did its work: a record that an older runner cannot count is no reason to break it off.
            self._reporter.line(Text(f"{self.notebook}: an event cannot be read: {error}"))
            return ()


@dataclass(frozen=True)
class _Run:
    reporter: Reporter
    kernels: Kernels
    interruption: Interruption


def run_notebooks(
    notebooks: Sequence[Path], settings: RunSettings, reporter: Reporter, kernels: Kernels, interruption: Interruption
) -> list[NotebookResult]:
    """Run the notebooks in their order; those after the first that does not pass are not run.

    Returns:
        One result a notebook, in the same order.
    """
    # The parameters were validated, so papermill's warning of unknown ones can only repeat what is known.
    papermill_log.setLevel("CRITICAL")
    papermill_engines.register(_ENGINE, RunbookEngine)
    run = _Run(reporter, kernels, interruption)
    results: list[NotebookResult] = []
    for place, notebook in enumerate(notebooks):
        if results and results[-1].exit_code is not ExitCode.PASS:
            results += [NotebookResult(late.stem) for late in notebooks[place:]]
            break
        results.append(_run(notebook, settings, run, last=place == len(notebooks) - 1))
        reporter.notebook_ended(results[-1])
    return results


def _run(notebook: Path, settings: RunSettings, run: _Run, *, last: bool) -> NotebookResult:
    started = time.monotonic()
    run.reporter.notebook_started(notebook.stem)
    progress = Progress(notebook.stem, run.reporter, None if last else partial(run.kernels.prepare, _SESSION))
    record = unused_name(settings.records, notebook.stem)
    unfinished = record.with_name(f"{record.stem}.partial.ipynb")
    try:
        failure = _execute(notebook, unfinished, settings, progress, run)
    finally:
        if unfinished.exists():
            unfinished.replace(record)
    exit_code = failure.exit_code if failure else _exit_code(progress.verdict)
    return NotebookResult(
        notebook=notebook.stem,
        verdict=progress.verdict if exit_code is ExitCode.PASS and progress.verdict else VERDICTS[exit_code],
        exit_code=exit_code,
        steps=progress.steps,
        changed=progress.changed,
        seconds=time.monotonic() - started,
        record=record if record.exists() else None,
        failure=failure,
    )


def _exit_code(verdict: str) -> ExitCode:
    """The exit code of a notebook without a failed cell: its own verdict counts, if it has one."""
    return ExitCode.PASS if verdict in ("", "pass", "planned") else ExitCode.CHECK_FAILED


def _execute(notebook: Path, output: Path, settings: RunSettings, progress: Progress, run: _Run) -> Failure | None:
    """Execute one notebook; the failure that ended it, or ``None``."""
    failure = None
    try:
        execute_notebook(
            _literal(notebook),
            _literal(output),
            parameters=dict(settings.parameters),
            engine_name=_ENGINE,
            progress_bar=False,
            start_timeout=_START_TIMEOUT,
            execution_timeout=settings.cell_timeout,
            watcher=progress,
            kernels=run.kernels,
            interruption=run.interruption,
        )
    except InterruptedRun as error:
        failure = Failure("InterruptedRun", error.message, ExitCode.INTERRUPTED)
    except (PapermillExecutionError, CellTimeoutError) as error:
        failure = Failure(type(error).__name__, str(error), exit_code_of(type(error).__name__))
    except OSError as error:
        raise RunbookError(f"the record cannot be written ({error.strerror})", place=str(output)) from error
    except RuntimeError as error:
        # Also when it dies while it starts, which nbclient tells by the message alone.
        if not isinstance(error, DeadKernelError) and "Kernel died" not in str(error):
            raise
        failure = Failure("DeadKernelError", "the kernel died before its first cell", ExitCode.KERNEL_DIED)
    failure = failure_in_record(output) or failure
    received = run.interruption.received
    if failure is not None and received is not None:
        # What the cell made of the signal is its own affair: the run was interrupted.
        return replace(failure, message=f"interrupted by {received.name}", exit_code=ExitCode.INTERRUPTED, trace="")
    return failure


def _literal(path: Path) -> str:
    """A path for papermill, which would fill in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")
