"""The plain papermill command: it runs our notebooks as it always does, and with our engine it keeps a true record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.notebooks.generated import Workplace, always, ends, states, text_of

PROJECT = Path(__file__).parents[2]


def papermill(workplace: Workplace, notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the papermill command; its output goes to ``out.ipynb``."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(workplace.folder / "out.ipynb"), *options]
    path = os.pathsep.join([str(PROJECT), str(installed(workplace.folder / "site"))])
    environment = {**os.environ, "PYTHONPATH": path, "OVERLAY_RUNBOOK_RECORDS": str(workplace.records)}
    return subprocess.run(command, env=environment, cwd=workplace.folder, capture_output=True, text=True, check=False)


def installed(folder: Path) -> Path:
    """A folder in which the package looks installed: with the entry points that pyproject.toml declares."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]["papermill.engine"]
    lines = ["[papermill.engine]", *(f"{name} = {target}" for name, target in declared.items())]
    metadata = folder / "overlay_runbook-0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def test_plain_papermill_runs_a_notebook_with_a_parameter_file(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    done = papermill(workplace, workplace.notebook("01_plain", "print(name)"), "-f", "parameters.yaml")
    assert done.returncode == 0, done.stderr
    assert "tiny" in text_of(json.loads((tmp_path / "out.ipynb").read_text()))


def errors_in(workplace: Workplace) -> list[str]:
    """The errors that papermill's output shows, by name."""
    notebook = json.loads((workplace.folder / "out.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return [output["ename"] for output in outputs if output["output_type"] == "error"]


def test_papermill_with_our_engine_leaves_a_true_record_of_a_dead_kernel(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = workplace.notebook(
        "01_dying", "print(name)", "import os; os._exit(1)", "1", always("print('cleaned up')")
    )
    done = papermill(workplace, notebook, "--engine", "runbook", "-f", "parameters.yaml", "-p", "name", "given")
    assert done.returncode == 6, done.stderr
    assert "Error: the kernel died with exit status 1" in done.stderr
    assert "Traceback" not in done.stderr
    output = json.loads((tmp_path / "out.ipynb").read_text())
    assert "given" in text_of(output)
    assert "cleaned up" in text_of(output)
    assert states(output) == ["completed", "completed", "completed", "failed", "pending", "completed"]
    assert ends(output) == ["completed", "failed", "never run", "completed"]
    assert output["metadata"]["papermill"]["exception"] is True
    assert workplace.verdict("01_dying") == ("kernel died", 6)
    assert ends(workplace.record("01_dying")) == ends(output)


def test_papermill_with_our_engine_marks_a_failed_cell_as_it_always_does(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = workplace.notebook("01_exiting", "print('logged')", "import sys; sys.exit(0)", "1")
    done = papermill(workplace, notebook, "--engine", "runbook", "-f", "parameters.yaml", "--log-output")
    assert done.returncode == 1, done.stderr
    assert "logged" in done.stderr
    assert "papermill-error-cell" in (tmp_path / "out.ipynb").read_text()
    assert errors_in(workplace) == ["SystemExit", "SystemExit"]
    assert workplace.verdict("01_exiting") == ("error", 3)


def test_papermill_with_our_engine_refuses_bad_parameters_before_anything_is_written(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    bad = ("-f", "parameters.yaml", "-p", "nmae", "typo", "-y", "{probes: {count: many}}")
    done = papermill(workplace, workplace.notebook("01_good", "1"), "--engine", "runbook", *bad)
    assert done.returncode == 2, done.stderr
    assert "nmae" in done.stderr
    assert "probes.count" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.ipynb").exists()
    assert not workplace.records.exists()


def test_papermill_with_our_engine_tells_of_bad_input_that_a_cell_found_with_its_own_exit_code(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    refusing = "from runbook_lib.errors import InputError\nraise InputError('too new', place='node1', remedy='choose')"
    done = papermill(
        workplace, workplace.notebook("01_refusing", refusing, "1"), "--engine", "runbook", "-f", "parameters.yaml"
    )
    assert done.returncode == 2, done.stderr
    assert "Error: In [3]: node1: too new\n  remedy: choose" in done.stderr
    assert "Traceback" not in done.stderr
    assert errors_in(workplace) == ["InputError"]
    assert workplace.verdict("01_refusing") == ("bad input", 2)


def test_papermill_with_our_engine_tells_of_a_timeout_with_its_own_exit_code(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = workplace.notebook("01_slow", "import time; time.sleep(60)", "1")
    options = ("--engine", "runbook", "-f", "parameters.yaml", "--execution-timeout", "1")
    done = papermill(workplace, notebook, *options)
    assert done.returncode == 5, done.stderr
    assert "Error: the cell did not end within 1 s" in done.stderr
    assert ends(json.loads((tmp_path / "out.ipynb").read_text())) == ["timed out", "never run"]


@pytest.mark.parametrize("engine", [(), ("--engine", "runbook")], ids=["plain papermill", "our engine"])
def test_no_answer_that_somebody_left_in_an_exercise_is_tried(tmp_path: Path, engine: tuple[str, ...]) -> None:
    workplace = Workplace(tmp_path)
    answered = workplace.notebook(
        "01_answered",
        "from runbook_lib.session.exercises import exercise",
        "b = exercise('01-b', prediction='one', notebook='01_answered')",
        "if b.answered:\n    1 / 0",
    )
    done = papermill(workplace, answered, *engine, "-f", "parameters.yaml")
    assert done.returncode == 0, done.stderr
    told = [
        "".join(output["data"]["text/plain"])
        for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert [text for text in told if "exercise 01-b is left alone (an answer stands in the cell" in text], told


CLAIM = """
import os, subprocess, sys
from runbook_lib.model.loading import load_run
from runbook_lib.session.claim import Claim
claim = Claim(load_run({"inventory": inventory, "containers": []}).inventory, "01_page")
other = "import sys; from runbook_lib.model.loading import load_run; from runbook_lib.locking import take_locks;"
other += "take_locks(load_run({'inventory': sys.argv[1], 'containers': []}).inventory, 'another page')"
def told():
    strange = {name: value for name, value in os.environ.items() if name != "OVERLAY_RUNBOOK_LOCK_TOKEN"}
    done = subprocess.run([sys.executable, "-c", other, inventory], env=strange, capture_output=True, text=True)
    return done.stderr.splitlines()[-2] if done.returncode else "free"
print("before:", told())
with claim.held():
    print("in the block:", told())
print("after the block:", told())
"""


@pytest.mark.parametrize("engine", [(), ("--engine", "runbook")], ids=["as in a page", "under a runner"])
def test_a_cell_that_works_holds_the_cluster_to_its_end_and_its_kernel_works_under_its_runner(
    tmp_path: Path, engine: tuple[str, ...]
) -> None:
    workplace = Workplace(tmp_path)
    done = papermill(
        workplace, workplace.notebook("01_page", CLAIM, "print('next cell:', told())"), *engine, "-f", "parameters.yaml"
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    texts = ["".join(output["text"]) for cell in cells for output in cell.get("outputs", ()) if "text" in output]
    lines = dict(line.split(": ", 1) for line in "".join(texts).splitlines())
    assert list(lines) == ["before", "in the block", "after the block", "next cell"]
    held_by = "papermill, notebook 01_page" if engine else "notebook 01_page"
    for moment, told in lines.items():
        if engine or moment in ("in the block", "after the block"):
            assert f"the cluster is in use: {held_by} (process " in told, (moment, told)
        else:
            assert told == "free", (moment, told)
