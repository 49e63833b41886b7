"""A parameter file given to ``runbook notebook`` counts where the notebook's cell was left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook_lib.model.parameters import Parameters
from runbook_lib.session.start import CELL_DEFAULTS, with_parameter_file

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))


def cell(path: Path = NOTEBOOKS[0]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    exec(nbformat.read(path, as_version=4).cells[1].source, values)
    return {name: values[name] for name in Parameters.model_fields}


@pytest.fixture
def parameter_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.yaml"
    monkeypatch.setenv("OVERLAY_RUNBOOK_PARAMETERS", str(path))
    return path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_counts_as_not_edited_is_what_the_cell_of_every_notebook_says(path: Path) -> None:
    assert Parameters.model_validate(cell(path)) == CELL_DEFAULTS


def test_without_a_file_the_cell_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERLAY_RUNBOOK_PARAMETERS", raising=False)
    assert with_parameter_file(cell()) == (cell(), "")


def test_the_file_decides_what_the_cell_leaves_at_its_default_and_a_line_says_so(parameter_file: Path) -> None:
    parameter_file.write_text("inventory: testbed:other\nprobes: {count: 7}\nplan: false\n")
    values, line = with_parameter_file(cell())
    assert values["inventory"] == "testbed:other"
    assert values["probes"] == {"count": 7}
    assert line == f"parameters from {parameter_file}: inventory, probes"


def test_a_value_that_was_edited_in_the_cell_stays(parameter_file: Path) -> None:
    parameter_file.write_text("name: lab\nprobes: {count: 7}\n")
    values, line = with_parameter_file({**cell(), "probes": {"count": 5}})
    assert values["probes"] == {"count": 5}
    assert line == f"parameters from {parameter_file}: name; set in the cell above: probes"


def test_a_value_edited_to_something_wrong_stays_and_is_refused_later(parameter_file: Path) -> None:
    parameter_file.write_text("probes: {count: 7}\n")
    values, line = with_parameter_file({**cell(), "probes": {"count": "many"}})
    assert values["probes"] == {"count": "many"}
    assert line.endswith("none; set in the cell above: probes")


def test_the_testbeds_own_file_changes_nothing_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_PARAMETERS", str(ROOT / "params" / "testbed.yaml"))
    values, line = with_parameter_file(cell())
    assert Parameters.model_validate(values) == CELL_DEFAULTS
    assert line == ""


def test_relative_paths_are_relative_to_the_file(parameter_file: Path) -> None:
    parameter_file.write_text("inventory: nodes.yaml\n")
    assert with_parameter_file(cell())[0]["inventory"] == str(parameter_file.with_name("nodes.yaml"))


def test_a_key_that_no_parameter_has_is_handed_on_to_be_refused(parameter_file: Path) -> None:
    parameter_file.write_text("prob: 1\n")
    assert with_parameter_file(cell())[0]["prob"] == 1
