"""Jobs and results that tests show, count and write."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.errors import ExitCode, InputError
from runbook_lib.execute.batch.jobs import Job, JobResult, failed
from runbook_lib.execute.outcome import Failure, NotebookResult
from runbook_lib.execute.run.preparation import Request

NOTEBOOKS = (Path("01_first.ipynb"), Path("02_second.ipynb"))


def job(number: int, cluster: str = "") -> Job:
    """A job of two notebooks that nobody runs."""
    name = cluster or f"cluster{number}"
    file = Path(f"{name}.yaml").absolute()
    return Job(number, name, file, Request(file), NOTEBOOKS, "records")


def passed(number: int) -> JobResult:
    """Both notebooks passed, and three rows changed something."""
    first = NotebookResult("01_first", "pass", steps=4, changed=3, seconds=1.25, record=Path("records/a"))
    second = NotebookResult("02_second", "pass", seconds=0.5, record=Path("records/b"))
    return JobResult(job(number), "pass", ExitCode.PASS, (first, second), "0123456789", 2.0)


def check_failed(number: int) -> JobResult:
    """The first notebook failed in its fifth cell, and the second was not run."""
    failure = Failure("CheckFailed", "no leader\n  expected: 1\n  found:    0", ExitCode.CHECK_FAILED, "In [5]")
    first = NotebookResult(
        "01_first", "failed", ExitCode.CHECK_FAILED, seconds=1.0, record=Path("records/c"), failure=failure
    )
    result = (first, NotebookResult("02_second"))
    return JobResult(job(number), "failed", ExitCode.CHECK_FAILED, result, "abcdef0123", 1.5)


def bad_input(number: int) -> JobResult:
    """The parameter file could not be used."""
    return failed(job(number), InputError("there is no such file", place="x.yaml", remedy="name another"))
