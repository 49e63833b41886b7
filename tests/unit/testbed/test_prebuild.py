"""What builds the root filesystem while there is no Python environment yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.testbed.prebuild import needs_testbed

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run 05",
        "run --cell-timeout 60",
        "notebook --no-browser",
        "testbed up --name other --nodes 2",
        "test",
        "test -x --lf",
    ],
)
def test_these_commands_need_the_usual_testbed(line: str) -> None:
    assert needs_testbed(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "--version",
        "run --help",
        "run --plan",
        "run -f params/own-cluster.yaml",
        "run --file=params/testbed-swarm-mode.yaml",
        "run -p control_plane swarm-mode",
        "run -fparams/own-cluster.yaml 00",
        "run nonsense",
        "run 10",
        "run 01 --undo",
        "run /elsewhere/local.ipynb",
        "notebook -fparams/own-cluster.yaml",
        "test --collect-only",
        "notebook --no-testbed",
        "notebook --reset 05",
        "testbed down",
        "testbed status --json",
        "testbed up --platform debian",
        "test unit",
        "test tests/unit -x",
        "records list",
        "inventory check",
    ],
)
def test_these_do_not_or_need_another_one(line: str) -> None:
    assert not needs_testbed(line.split())


def test_it_needs_the_standard_library_alone() -> None:
    program = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import runbook_lib.testbed.prebuild"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_ends_when_the_process_ends_that_it_was_started_for() -> None:
    program = (
        f"import sys, threading, time; sys.path.insert(0, {str(PROJECT)!r})\n"
        "from runbook_lib.testbed import prebuild\n"
        "threading.Thread(target=prebuild._end_with, args=(int(sys.argv[1]),), daemon=True).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(["sleep", "600"]) as owner:
        argv = [sys.executable, "-c", program, str(owner.pid)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as builder:
            assert builder.stdout is not None
            assert builder.stdout.readline() == "ready\n"
            owner.kill()
            assert builder.communicate(timeout=60)[1].endswith("KeyboardInterrupt\n")


def prebuild(folder: Path, *command: str, **variables: str) -> tuple[int, str, Path]:
    """Run it as the launcher does; return exit status, stdout and the log."""
    log = folder / "log"
    program = "import sys; sys.path.insert(0, sys.argv[1]); from runbook_lib.testbed import prebuild; prebuild.main()"
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", program, str(PROJECT), str(os.getpid()), str(log), *command],
            env={**os.environ, "OVERLAY_RUNBOOK_CACHE": str(folder / "cache"), **variables},
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    return done.returncode, done.stdout, log


def test_nothing_is_done_for_another_command(tmp_path: Path) -> None:
    status, stdout, log = prebuild(tmp_path, "records", "list")
    assert (status, stdout, log.exists()) == (0, "", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds the root filesystem: sudo ./runbook test")
def test_a_failure_is_in_the_log_alone(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "mmdebstrap"):
        (tools / name).write_text("#!/bin/sh\necho E: no such mirror >&2\nexit 100\n")
        (tools / name).chmod(0o755)
    status, stdout, log = prebuild(tmp_path, "run", PATH=f"{tools}:/usr/bin:/bin")
    assert status == 1
    assert stdout.startswith("runbook: meanwhile ")
    assert stdout.endswith(f"building the nodes' root filesystem; log: {log}\n")
    assert "E: no such mirror" in log.read_text()
