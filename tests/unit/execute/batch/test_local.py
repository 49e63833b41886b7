"""Worker processes of this machine, started by a program of their own each time, as a batch is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[4]
PROGRAM = """
import sys
from pathlib import Path
from runbook_lib.errors import RunbookError
from runbook_lib.execute.batch import local
from runbook_lib.execute.batch.jobs import Job
from runbook_lib.execute.run.preparation import Request

if __name__ == "__main__":
    local._TEMPLATE = sys.argv[1]
    with local.LocalProcesses() as workers:
        try:
            files = [Path(f"/absent/{n}.yaml") for n in range(2)]
            jobs = [Job(n, str(n), file, Request(file), (), "records") for n, file in enumerate(files)]
            futures = [workers.submit(job) for job in jobs]
        except RunbookError as error:
            sys.exit(f"told: {error}")
        for future in futures:
            print(future.result().failure.message)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "broken_template.py").write_text("raise ValueError('broken')")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def run(program: Path, template: str) -> subprocess.CompletedProcess[str]:
    path = f"{PROJECT}:{program.parent}"
    command = [sys.executable, program, template]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": path}, timeout=60)


def test_each_job_has_a_process_that_returns_its_result(program: Path) -> None:
    told = run(program, "runbook_lib.execute.batch.jobs")
    assert told.returncode == 0, told.stderr
    assert [line.split(":")[0] for line in told.stdout.splitlines() if line.startswith("/absent")] == [
        "/absent/0.yaml",
        "/absent/1.yaml",
    ]


def test_a_template_that_breaks_off_is_an_error_of_each_cluster_and_no_crash(program: Path) -> None:
    told = run(program, "broken_template")
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("told: no process can be started for it (EOFError")
    assert "ValueError: broken" in told.stderr
