"""Errors as papermill's command line should show them: the message alone, and the exit code of this project."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from runbook_lib.errors import ExitCode, InputError, RunbookError
from runbook_lib.execute.outcome import exit_code_of, failure_in_cells


def raise_for_bad_input(notebook: Mapping[str, Any]) -> None:
    """Pass on that a cell refused what it was given, which papermill would call a failure like any other (exit code 1).

    Raises:
        InputError: as the cell had it.
    """
    failure = failure_in_cells(notebook)
    if failure is not None and failure.exit_code is ExitCode.BAD_INPUT:
        raise InputError(f"{failure.cell}: {failure.message}")


@contextmanager
def errors_for_command_line() -> Iterator[None]:
    """Turn errors within the block into those that end a command with message and exit code, if one is running.

    A program that calls ``papermill.execute_notebook`` gets the errors as they are; so does everybody, of errors that
    need a traceback.
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
