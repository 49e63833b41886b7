"""How cells end, and which of them run: what the engine notes, with real kernels."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # type: ignore[import-untyped]
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]

from runbook_lib.errors import InterruptedRun
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.kernel.kernels import Kernels
from tests.notebooks.generated import Execution, Workplace, always, execute
from tests.waiting import wait_until

TOUCH = "import pathlib, time\ntouch = lambda name: pathlib.Path({folder!r}, name).touch()\n"
SLOW = "try:\n    touch('begun')\n    time.sleep(600)\nfinally:\n    touch('cleaned_up')"


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def touch(workplace: Workplace) -> str:
    """A cell after which ``touch`` makes a file in the workplace."""
    return TOUCH.format(folder=str(workplace.folder))


def made(workplace: Workplace) -> set[str]:
    """Names of the files that cells made."""
    return {path.name for path in workplace.folder.iterdir() if not path.stat().st_size and path.is_file()} - {
        "key",
        "known_hosts",
    }


def errors_in(run: Execution, cell: int) -> list[str]:
    """The errors that a code cell shows, but for the parameters: name and message."""
    code = [cell for cell in run.notebook["cells"] if cell["cell_type"] == "code"][1:]
    outputs = code[cell]["outputs"]
    return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]


def gone(process: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_good_notebook_runs_its_always_cells_once_and_in_order(workplace: Workplace) -> None:
    run = execute(workplace, workplace.notebook("01_good", "order = [1]", always("order += [2]"), "print(order + [3])"))
    assert run.error is None
    assert run.ends == ["completed"] * 3
    assert "[1, 2, 3]" in run.text


def test_always_cells_run_after_a_failure_and_each_tells_of_its_own(workplace: Workplace) -> None:
    cells = (
        "1 / 0",
        "'between'",
        always("touch_it = 1\nraise ValueError('not cleaned')"),
        always("print('also this')"),
    )
    run = execute(workplace, workplace.notebook("01_failing", *cells))
    assert isinstance(run.error, PapermillExecutionError)
    assert run.error.ename == "ZeroDivisionError"
    assert run.ends == ["failed", "never run", "failed", "completed"]
    assert "also this" in run.text
    assert "not cleaned" in run.text
    assert run.result is not None
    assert run.result.failure is not None
    assert run.result.failure.name == "ZeroDivisionError"


def test_after_the_kernels_death_always_cells_run_in_a_fresh_one_with_the_parameters(workplace: Workplace) -> None:
    cells = ("import os; os._exit(7)", "'between'", always("import os; print(name, probes, os.getpid())"))
    with Kernels() as kernels:
        notebook = workplace.notebook("01_dying", *cells)
        run = execute(workplace, notebook, {"name": "given", "probes": 3}, kernels=kernels)
        assert isinstance(run.error, DeadKernelError)
        assert str(run.error) == "the kernel died with exit status 7"
        assert run.ends == ["failed", "never run", "completed"]
        said, number, process = run.text.split()[-3:]
        assert (said, number) == ("given", "3")
        assert gone(int(process))
    assert run.result is not None
    assert run.result.verdict == "kernel died"


def test_a_kernel_that_dies_between_two_cells_leaves_the_next_one_never_run(workplace: Workplace) -> None:
    # The cell ends well, and so does its successor begin: the kernel ends itself in between.
    pid, go = workplace.folder / "pid", workplace.folder / "go"
    dying = (
        "import os, pathlib, signal, threading, time\n"
        "def die():\n"
        f"    while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\n"
        "threading.Thread(target=die, daemon=True).start()"
    )

    class Waiting:
        def cell_started(self, number: int, total: int, source: str) -> None:
            if source == "'later'":
                go.touch()
                wait_until(
                    lambda: Path(f"/proc/{pid.read_text()}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
                )

        def displayed(self, data: object, *, updated: bool) -> None:
            raise AssertionError

    run = execute(workplace, workplace.notebook("01_dying", dying, "'later'"), watcher=Waiting())
    assert isinstance(run.error, DeadKernelError)
    assert run.ends in (["completed", "never run"], ["completed", "failed"])
    assert "SIGKILL" in str(run.error)


def test_a_kernel_that_dies_while_it_starts_leaves_all_cells_never_run(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = workplace.folder / "python"
    broken.write_text("#!/bin/sh\necho no module named ipykernel >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    run = execute(workplace, workplace.notebook("01_dying", "'first'", always("'at the end'")))
    assert isinstance(run.error, DeadKernelError)
    assert str(run.error) == "the kernel died while it started with exit status 1\n  | no module named ipykernel"
    assert run.ends == ["never run", "never run"]
    assert "this cell could not be run: the kernel died while it started" in run.text
    assert run.result is not None
    assert (run.result.verdict, run.result.exit_code) == ("kernel died", 6)


@pytest.mark.parametrize("end", ["time.sleep(600)", "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    pass"])
def test_the_notebooks_own_limit_ends_the_cell_that_runs(workplace: Workplace, touch: str, end: str) -> None:
    slow = f"try:\n    {end.replace(chr(10), chr(10) + '    ')}\nfinally:\n    touch('cleaned_up')"
    notebook = workplace.notebook("01_slow", touch, slow, "'later'", always("touch('at_the_end')"))
    with Kernels() as kernels:
        # The start of a kernel counts, which takes seconds on a busy machine.
        kernels.prepare()
        spare = kernels._spare
        assert spare is not None
        wait_until(Path(f"{spare.ip}-{spare.control_port}").exists, "the kernel listens")
        run = execute(workplace, notebook, notebook_timeout=5, kernels=kernels)
    assert isinstance(run.error, CellTimeoutError)
    assert run.ends == ["completed", "timed out", "never run", "completed"]
    assert "the notebook did not end within 5 s" in errors_in(run, 1)[0]
    assert made(workplace) == {"cleaned_up", "at_the_end"}
    assert run.result is not None
    assert run.result.exit_code == 5


def test_a_cell_that_ignores_its_end_is_killed_and_always_cells_run_elsewhere(workplace: Workplace) -> None:
    ignoring = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"
    deaf = f"import os\nprint(os.getpid(), flush=True)\n{ignoring}"
    with Interruption(grace_seconds=0.5).installed() as interruption:
        notebook = workplace.notebook("01_deaf", deaf, always("print(os.getpid() if 'os' in dir() else 'fresh')"))
        run = execute(workplace, notebook, execution_timeout=2, interruption=interruption)
    assert isinstance(run.error, CellTimeoutError)
    assert run.ends == ["timed out", "completed"]
    assert "fresh" in run.text
    assert gone(int(run.text.split()[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_the_cell_and_lets_the_always_cells_run(
    workplace: Workplace, touch: str, number: signal.Signals
) -> None:
    notebook = workplace.notebook("01_slow", touch, SLOW, "'later'", always("touch('at_the_end')"))
    with signal_when(workplace.folder / "begun", number):
        run = execute(workplace, notebook)
    assert isinstance(run.error, InterruptedRun)
    assert run.ends == ["completed", "interrupted", "never run", "completed"]
    assert made(workplace) == {"begun", "cleaned_up", "at_the_end"}
    assert run.result is not None
    assert (run.result.verdict, run.result.exit_code) == ("interrupted", 4)


def test_a_second_signal_ends_the_always_cells_too(workplace: Workplace, touch: str) -> None:
    cleaning = always("touch('begun')\ntime.sleep(600)")
    notebook = workplace.notebook("01_slow", touch, SLOW.replace("begun", "first"), cleaning, always("touch('late')"))
    with signal_when(workplace.folder / "first", signal.SIGINT), signal_when(workplace.folder / "begun", signal.SIGINT):
        run = execute(workplace, notebook)
    assert isinstance(run.error, InterruptedRun)
    assert run.ends == ["completed", "interrupted", "interrupted", "never run"]
    assert "late" not in made(workplace)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("exit()", "exit() in a cell ends the notebook as failed"),
        ("import sys; sys.exit(0)", "sys.exit(0) in a cell ends the notebook as failed"),
        ("input('well? ')", "input() is not available in batch runs"),
    ],
)
def test_a_cell_that_asks_for_the_end_or_for_an_answer_has_failed(workplace: Workplace, source: str, said: str) -> None:
    run = execute(workplace, workplace.notebook("01_asking", source, "'later'", always("print('clean')")))
    assert isinstance(run.error, PapermillExecutionError)
    assert run.ends == ["failed", "never run", "completed"]
    assert said in errors_in(run, 0)[0]
    assert "clean" in run.text
    assert run.result is not None
    assert run.result.exit_code == 3


class signal_when:
    """Sends this process a signal, in another thread, once a file exists."""

    def __init__(self, file: Path, number: signal.Signals) -> None:
        self._file = file
        self._number = number
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self._file.exists():
                # An echo of a former signal would not count.
                self._over.wait(0.6)
                os.kill(os.getpid(), self._number)
                return
