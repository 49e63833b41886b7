"""Which parameters a notebook declares."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from runbook_lib.errors import ParameterError
from runbook_lib.execute.run.notebooks import check_declared, declared_parameters, works_on_a_cluster

PROJECT = Path(__file__).resolve().parents[4]


def write(folder: Path, source: str) -> Path:
    path = folder / "11_reads.ipynb"
    tagged = new_code_cell(source, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Title"), tagged, new_code_cell("inventory = 1")]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_names_and_literal_defaults_are_found_and_computed_ones_are_not_run(tmp_path: Path) -> None:
    source = "count: int = 3  # how many\nnames = ['a']\nwhen = print('now')\nlonely: str\n"
    assert declared_parameters(write(tmp_path, source)) == {"count": 3, "names": ["a"], "when": None}


def test_a_cell_that_is_no_python_declares_nothing(tmp_path: Path) -> None:
    assert declared_parameters(write(tmp_path, "count = = 3")) == {}


@pytest.mark.parametrize(
    ("notebook", "does"), [("05_ping_tests", True), ("00_meet_the_cluster", True), ("10_read_the_archive", False)]
)
def test_the_projects_notebooks_work_on_a_cluster_but_for_the_one_that_reads_the_archive(
    notebook: str, does: bool
) -> None:
    assert works_on_a_cluster(declared_parameters(PROJECT / "notebooks" / f"{notebook}.ipynb")) is does


def test_every_parameter_that_a_notebook_does_not_know_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "count = 3")
    check_declared([path], {"count": 4})
    with pytest.raises(ParameterError) as caught:
        check_declared([path], {"cuont": 4, "count": 4, "name": "x"})
    assert [fault.place for fault in caught.value.faults] == ["-p cuont", "-p name"]
    assert "11_reads has no such parameter (count)" in str(caught.value)
