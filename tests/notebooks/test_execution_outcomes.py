"""``runbook run`` on small notebooks, with real kernels: what it says, keeps and returns."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from runbook_lib import cli
from tests.notebooks.generated import PUBLISH, Workplace, states, text_of


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    # papermill fills in what stands in braces, unless it is told that a path is meant.
    folder = tmp_path / "a {folder}"
    folder.mkdir()
    return Workplace(folder)


@pytest.fixture
def other_kernelspec(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a python3 that is not this one; it must make no difference."""
    spec = workplace.folder / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(workplace.folder / "jupyter"))


def test_notebooks_run_in_turn_with_a_line_a_step_and_a_summary(
    workplace: Workplace, capfd: pytest.CaptureFixture[str], other_kernelspec: None
) -> None:
    first = workplace.notebook(
        "01_first",
        PUBLISH,
        "publish({'kind': 'step', 'step': 'create network ovr0', 'node': 'node1', 'status': 'changed', 'seconds': 0.4},"
        "{'kind': 'step', 'step': 'create network ovr0', 'node': 'node2', 'status': 'ok', 'seconds': 0.1})",
        "publish({'kind': 'finish', 'notebook': '01_first', 'verdict': 'pass', 'seconds': 1.0})",
    )
    second = workplace.notebook("02_second", "import sys, runbook_lib", "print(sys.executable, name, probes, plan)")
    options = ("-p", "probes.count", "7", "--plan")
    assert cli.main(workplace.arguments(first, second, options=options)) == 0
    output = capfd.readouterr().out
    (step,) = [line for line in output.splitlines() if "node1" in line]
    assert step.split() == ["01_first", "create", "network", "ovr0", "node1", "changed", "0.4", "s"]
    rows = [line.split() for line in output.splitlines() if re.search(r" [0-9a-f]{10}\s*$", line)]
    assert [row[:4] for row in rows] == [["01_first", "planned", "2", "1"], ["02_second", "planned", "0", "0"]]
    assert workplace.recorded() == ["01_first", "02_second"]
    assert f"{sys.executable} tiny {{'count': 7}} True" in text_of(workplace.record("02_second"))
    assert set(states(workplace.record("01_first"))) == {"completed"}


def test_a_failed_check_ends_the_run_with_its_message_and_without_traceback(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = workplace.notebook(
        "01_failing",
        "from runbook_lib.errors import CheckFailed",
        "raise CheckFailed('no leader', expected=1, found=0, node='node2', remedy='wait a minute')",
        "print('never')",
    )
    later = workplace.notebook("02_later", "1")
    assert cli.main(workplace.arguments(failing, later)) == 1
    output = capfd.readouterr().out
    assert "01_failing: failed in cell In [4] (CheckFailed)" in output
    assert "  node2: no leader\n    expected: 1\n    found:    0\n    remedy: wait a minute\n  record: " in output
    assert "Traceback" not in output
    assert [line.split()[:3] for line in output.splitlines() if line.strip().startswith("02_later")] == [
        ["02_later", "not", "run"]
    ]
    assert states(workplace.record("01_failing")) == ["completed"] * 3 + ["failed", "pending"]
    assert workplace.recorded() == ["01_failing"]


@pytest.mark.parametrize(
    ("cell", "code", "said"),
    [
        ("from runbook_lib.errors import InputError\nraise InputError('no such node')", 2, "no such node"),
        ("1 / 0", 3, "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", 3, "SystemExit"),
    ],
    ids=["input", "unexpected", "sys.exit"],
)
def test_the_exit_code_is_that_of_the_error_in_the_cell(
    workplace: Workplace, capfd: pytest.CaptureFixture[str], cell: str, code: int, said: str
) -> None:
    assert cli.main(workplace.arguments(workplace.notebook("01_failing", cell, "1"))) == code
    assert said in capfd.readouterr().out
    assert states(workplace.record("01_failing"))[-2:] == ["failed", "pending"]


def test_a_dead_kernel_is_told_and_later_cells_stay_pending(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    notebook = workplace.notebook("01_dying", "import os", "os._exit(7)", "1")
    assert cli.main(workplace.arguments(notebook)) == 6
    assert "the kernel died with exit status 7" in capfd.readouterr().out
    record = workplace.record("01_dying")
    assert states(record)[-3:] == ["completed", "failed", "pending"]
    assert record["cells"][-2]["outputs"][-1]["ename"] == "DeadKernelError"


def test_a_cell_out_of_time_may_clean_up_and_is_a_timeout(
    workplace: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    mark = workplace.folder / "cleaned_up"
    slow = f"import pathlib, time\ntry:\n    time.sleep(600)\nfinally:\n    pathlib.Path({str(mark)!r}).touch()"
    notebook = workplace.notebook("01_slow", slow, "1")
    assert cli.main(workplace.arguments(notebook, options=("--timeout", "1"))) == 5
    assert "did not end within 1 s" in capfd.readouterr().out
    assert mark.exists()
    assert states(workplace.record("01_slow"))[-2:] == ["failed", "pending"]


def test_a_cell_that_swallows_the_timeout_is_a_timeout_nonetheless(workplace: Workplace) -> None:
    swallowing = "import time\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    pass"
    notebook = workplace.notebook("01_swallowing", swallowing, "1")
    assert cli.main(workplace.arguments(notebook, options=("--timeout", "1"))) == 5
    assert states(workplace.record("01_swallowing"))[-2:] == ["failed", "pending"]


def test_a_skipped_cell_is_not_called_completed(workplace: Workplace) -> None:
    path = workplace.notebook("01_skipping", "1", "2")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-2].metadata["tags"] = ["skip-execution"]
    nbformat.write(notebook, path)
    assert cli.main(workplace.arguments(path)) == 0
    assert states(workplace.record("01_skipping"))[-2:] == ["pending", "completed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-p", "overlay.nmae", "ovr1"), "-p overlay.nmae: unknown parameter"),
        (("-p", "probes.count", "many"), "-p probes.count"),
        (("-p", "plan"), "-p: it takes a key and a value"),
        (("-f", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
        (("07_nothing",), "there is no notebook '07_nothing'"),
        (("--timeout", "0"), "--timeout"),
    ],
    ids=["unknown parameter", "bad value", "half a parameter", "no file", "no notebook", "no time"],
)
def test_bad_input_is_refused_before_anything_runs(
    workplace: Workplace, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert cli.main(workplace.arguments(workplace.notebook("01_good", "1"), options=options)) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert not workplace.records.exists()


def test_no_kernel_and_no_socket_is_left_behind(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    # a long path would have no room for a socket's name, and be passed over for /tmp
    sockets = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(sockets))
    failing = workplace.notebook("01_failing", "import os; print('kernel', os.getpid())", "1 / 0")
    later = workplace.notebook("02_later", "1")
    assert cli.main(workplace.arguments(failing, later)) == 3
    kernel = int(text_of(workplace.record("01_failing")).split("kernel ")[1].split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    sockets.rmdir()  # which succeeds only if nothing is left in it
