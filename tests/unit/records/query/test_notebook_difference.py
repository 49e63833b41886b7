from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from runbook_lib.errors import RecordError
from runbook_lib.model.events import EVENT_MIME
from runbook_lib.records.query.notebook_difference import notebook_difference


def keep(folder: Path, source: str, text: str, count: int, **metadata: Any) -> Path:
    data = {"text/plain": text, "text/html": f"<p>{count}</p>", EVENT_MIME: {"events": [count]}}
    output = new_output("execute_result", data, execution_count=count, metadata={"made": count})
    cell = new_code_cell(source, execution_count=count, outputs=[output], metadata={"papermill": {"duration": count}})
    cell.id = "05-05"
    folder.mkdir()
    (folder / "notebook.ipynb").write_text(nbformat.writes(new_notebook(cells=[cell], metadata=metadata)))
    return folder


def test_what_every_execution_makes_anew_is_no_difference(tmp_path: Path) -> None:
    a = keep(tmp_path / "a", "run.ping()", "4 of 4", 3, papermill={"duration": 1})
    b = keep(tmp_path / "b", "run.ping()", "4 of 4", 7, papermill={"duration": 2})
    assert notebook_difference(a, b) == ""


def test_another_source_or_output_is_shown_with_both_sides(tmp_path: Path) -> None:
    a = keep(tmp_path / "a", "run.ping()", "4 of 4 answer", 3)
    b = keep(tmp_path / "b", 'run.ping(by="name")', "3 of 4 answer", 3)
    text = notebook_difference(a, b)
    for line in ("-  run.ping()", '+  run.ping(by="name")', "-  4 of 4 answer", "+  3 of 4 answer"):
        assert line in text
    assert "\x1b[" not in text
    assert "\x1b[" in notebook_difference(a, b, color=True)


def test_a_record_without_a_notebook_is_told(tmp_path: Path) -> None:
    a = keep(tmp_path / "a", "x", "y", 1)
    with pytest.raises(RecordError, match=r"notebook\.ipynb"):
        notebook_difference(a, tmp_path)
    (tmp_path / "notebook.ipynb").write_text('{"cells": [')
    with pytest.raises(RecordError, match="cannot be read"):
        notebook_difference(a, tmp_path)
