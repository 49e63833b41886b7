"""Errors of the engine under papermill's command line; a command of click stands for that one."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # type: ignore[import-untyped]

from runbook_lib.errors import Fault, InterruptedRun, LockedError, ParameterError, RunbookError
from runbook_lib.execute.outcome import errors_for_command_line


def run(error: Exception) -> tuple[int, str, BaseException | None]:
    @click.command()
    def command() -> None:
        with errors_for_command_line():
            raise error

    result = CliRunner().invoke(command)
    return result.exit_code, result.output, result.exception


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParameterError([Fault("probes.count", "not a number")]), 2),
        (RunbookError("broken"), 3),
        (OSError(28, "No space left on device", "out.ipynb"), 3),
        (InterruptedRun("interrupted by SIGINT"), 4),
        (CellTimeoutError("the cell did not end within 1 s"), 5),
        (DeadKernelError("the kernel died of SIGKILL"), 6),
        (LockedError("held by another run"), 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_its_message_and_its_exit_code(error: Exception, code: int) -> None:
    exit_code, output, _ = run(error)
    assert exit_code == code
    assert output == f"Error: {error}\n"


def test_an_error_that_needs_a_traceback_keeps_it() -> None:
    for error in (RuntimeError("a fault of the program"), KeyError("x")):
        exit_code, output, raised = run(error)
        assert (exit_code, output) == (1, "")
        assert raised is error


def test_a_program_that_calls_papermill_gets_the_error_itself() -> None:
    with pytest.raises(InterruptedRun), errors_for_command_line():
        raise InterruptedRun("interrupted by SIGINT")
