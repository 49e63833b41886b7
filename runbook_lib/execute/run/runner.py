"""Runs notebooks in order through papermill, until one of them fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError
from rich.text import Text

from runbook_lib.errors import ExitCode
from runbook_lib.execute import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.kernels import Kernels
from runbook_lib.execute.outcome import NotebookResult
from runbook_lib.execute.recording.recording import Recording, RunFacts
from runbook_lib.execute.run.engine import OUTPUT_LIMIT, RunbookEngine
from runbook_lib.execute.run.reporting import Reporter
from runbook_lib.model.events import CheckEvent, Event, StepEvent, read_events

with without_slow_formats():
    from papermill.engines import papermill_engines
    from papermill.execute import execute_notebook
    from papermill.log import logger as papermill_log

_ENGINE = "runbook"
_START_TIMEOUT = 60
# The loggers for streams and results: this package's client, and papermill's.
_LOGS_OUTPUT = ("_show", "log_output_message")
# The first import of every notebook of the project, with its libraries.
_SESSION = "runbook_lib.session"


@dataclass(frozen=True)
class RunSettings:
    """The settings of all notebooks of a run.

    ``parameters`` are those that papermill injects; ``cell_timeout`` (seconds, for each cell) and ``notebook_timeout``
    (seconds, for a whole notebook) may be ``None``; ``output_limit`` is in characters per cell.
    """

    facts: RunFacts
    parameters: Mapping[str, Any]
    cell_timeout: int | None = None
    notebook_timeout: float | None = None
    output_limit: int = OUTPUT_LIMIT
    log_output: bool = False


class Progress:
    """Passes a notebook's events to the reporter."""

    def __init__(self, notebook: str, reporter: Reporter, prepare_next: Callable[[], None] | None = None) -> None:
        self.notebook = notebook
        self._reporter = reporter
        self._prepare_next = prepare_next

    def cell_started(self, number: int, total: int, source: str) -> None:
        """Report the running cell; at the first one, start the next notebook's kernel in parallel."""
        if number == 1 and self._prepare_next is not None:
            self._prepare_next()
        self._reporter.cell_started(self.notebook, number, total, source)

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """Read the display's events; an update without events is the progress of a long step."""
        checks = []
        for event in self._read(data):
            match event:
                case StepEvent():
                    self._reporter.step(self.notebook, event)
                case CheckEvent():
                    checks.append(event)
        if checks:
            self._reporter.checks(self.notebook, checks)
        text = data.get("text/plain")
        if updated and isinstance(text, str):
            self._reporter.activity(text)

    def _read(self, data: Mapping[str, Any]) -> Sequence[Event]:
        try:
            return read_events(data)
        except (ValidationError, LookupError, TypeError) as error:
            # An event that an older runner cannot read must not stop a notebook that works.
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
    """Run the notebooks in order; those after the first failure are not run.

    Returns:
        One result per notebook, in the same order.
    """
    papermill_engines.register(_ENGINE, RunbookEngine)
    run = _Run(reporter, kernels, interruption)
    with _logging(output=settings.log_output):
        return _run_in_turn(notebooks, settings, run)


def _run_in_turn(notebooks: Sequence[Path], settings: RunSettings, run: _Run) -> list[NotebookResult]:
    results: list[NotebookResult] = []
    for place, notebook in enumerate(notebooks):
        if results and results[-1].exit_code is not ExitCode.PASS:
            results += [NotebookResult(late.stem) for late in notebooks[place:]]
            break
        results.append(_run(notebook, settings, run, last=place == len(notebooks) - 1))
        run.reporter.notebook_ended(results[-1])
    return results


class _OutputHandler(logging.StreamHandler[TextIO]):
    """Writes only the output of cells from papermill's log to stderr."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName in _LOGS_OUTPUT

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).removesuffix("\n")


@contextmanager
def _logging(*, output: bool) -> Iterator[None]:
    """Silence papermill's log within the block, except for the output of cells, if wanted (on stderr).

    The parameters are validated already, so its warning about unknown ones is not needed.
    """
    if not output:
        papermill_log.setLevel("CRITICAL")
        yield
        return
    handler = _OutputHandler()
    papermill_log.setLevel("INFO")
    papermill_log.addHandler(handler)
    try:
        yield
    finally:
        papermill_log.removeHandler(handler)


def _run(notebook: Path, settings: RunSettings, run: _Run, *, last: bool) -> NotebookResult:
    run.reporter.notebook_started(notebook.stem)
    progress = Progress(notebook.stem, run.reporter, None if last else partial(run.kernels.prepare, _SESSION))
    recording = Recording.begin(notebook.stem, notebook.read_text(encoding="utf-8"), settings.facts)
    try:
        _execute(notebook, settings, progress, run, recording)
    except BaseException:
        if recording.result is None:
            recording.abandon()
            raise
        if recording.result.failure is None:
            raise  # the record does not contain it
    assert recording.result is not None  # the engine finishes the record before it returns or raises
    return recording.result


def _execute(notebook: Path, settings: RunSettings, progress: Progress, run: _Run, recording: Recording) -> None:
    """Execute one notebook. Raises the error that ended it; the recording has the result in any case."""
    execute_notebook(
        _literal(notebook),
        None,  # the recording alone writes
        parameters=dict(settings.parameters),
        engine_name=_ENGINE,
        # papermill requires them, though a notebook need not name them
        kernel_name="python3",
        language="python",
        progress_bar=False,
        log_output=settings.log_output,
        start_timeout=_START_TIMEOUT,
        execution_timeout=settings.cell_timeout,
        notebook_timeout=settings.notebook_timeout,
        output_limit=settings.output_limit,
        watcher=progress,
        kernels=run.kernels,
        interruption=run.interruption,
        recording=recording,
    )


def _literal(path: Path) -> str:
    """A path for papermill, with braces escaped, which it would replace."""
    return str(path).replace("{", "{{").replace("}", "}}")
