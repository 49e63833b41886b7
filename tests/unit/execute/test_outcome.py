"""What a failure in a notebook means to the caller of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import errors
from runbook_lib.errors import ExitCode, RunbookError
from runbook_lib.execute.outcome import VERDICTS, exit_code_of, failure_in_record


def cell(status: str, count: int | None, *outputs: dict[str, Any]) -> dict[str, Any]:
    metadata = {"papermill": {"status": status}}
    return {"cell_type": "code", "metadata": metadata, "execution_count": count, "outputs": list(outputs)}


def error(name: str, message: str, *traceback: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(traceback)}


def record(folder: Path, *cells: dict[str, Any]) -> Path:
    path = folder / "record.ipynb"
    path.write_text(json.dumps({"cells": list(cells)}))
    return path


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
    assert set(VERDICTS) == set(ExitCode)


def test_the_first_failed_cell_tells_the_failure(tmp_path: Path) -> None:
    path = record(
        tmp_path,
        cell("completed", 1, error("ValueError", "expected, and caught by a tag")),
        cell("failed", 2, error("CheckFailed", "node1: \x1b[31mno\x1b[0m leader", "CheckFailed: …")),
        cell("pending", None),
    )
    failure = failure_in_record(path)
    assert failure is not None
    assert (failure.name, failure.cell, failure.exit_code) == ("CheckFailed", "In [2]", ExitCode.CHECK_FAILED)
    assert str(failure) == "node1: no leader"


def test_an_unexpected_error_is_shown_with_its_trace(tmp_path: Path) -> None:
    trace = ["-----", "\x1b[0;32mCell In[1]\x1b[0m, line 1", "ZeroDivisionError: division by zero"]
    failure = failure_in_record(
        record(tmp_path, cell("failed", 1, error("ZeroDivisionError", "division by zero", *trace)))
    )
    assert str(failure) == "-----\nCell In[1], line 1\nZeroDivisionError: division by zero"


def test_a_cell_that_the_kernel_never_numbered_is_still_named(tmp_path: Path) -> None:
    path = record(tmp_path, cell("completed", 1), cell("failed", None, error("DeadKernelError", "gone")))
    failure = failure_in_record(path)
    assert failure is not None
    assert failure.cell == "In [2]"


def test_a_record_without_failed_cells_shows_no_failure(tmp_path: Path) -> None:
    assert failure_in_record(record(tmp_path, cell("completed", 1), cell("pending", None))) is None
    assert failure_in_record(tmp_path / "missing.ipynb") is None
