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
SOLUTIONS = ROOT / "notebooks" / "solutions"
# What notebooks changed on the hosts themselves, taken back: they teach nothing, so they have no exercises.
UNDO = sorted((ROOT / "notebooks" / "undo").glob("*.ipynb"))
LONGEST_CELL = 8

each_notebook = pytest.mark.parametrize("path", [*NOTEBOOKS, *UNDO], ids=lambda path: path.stem)
each_with_exercises = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_on_a_cluster = pytest.mark.parametrize(
    "path", [path for path in [*NOTEBOOKS, *UNDO] if path != ARCHIVE], ids=lambda path: path.stem
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


@each_with_exercises
def test_a_notebook_ends_with_how_to_undo_it_two_or_three_exercises_and_what_is_next(path: Path) -> None:
    cells = read(path).cells
    last = len(cells) - 1
    begin = max(place for place, cell in enumerate(cells[:last]) if "**To undo:**" in cell.source)
    assert cells[begin - 1].source == "run.finish()" or path == ARCHIVE
    exercises = cells[begin:last]
    assert "## Exercises\n\nPredict, do, check:" in exercises[0].source
    assert f"(solutions/{_solution_of(path).name})" in exercises[0].source
    assert len(exercises) in (4, 6)
    for letter, question, answer in zip("abc", exercises[::2], exercises[1::2], strict=False):
        assert (question.cell_type, answer.cell_type) == ("markdown", "code")
        assert f"**{letter}.** " in question.source
        assert answer.id == f"{path.stem[:2]}-{letter}"
    assert cells[last].source.startswith("**Next:** ")


@pytest.mark.parametrize("path", UNDO, ids=lambda path: path.stem)
def test_an_undo_belongs_to_a_notebook_whose_parameters_it_takes_and_which_leads_to_it(path: Path) -> None:
    (made,) = (other for other in NOTEBOOKS if other.stem[:2] == path.stem[:2])
    assert read(path).cells[1].source == read(made).cells[1].source
    assert any(f"(undo/{path.name})" in cell.source for cell in read(made).cells)
    assert f"(../{made.name})" in read(path).cells[0].source
    assert read(path).cells[-2].source == "run.finish()"
    assert read(path).cells[-1].source.startswith("**To undo:** ")


@each_with_exercises
def test_an_exercise_asks_for_a_prediction_and_holds_it_against_what_is_read_then(path: Path) -> None:
    for cell in _exercises(path):
        letter, statements = cell.id[-1], ast.parse(cell.source).body
        asks = "archive" if path == ARCHIVE else "run"
        first, comment = cell.source.splitlines()[0].split("  # ")
        assert first == f'{letter} = {asks}.exercise("{cell.id}", prediction=None)'
        assert comment, "what is to be typed stands beside it"
        assert len(statements) == 2
        answered = statements[1]
        assert isinstance(answered, ast.If)
        assert ast.unparse(answered.test) == f"{letter}.answered"
        assert not answered.orelse
        check = ast.unparse(answered.body[-1])
        assert re.match(rf"{letter}\.check\(found=", check)
        assert _read_in(answered.body) & _names(_found(answered.body[-1])), f"{cell.id} compares with what nobody read"


@each_with_exercises
def test_every_notebook_has_its_solutions_which_differ_in_the_predictions_alone(path: Path) -> None:
    solution = _solution_of(path)
    notebook = read(solution)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in code_cells(solution)] == [[]] * len(code_cells(solution))
    assert notebook.cells[1].source == read(path).cells[1].source
    assert notebook.cells[1].metadata.get("tags") == ["parameters"]
    assert f"../{path.name}" in notebook.cells[0].source
    solved = [cell for cell in notebook.cells if "prediction=" in cell.source]
    for asked, answer in zip(_exercises(path), solved, strict=True):
        assert _prediction(answer.source) not in ("", "None")
        assert answer.source == asked.source.replace("prediction=None", f"prediction={_prediction(answer.source)}")
        why = notebook.cells[notebook.cells.index(answer) - 1]
        assert why.source.startswith(f"## {asked.id[-1]}. ")
        assert len(why.source) > 80, "a solution explains itself"


def test_there_is_no_solution_without_its_notebook() -> None:
    assert {path.name for path in SOLUTIONS.glob("*.ipynb")} == {_solution_of(path).name for path in NOTEBOOKS}


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


def _solution_of(path: Path) -> Path:
    return SOLUTIONS / f"{path.stem[:2]}_solutions.ipynb"


def _exercises(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(path) if ".exercise(" in cell.source]


def _prediction(source: str) -> str:
    """The source of what an exercise cell predicts."""
    (call,) = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.keyword) and node.arg == "prediction"
    )
    return ast.get_source_segment(source, call.value) or ""


def _found(check: ast.stmt) -> ast.expr:
    (found,) = (node.value for node in ast.walk(check) if isinstance(node, ast.keyword) and node.arg == "found")
    return found


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _read_in(statements: list[ast.stmt]) -> set[str]:
    """The names that come from the cluster or the archive: these two, and what is assigned from them."""
    known = {"run", "archive"}
    for statement in statements:
        if isinstance(statement, ast.Assign) and known & _names(statement.value):
            known |= {name for target in statement.targets for name in _names(target)}
    return known


def _outside_fences(text: str) -> list[str]:
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(line)
    return lines
