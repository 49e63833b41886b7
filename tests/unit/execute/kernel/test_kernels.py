"""Kernels as processes; each of these tests starts a real one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.execute.kernel.kernels import Kernels
from tests.waiting import wait_until


def ended(process: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(autouse=True)
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def test_a_kernel_has_pipes_that_only_its_user_can_open_and_knows_them(temporary_files: Path) -> None:
    with Kernels() as kernels:
        kernel = kernels.take()
        for pipe in (kernel.journal, kernel.pace):
            mode = pipe.stat().st_mode
            assert stat.S_ISFIFO(mode)
            assert stat.S_IMODE(mode) == 0o600
            assert str(pipe).encode() in Path(f"/proc/{kernel.process}/environ").read_bytes()
        kernels.shut_down(kernel)
        kernels.wait_for_shutdown()
        assert ended(kernel.process)
        assert not list(temporary_files.iterdir())


def test_a_kernel_that_was_prepared_is_the_next_one_and_one_that_nobody_took_ends(temporary_files: Path) -> None:
    with Kernels() as kernels:
        kernels.prepare()
        kernels.prepare()
        (folder,) = temporary_files.iterdir()
        first = kernels.take()
        assert first.folder == str(folder)
        kernels.shut_down(first, kill=True)
        assert ended(first.process)
        kernels.prepare()
    assert not list(temporary_files.iterdir())


def test_what_is_written_before_anybody_reads_the_journal_is_kept() -> None:
    with Kernels() as kernels:
        kernel = kernels.take()
        writer = os.open(kernel.journal, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, b"early\n")
        os.close(writer)
        reader = os.open(kernel.journal, os.O_RDONLY | os.O_NONBLOCK)
        assert os.read(reader, 100) == b"early\n"
        os.close(reader)
        kernels.shut_down(kernel, kill=True)


def test_a_kernel_is_not_waited_for_longer_than_it_takes_to_end() -> None:
    with Kernels() as kernels:
        kernel = kernels.take()
        kernel.shutdown_wait_time = 1e6  # what is waited for is its end: the test would not live to see this
        wait_until(Path(f"{kernel.ip}-{kernel.control_port}").exists, "the kernel listens")
        kernels.shut_down(kernel)
        kernels.wait_for_shutdown()
        assert ended(kernel.process)
