"""What no cell can help: the runner is killed, the disk is full. The cell cleans up, and the record says no more."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.errors import RecordError
from runbook_lib.execute.kernel.kernels import Kernels
from runbook_lib.records.store.reading import read_record
from tests.notebooks.generated import Workplace, always, execute
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]
_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def adopting() -> Iterator[None]:
    """Adopt orphans here, as in a container whose first process is not the one that adopts."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def ended(process: int) -> bool:
    """Whether an adopted process has ended; it is then forgotten."""
    try:
        return os.waitpid(process, os.WNOHANG)[0] == process
    except ChildProcessError:
        return False  # not adopted yet


def start_runner(workplace: Workplace, notebook: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "runbook_lib", *workplace.arguments(notebook)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(workplace.folder / "t")}
    (workplace.folder / "t").mkdir()
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_killed_runner_takes_its_kernel_along_which_cleans_up_first(workplace: Workplace, adopting: None) -> None:
    slow = (
        f"import os, pathlib, time\nos.chdir({str(workplace.folder)!r})\n"
        "try:\n    pathlib.Path('kernel').write_text(str(os.getpid()))\n    time.sleep(600)\n"
        "finally:\n    time.sleep(1.5)\n    pathlib.Path('cleaned_up').touch()"
    )
    kernel = workplace.folder / "kernel"
    with start_runner(workplace, workplace.notebook("01_slow", slow, "1")) as runner:
        wait_until(lambda: kernel.exists() and kernel.read_text(), "the cell begins")
        runner.send_signal(signal.SIGKILL)
    wait_until(lambda: ended(int(kernel.read_text())), "the kernel ends")
    assert (workplace.folder / "cleaned_up").exists()
    assert not list((workplace.folder / "t").iterdir())
    record = read_record(workplace.folder_of("01_slow"))
    assert record.verdict == "interrupted"
    assert all(cell.state in ("completed", "interrupted", "never run") for cell in record.cells)


def test_a_runner_that_is_killed_before_its_kernel_has_started_leaves_none(tmp_path: Path, adopting: None) -> None:
    script = (
        "import os, signal, sys\nfrom runbook_lib.execute.kernel.kernels import Kernels\n"
        "with Kernels() as kernels:\n    kernel = kernels.take()\n    print(kernel.process, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, check=False)
    wait_until(lambda: ended(int(done.stdout)), "the kernel ends")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(workplace: Workplace) -> Iterator[None]:
    """Let records be on a disk of 8 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    workplace.records.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(workplace.records)], check=True)
    yield
    subprocess.run(["umount", str(workplace.records)], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_ends_the_cell_which_cleans_up_and_is_told(workplace: Workplace) -> None:
    mark = workplace.folder / "cleaned_up"
    filling = (
        "import pathlib, time\ntry:\n    print('x' * 20_000_000)\n    time.sleep(1e6)\n"
        f"finally:\n    pathlib.Path({str(mark)!r}).touch()"
    )
    good = execute(workplace, workplace.notebook("00_good", "1"))
    with Kernels() as kernels:
        notebook = workplace.notebook("01_filling", filling, "'later'", always("print('x' * 2_000_000)"))
        run = execute(workplace, notebook, kernels=kernels)
    assert isinstance(run.error, RecordError)
    assert "the disk is full" in str(run.error)
    assert mark.exists()
    record = read_record(workplace.folder_of("01_filling"))
    assert record.verdict == "error"
    assert record.failure is not None
    assert "the disk is full" in record.failure.message
    assert [cell.state for cell in record.cells][1:] == ["interrupted", "never run", "completed"]
    assert read_record(good.folder).verdict == "pass"
