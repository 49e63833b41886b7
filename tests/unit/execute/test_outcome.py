"""What a failure in a notebook means to the caller of the command."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from runbook_lib import errors
from runbook_lib.errors import ExitCode, InterruptedRun, RunbookError
from runbook_lib.execute.outcome import exit_code_of, failure_in_cells, failure_of
from runbook_lib.model.record import RecordVerdict


def cell(status: str, count: int | None, *outputs: dict[str, Any]) -> dict[str, Any]:
    metadata = {"papermill": {"status": status}}
    return {"cell_type": "code", "metadata": metadata, "execution_count": count, "outputs": list(outputs)}


def error(name: str, message: str, *traceback: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(traceback)}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": list(cells)}


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_of_this_package_has_the_exit_code_of_its_class(name: str) -> None:
    known = getattr(errors, name)
    if isinstance(known, type) and issubclass(known, RunbookError):
        assert exit_code_of(name) is known.exit_code


@pytest.mark.parametrize(
    ("name", "code"),
    [("KeyboardInterrupt", 4), ("CellTimeoutError", 5), ("DeadKernelError", 6), ("ZeroDivisionError", 3), ("Fault", 3)],
)
def test_any_other_end_of_a_cell_has_its_code(name: str, code: int) -> None:
    assert exit_code_of(name) == code


def test_every_exit_code_has_a_verdict() -> None:
    assert len({RecordVerdict.of(code) for code in ExitCode}) == len(ExitCode)


def test_the_first_failed_cell_tells_the_failure() -> None:
    failure = failure_in_cells(
        notebook(
            cell("completed", 1, error("ValueError", "expected, and caught by a tag")),
            cell("failed", 2, error("CheckFailed", "node1: \x1b[31mno\x1b[0m leader", "CheckFailed: …")),
            cell("pending", None),
        )
    )
    assert failure is not None
    assert (failure.name, failure.cell, failure.exit_code) == ("CheckFailed", "In [2]", ExitCode.CHECK_FAILED)
    assert str(failure) == "node1: no leader"


def test_an_unexpected_error_is_shown_with_its_trace() -> None:
    trace = ["-----", "\x1b[0;32mCell In[1]\x1b[0m, line 1", "ZeroDivisionError: division by zero"]
    failure = failure_in_cells(notebook(cell("failed", 1, error("ZeroDivisionError", "division by zero", *trace))))
    assert str(failure) == "-----\nCell In[1], line 1\nZeroDivisionError: division by zero"


def test_a_cell_that_the_kernel_never_numbered_is_still_named() -> None:
    failure = failure_in_cells(notebook(cell("completed", 1), cell("failed", None, error("DeadKernelError", "gone"))))
    assert failure is not None
    assert failure.cell == "In [2]"


def test_a_notebook_without_failed_cells_shows_no_failure() -> None:
    assert failure_in_cells(notebook(cell("completed", 1), cell("pending", None))) is None


def test_a_signal_is_the_reason_whatever_the_cell_made_of_it() -> None:
    failed = notebook(cell("failed", 1, error("ZeroDivisionError", "division by zero", "trace", "last")))
    failure = failure_of(failed, None, signal.SIGTERM)
    assert failure is not None
    assert (failure.exit_code, failure.message, failure.trace) == (
        ExitCode.INTERRUPTED,
        "interrupted by SIGTERM",
        "",
    )


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InterruptedRun("interrupted by SIGINT"), ExitCode.INTERRUPTED),
        (RuntimeError("Kernel died before replying to kernel_info"), ExitCode.KERNEL_DIED),
        (CellTimeoutError("the cell did not end within 1 s"), ExitCode.TIMEOUT),
        (DeadKernelError("the kernel died between two cells"), ExitCode.KERNEL_DIED),
        (OSError(28, "No space left on device"), ExitCode.ERROR),
        (ValueError("a fault of this program"), ExitCode.ERROR),
    ],
)
def test_what_ends_an_execution_outside_a_cell_is_its_failure(raised: Exception, code: ExitCode) -> None:
    failure = failure_of(notebook(cell("completed", 1)), raised, None)
    assert failure is not None
    assert failure.exit_code is code
    assert "space" not in str(raised) or "No space left" in failure.message
    assert "two cells" not in str(raised) or failure.message == str(raised)
