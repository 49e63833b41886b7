"""The plain papermill command: it runs our notebooks as it always does, and with our engine it keeps a true record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]
from papermill.execute import execute_notebook  # type: ignore[import-untyped]

from runbook_lib import records
from runbook_lib.errors import InputError
from tests.notebooks.generated import METADATA, Workplace, always, ends, states, text_of

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
    notebook = workplace.notebook("01_slow", "import time; time.sleep(600)", "1")
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
        "from runbook_lib.session.expectations import exercise",
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
    assert [text for text in told if "exercise 01-b is skipped (the cell contains an answer" in text], told


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


def edited(notebook: Path, change: Callable[[Any], object]) -> Path:
    """The same file with something changed in its JSON."""
    content = json.loads(notebook.read_text())
    change(content)
    notebook.write_text(json.dumps(content))
    return notebook


INVALID: dict[str, tuple[Callable[[Any], object], str]] = {
    "authors": (lambda nb: nb["metadata"].update(authors="Ada"), "metadata.authors: 'Ada' is not of type 'array'"),
    "tags": (
        lambda nb: nb["cells"][1]["metadata"].update(tags="parameters"),
        "cell 2 (code).metadata.tags: 'parameters' is not of type 'array'",
    ),
    "language": (lambda nb: nb["metadata"]["kernelspec"].update(language="R"), "the notebook is in R, and only Python"),
}


@pytest.mark.parametrize(("change", "told"), INVALID.values(), ids=INVALID)
def test_what_is_no_valid_notebook_or_no_python_is_refused_before_anything_is_done(
    tmp_path: Path, change: Callable[[Any], object], told: str
) -> None:
    workplace = Workplace(tmp_path)
    notebook = edited(workplace.notebook("01_mine", "open('done', 'w')"), change)
    done = papermill(workplace, notebook, "--engine", "runbook", "-f", "parameters.yaml", "--cwd", str(tmp_path))
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    command = [sys.executable, "-P", "-m", "runbook_lib", *workplace.arguments(notebook)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, told in ran.stderr) == (2, True), ran.stderr
    assert not list(tmp_path.glob("done"))
    assert workplace.recorded() == []


def test_a_kernel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = workplace.notebook("01_mine", "1")
    for options, told in (
        (("--kernel", "nosuch"), "has no kernel 'nosuch'"),
        (("--language", "R", "-p", "plan", "true"), "the notebook is in R, and only Python"),
    ):
        done = papermill(workplace, notebook, "--engine", "runbook", *options)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert workplace.recorded() == []


def test_parameters_for_a_notebook_whose_cell_for_them_lost_its_tag_are_refused_by_everybody(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    start = "from runbook_lib.session import start\nrun = start('01_mine', globals())"
    notebook = edited(workplace.notebook("01_mine", start), lambda nb: nb["cells"][1]["metadata"].pop("tags"))
    ours = papermill(workplace, notebook, "--engine", "runbook", "-f", "parameters.yaml")
    assert (ours.returncode, "no cell has the tag 'parameters'" in ours.stderr) == (2, True), ours.stderr
    command = [sys.executable, "-P", "-m", "runbook_lib", *workplace.arguments(notebook)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, "no cell has the tag 'parameters'" in ran.stderr) == (2, True), ran.stderr
    assert workplace.recorded() == []
    plain = papermill(workplace, notebook, "-f", "parameters.yaml")
    assert plain.returncode == 1
    assert errors_in(workplace) == ["InputError"]
    assert "name, inventory was given, but a later cell of the notebook overwrites it" in plain.stderr


def test_a_kernelspec_without_a_name_to_show_does_no_harm(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = edited(workplace.notebook("01_mine", "1"), lambda nb: nb["metadata"]["kernelspec"].pop("display_name"))
    done = papermill(workplace, notebook, "--engine", "runbook", "-f", "parameters.yaml")
    assert done.returncode == 0, done.stderr
    assert workplace.verdict("01_mine") == ("pass", 0)
    page = (workplace.folder_of("01_mine") / "notebook.html").read_text()
    assert "In&nbsp;[2]" in page


@pytest.fixture
def archive_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    workplace = Workplace(tmp_path)
    monkeypatch.setenv("OVERLAY_RUNBOOK_RECORDS", str(workplace.records))
    return workplace


def test_a_notebook_that_a_program_made_is_executed_like_one_in_a_file(archive_here: Workplace) -> None:
    path = archive_here.notebook("01_mine", "print('made by a program')")
    made = nbformat.read(path, as_version=4)
    given = {"name": "tiny", "inventory": str(archive_here.folder / "inventory.yaml"), "containers": []}
    done = execute_notebook(made, None, given, engine_name="runbook", progress_bar=False)
    assert "made by a program" in text_of(done)
    assert archive_here.recorded() == ["notebook"]
    assert archive_here.verdict("notebook") == ("pass", 0)


def program(*sources: str | NotebookNode) -> NotebookNode:
    """A notebook that needs no cluster."""
    cells = [nbformat.v4.new_code_cell(source) if isinstance(source, str) else source for source in sources]
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def run_with(notebook: NotebookNode, **options: Any) -> NotebookNode:
    return execute_notebook(notebook, None, engine_name="runbook", progress_bar=False, **options)


@pytest.mark.usefixtures("archive_here")
def test_settings_of_nbclient_count_as_they_do_without_our_engine() -> None:
    tagged = nbformat.v4.new_code_cell("print('not this')", metadata={"tags": ["leave-out"]})
    told: list[tuple[str, int]] = []
    hooks = {
        f"on_cell_{name}": lambda cell_index, name=name, **_: told.append((name, cell_index))
        for name in ("start", "execute", "complete", "executed", "error")
    }
    done = run_with(
        program("print('first')", tagged, "import sys; print(sys.argv.count('--InteractiveShell.xmode=Plain'))"),
        on_notebook_start=lambda notebook: told.append(("notebook", len(notebook.cells))),
        raise_on_iopub_timeout=True,
        iopub_timeout=30,
        shell_timeout_interval=1,
        skip_cells_with_tag="leave-out",
        extra_arguments=["--InteractiveShell.xmode=Plain"],
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        shutdown_kernel="immediate",
        startup_timeout=1,
        **hooks,
    )
    assert text_of(done).split() == ["first", "1"]
    each = ("start", "execute", "complete", "executed")
    assert told == [("notebook", 3), *((name, 0) for name in each), *((name, 2) for name in each)]
    assert all("execution" not in cell.metadata for cell in done.cells)


@pytest.mark.usefixtures("archive_here")
def test_errors_that_the_caller_allows_do_not_end_the_notebook() -> None:
    notebook = program("raise KeyError('first')", "print('went on')")
    with pytest.raises(PapermillExecutionError, match="KeyError"):  # papermill's own word at the end, engine or not
        run_with(notebook, allow_errors=True)
    (record,) = records.frame("cells").groupby("record")["state"].agg(list)
    assert record == ["completed", "completed"]


@pytest.mark.usefixtures("archive_here")
@pytest.mark.parametrize("options", [{"timeout": 1}, {"timeout_func": lambda cell: 1}], ids=["timeout", "timeout_func"])
def test_a_time_limit_may_be_given_by_nbclients_names(options: dict[str, Any]) -> None:
    with pytest.raises(CellTimeoutError, match="did not end within 1 s"):
        run_with(program("import time; time.sleep(600)"), **options)
    # None is no limit, and so is -1.
    assert "done" in text_of(run_with(program("print('done')"), timeout=-1))


@pytest.mark.usefixtures("archive_here")
def test_a_kernel_of_the_callers_is_refused() -> None:
    with pytest.raises(InputError, match="starts its own kernel"):
        run_with(program("1"), kernel_manager_class="jupyter_client.manager.AsyncKernelManager")
