from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from runbook_lib.errors import TestbedError
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.host import Process
from tests.waiting import PATIENCE_SECONDS, wait_until


def test_a_failed_program_is_told_with_its_command_and_its_output() -> None:
    with pytest.raises(TestbedError, match="exit status 3: sh -c 'echo trouble >&2; exit 3'") as caught:
        host.run(["sh", "-c", "echo trouble >&2; exit 3"])
    assert caught.value.log_tail == "trouble"


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(TestbedError, match="'no-such-program' is not installed"):
        host.run(["no-such-program"])


def test_a_program_that_takes_too_long_is_ended_with_its_helpers(tmp_path: Path) -> None:
    mark = tmp_path / "helper"
    with pytest.raises(TestbedError, match="did not end within 2 s"):
        host.run(["sh", "-c", f"sleep 600 & echo $! >{mark}; wait"], timeout=2)
    helper = Process.of(int(mark.read_text()))
    assert helper is None or helper.wait(PATIENCE_SECONDS)


def test_a_process_is_told_from_a_later_one_with_its_number(tmp_path: Path) -> None:
    process = host.spawn(["sleep", "60"], tmp_path / "log")
    record = tmp_path / "pid"
    record.write_text(f"{process.pid} {process.start_time}\n")
    assert Process.read(record) == process
    record.write_text(f"{process.pid} {process.start_time - 1}\n")
    assert Process.read(record) is None
    process.send(signal.SIGKILL)
    assert process.wait(PATIENCE_SECONDS)
    assert not process.alive


def test_waiting_for_a_process_that_stays_says_so(tmp_path: Path) -> None:
    process = host.spawn(["sleep", "60"], tmp_path / "log")
    assert process.wait(0.05) is False
    process.send(signal.SIGKILL)
    assert process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("text", ["", "rubbish", "1", "1 2 3"])
def test_a_damaged_pid_file_names_no_process(tmp_path: Path, text: str) -> None:
    record = tmp_path / "pid"
    record.write_text(text)
    assert Process.read(record) is None


def test_a_spawned_program_writes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = host.spawn([sys.executable, "-c", "print('here')"], log)
    assert process.wait(PATIENCE_SECONDS)
    assert host.tail_of(log) == "here"


def test_the_tail_of_a_missing_log_says_that_it_is_missing(tmp_path: Path) -> None:
    assert "cannot be read" in host.tail_of(tmp_path / "none")


def test_a_zombie_does_not_count_as_alive(tmp_path: Path) -> None:
    process = host.spawn(["sleep", "60"], tmp_path / "log")
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert not process.alive
