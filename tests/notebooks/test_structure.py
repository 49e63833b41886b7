"""The notebooks as files: what every reader and every runner relies on, checked without a cluster."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from papermill.inspection import inspect_notebook  # type: ignore[import-untyped]

from runbook_lib.model.parameters import Parameters

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# It works on records, so it has parameters of its own and no cluster to start a session on.
ARCHIVE = ROOT / "notebooks" / "10_read_the_archive.ipynb"
LONGEST_CELL = 8

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_on_a_cluster = pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path != ARCHIVE], ids=lambda path: path.stem
)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def plain_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(path) if "parameters" not in cell.metadata.get("tags", [])]


def test_the_walkthrough_of_the_article_is_complete() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names[:7] == [
        "00_meet_the_cluster",
        "01_fix_node_ips",
        "02_autostart_etcd",
        "03_create_overlay",
        "04_run_containers",
        "05_ping_tests",
        "06_disconnect_connect",
    ]


@each_notebook
def test_a_notebook_is_valid_and_has_no_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@each_notebook
def test_a_notebook_has_one_title_and_tells_purpose_time_changes_and_undo(path: Path) -> None:
    prose = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    titles = [line for text in prose for line in _outside_fences(text) if line.startswith("# ")]
    assert len(titles) == 1
    assert prose[0].startswith("# ")
    for word in ("**Purpose:**", "| takes | changes | undo |"):
        assert word in prose[0]
    assert "**To undo:**" in prose[-1]
    assert re.search(r"\*\*(Questions|Exercises)\*\*", prose[-1])


@each_notebook
def test_the_second_cell_holds_the_parameters_and_the_third_starts_the_session(path: Path) -> None:
    cells = read(path).cells
    assert cells[1].metadata.get("tags") == ["parameters"]
    imports = [node for node in ast.walk(ast.parse(cells[2].source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(imports) == 1
    begin = "read_archive(records, cluster)" if path == ARCHIVE else f'start("{path.stem}", globals())'
    assert begin in cells[2].source


@each_on_a_cluster
def test_a_notebook_on_a_cluster_takes_the_parameters_of_the_model(path: Path) -> None:
    assert list(inspect_notebook(str(path))) == list(Parameters.model_fields)


@each_notebook
def test_papermill_lists_every_parameter_with_its_default_and_a_line_of_help(path: Path) -> None:
    listed = inspect_notebook(str(path))
    assert listed
    for name, parameter in listed.items():
        assert parameter["default"], name
        assert len(parameter["help"]) > 10, name


@each_on_a_cluster
def test_the_defaults_in_a_notebook_are_those_of_the_testbeds_parameter_file(path: Path) -> None:
    values: dict[str, object] = {}
    exec(read(path).cells[1].source, values)
    in_cell = Parameters.model_validate({name: values[name] for name in Parameters.model_fields})
    in_file = Parameters.model_validate(yaml.safe_load((ROOT / "params" / "testbed.yaml").read_text()))
    assert in_cell == in_file


@each_notebook
def test_cells_are_short_and_hold_one_idea(path: Path) -> None:
    for cell in plain_cells(path):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert 1 <= len(lines) <= LONGEST_CELL, cell.source
    assert len(code_cells(path)[0].source.splitlines()) <= 15


@each_notebook
def test_no_cell_hides_logic_or_shells_out(path: Path) -> None:
    for cell in code_cells(path):
        assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.For | ast.While | ast.FunctionDef | ast.Lambda), cell.source


@each_notebook
def test_every_question_states_what_to_expect_and_something_fails_when_it_is_not_so(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells)
    questions = [line for line in text.splitlines() if line.startswith("## ") and line.endswith("?")]
    assert len(questions) >= 3
    assert text.count("**Expect:**") >= len(questions) - 1
    assert text.count("run.expect") >= 2 or (path == ARCHIVE and "archive.verify()" in text)


def test_the_notebook_that_reads_the_archive_is_not_part_of_the_walkthrough() -> None:
    assert read(ARCHIVE).metadata["runbook"] == {"default_run": False}


@each_notebook
def test_a_notebook_names_the_plain_python_kernel(path: Path) -> None:
    assert read(path).metadata.kernelspec.name == "python3"


def _outside_fences(text: str) -> list[str]:
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(line)
    return lines
