"""The result of a notebook: its verdict, its exit code, and the description of its failure.

``errors_for_command_line`` gives papermill's command line our messages without a traceback, and our exit codes.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import format_exception
from typing import Any

from runbook_lib import errors
from runbook_lib.errors import ExitCode, InputError, RunbookError
from runbook_lib.model.results import with_warnings

NOT_RUN = "not run"

#: Verdicts of notebooks that passed in an earlier run: checked again and still valid; or with nothing to check.
STILL_HOLDS = "still holds"
PASSED_BEFORE = "passed before"

# Errors that end a cell and are not from this package, but need no traceback either.
_OTHER_CODES = {
    "KeyboardInterrupt": ExitCode.INTERRUPTED,
    "CellTimeoutError": ExitCode.TIMEOUT,
    "DeadKernelError": ExitCode.KERNEL_DIED,
}

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TRACE_LINES = 25


@dataclass(frozen=True)
class Failure:
    """Why a notebook failed.

    ``cell`` is the place as the record shows it (``In [5]``), empty if no cell was running; ``trace`` is set only for
    errors that need a traceback.
    """

    name: str
    message: str
    exit_code: ExitCode
    cell: str = ""
    trace: str = ""

    def __str__(self) -> str:
        return f"{self.trace}\n{self.name}: {self.message}" if self.trace else self.message


@dataclass(frozen=True)
class NotebookResult:
    """One notebook of a run; ``steps`` counts result rows (a step on a node), ``changed`` those that changed it.

    ``warnings`` counts checks with a warning; ``record`` is the folder of its record, ``record_id`` its ID.
    """

    notebook: str
    verdict: str = NOT_RUN
    exit_code: ExitCode = ExitCode.PASS
    steps: int = 0
    changed: int = 0
    seconds: float = 0.0
    record: Path | None = None
    record_id: str = ""
    failure: Failure | None = None
    warnings: int = 0

    @property
    def verdict_text(self) -> str:
        """The verdict as it is shown, with its warnings: ``pass, 3 warnings``."""
        return with_warnings(self.verdict, self.warnings)


def exit_code_of(name: str) -> ExitCode:
    """The exit code of an exception that ended a cell, by the name of its class."""
    known = _known_error(name)
    return known.exit_code if known else _OTHER_CODES.get(name, ExitCode.ERROR)


def failure_of(
    notebook: Mapping[str, Any], error: BaseException | None, received: signal.Signals | None
) -> Failure | None:
    """Why an execution failed; ``None`` if it did not.

    Args:
        notebook: the notebook with the states of its cells.
        error: what the execution raised, other than a cell's own exception.
        received: the signal that interrupted it, which takes precedence over the cell's error.
    """
    failure = failure_in_cells(notebook) or (_failure_of_error(error) if error is not None else None)
    if failure is not None and received is not None:
        return replace(failure, message=f"interrupted by {received.name}", exit_code=ExitCode.INTERRUPTED, trace="")
    return failure


def failure_in_cells(notebook: Mapping[str, Any]) -> Failure | None:
    """The failure of an executed notebook's first failed cell.

    A cell that ended by ``sys.exit(0)`` is a failed cell too: the cells after it did not run.
    """
    executed = 0
    for cell in notebook["cells"]:
        executed += cell.get("execution_count") is not None
        if cell["metadata"].get("papermill", {}).get("status") == "failed":
            errors_shown = [output for output in cell["outputs"] if output["output_type"] == "error"]
            # A kernel that died at once has not numbered the cell.
            where = f"In [{cell['execution_count'] or executed + 1}]"
            if not errors_shown:
                return Failure("Error", "the cell failed without a message", ExitCode.ERROR, where)
            shown = errors_shown[0]
            return _failure(shown["ename"], shown["evalue"], shown["traceback"], where)
    return None


def _failure_of_error(error: BaseException) -> Failure:
    name, message = type(error).__name__, str(error)
    if isinstance(error, RunbookError):
        return Failure(name, message, error.exit_code)
    if name in _OTHER_CODES:
        return Failure(name, message, _OTHER_CODES[name])
    # nbclient reports a kernel that dies during its start only by the message of a RuntimeError.
    if isinstance(error, RuntimeError) and "Kernel died" in message:
        return Failure("DeadKernelError", "the kernel died before its first cell", ExitCode.KERNEL_DIED)
    if isinstance(error, OSError):
        return Failure(name, f"the record cannot be written ({error.strerror})", ExitCode.ERROR)
    return Failure(name, message, exit_code_of(name), trace="".join(format_exception(error)))


def _failure(name: str, message: str, traceback: list[str], cell: str) -> Failure:
    """A failed cell's failure, with the traceback unless it is an error of this package."""
    trace = ""
    if _known_error(name) is None and name not in _OTHER_CODES:
        lines = _COLOURS.sub("", "\n".join(traceback)).rstrip().splitlines()
        # IPython's last line repeats name and message.
        trace = "\n".join(lines[-_TRACE_LINES - 1 : -1])
    return Failure(name, _COLOURS.sub("", message), exit_code_of(name), cell, trace)


def _known_error(name: str) -> type[RunbookError] | None:
    known = getattr(errors, name, None)
    return known if isinstance(known, type) and issubclass(known, RunbookError) else None


def raise_for_bad_input(notebook: Mapping[str, Any]) -> None:
    """Raise if a cell rejected its input, which papermill would report like any failure (exit code 1).

    Raises:
        InputError: the cell's error.
    """
    failure = failure_in_cells(notebook)
    if failure is not None and failure.exit_code is ExitCode.BAD_INPUT:
        raise InputError(f"{failure.cell}: {failure.message}")


@contextmanager
def errors_for_command_line() -> Iterator[None]:
    """Convert errors within the block into click's errors with our message and exit code, if a command is running.

    A program that calls ``papermill.execute_notebook`` gets the original errors. Errors that need a traceback are never
    converted.
    """
    try:
        yield
    except (RunbookError, OSError, RuntimeError) as error:
        code = error.exit_code if isinstance(error, RunbookError) else exit_code_of(type(error).__name__)
        click = sys.modules.get("click")
        running = click is not None and click.get_current_context(silent=True) is not None
        explained = isinstance(error, RunbookError | OSError) or code is not ExitCode.ERROR
        if not running or not explained:
            raise
        from click import ClickException

        failure = ClickException(str(error))
        failure.exit_code = int(code)  # type: ignore[misc]  # click reads it from the instance
        raise failure from error
