"""Ctrl-C and its like while a notebook runs: the cell cleans up, the record is true, the exit code is 4."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.notebooks.generated import Workplace, ends, states
from tests.waiting import PATIENCE_SECONDS, wait_until

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@contextmanager
def running(workplace: Workplace, *notebooks: Path, background: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start ``runbook run``, perhaps as a shell's background job, and wait until a cell has made the file ``begun``."""
    command = [sys.executable, "-P", "-m", "runbook_lib", *workplace.arguments(*notebooks)]
    if background:
        command = ["sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh", *command]  # what "&" does in a script
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            wait_until(lambda: run.poll() is not None or (workplace.folder / "begun").exists())
            assert run.poll() is None, run.communicate()
            yield run
        finally:
            run.kill()


def cell(workplace: Workplace, *lines: str) -> str:
    """A cell that says that it has begun, and then does these lines; ``touch`` makes a file."""
    begin = [
        f"import os, pathlib, time\nos.chdir({str(workplace.folder)!r})",
        "touch = lambda name: pathlib.Path(name).touch()",
    ]
    return "\n".join([*begin, *lines])


def test_a_signal_lets_the_cell_clean_up_and_leaves_a_true_record(workplace: Workplace) -> None:
    slow = cell(workplace, "try:", "    touch('begun')", "    time.sleep(600)", "finally:", "    touch('cleaned_up')")
    first, second = workplace.notebook("01_slow", slow, "1"), workplace.notebook("02_later", "1")
    with running(workplace, first, second) as run:
        run.send_signal(signal.SIGTERM)
        output, errors = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 4
    assert (workplace.folder / "cleaned_up").exists()
    assert "interrupted by SIGTERM" in output
    assert "not run" in output
    assert "may clean up" in errors
    assert "Traceback" not in output + errors
    assert ends(workplace.record("01_slow")) == ["interrupted", "never run"]
    assert workplace.verdict("01_slow") == ("interrupted", 4)
    assert workplace.recorded() == ["01_slow"]


def test_a_background_job_whose_shell_ignores_ctrl_c_still_interrupts_its_cell_and_what_that_runs(
    workplace: Workplace,
) -> None:
    # The program ends by the default action of SIGINT, if nobody made it ignore that.
    program = "import signal; raise SystemExit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    slow = cell(
        workplace, "import subprocess, sys", f"subprocess.run([sys.executable, '-c', {program!r}], check=True)",
        "try:", "    touch('begun')", "    subprocess.run(['sleep', '600'])", "finally:", "    touch('cleaned_up')",
    )  # fmt: skip
    with running(workplace, workplace.notebook("01_slow", slow), background=True) as run:
        run.send_signal(signal.SIGINT)  # the terminal's Ctrl-C is not for it
        run.send_signal(signal.SIGTERM)
        output, errors = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 4, output + errors
    assert "interrupted by SIGTERM" in output
    assert "SIGTERM: the running cell may clean up" in errors
    assert (workplace.folder / "cleaned_up").exists()
    assert workplace.verdict("01_slow") == ("interrupted", 4)


def test_a_cell_that_swallows_the_interrupt_is_the_last_one(workplace: Workplace) -> None:
    swallowing = cell(
        workplace, "try:", "    touch('begun')", "    time.sleep(600)", "except KeyboardInterrupt:", "    pass"
    )
    with running(workplace, workplace.notebook("01_swallowing", swallowing, "touch('went_on')")) as run:
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 4
    assert "interrupted" in output
    assert not (workplace.folder / "went_on").exists()
    assert ends(workplace.record("01_swallowing")) == ["interrupted", "never run"]


def test_a_second_interrupt_ends_a_cell_that_does_not_listen(workplace: Workplace) -> None:
    deaf = cell(
        workplace, "while True:", "    try:", "        touch('begun')", "        time.sleep(600)",
        "    except KeyboardInterrupt:", "        touch('heard')",
    )  # fmt: skip
    with running(workplace, workplace.notebook("01_deaf", deaf)) as run:
        run.send_signal(signal.SIGINT)
        wait_until((workplace.folder / "heard").exists)
        time.sleep(0.6)  # sooner it would count as an echo of the first
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 4
    assert "interrupted by SIGINT" in output
    assert ends(workplace.record("01_deaf")) == ["interrupted"]


def test_output_that_nobody_reads_any_more_does_not_end_the_run(workplace: Workplace) -> None:
    notebook = workplace.notebook("01_good", cell(workplace, "touch('begun')", "time.sleep(1)"), "touch('went_on')")
    with running(workplace, notebook) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.wait(PATIENCE_SECONDS) == 0
    assert (workplace.folder / "went_on").exists()
    assert set(states(workplace.record("01_good"))) == {"completed"}
