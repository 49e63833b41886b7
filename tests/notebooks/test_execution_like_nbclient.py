"""Cells leave behind what they leave with nbclient alone: the same outputs, the same timing, the same end."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines  # type: ignore[import-untyped]
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]
from papermill.execute import execute_notebook  # type: ignore[import-untyped]

from runbook_lib.execute.run.engine import RunbookEngine
from runbook_lib.model.locations import RECORDS_VARIABLE
from tests.notebooks.generated import METADATA

DISPLAYS = """
import time
from IPython.display import clear_output, display, update_display
print("gone")
clear_output()
handle = display({"text/plain": "first"}, raw=True, display_id="bar")
print("between")
update_display({"text/plain": "second"}, raw=True, display_id="bar")
display({"text/plain": "waits"}, raw=True)
"""
LATER = """
update_display({"text/plain": "from a later cell"}, raw=True, display_id="bar")
print("said")
clear_output(wait=True)
print("said instead")
1 + 1
"""
BARS = """
import sys
for percent in (10, 20, 30):
    print(f"{percent} %", end="\\r", flush=True)
    print("w", file=sys.stderr, flush=True)
print("done")
"""


def cell(source: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def notebook(*cells: NotebookNode) -> NotebookNode:
    return new_notebook(cells=list(cells), metadata=METADATA)


def ours(wanted: NotebookNode, folder: Path, **options: Any) -> NotebookNode:
    """What papermill leaves with our engine, as the record has it."""
    with contextlib.suppress(PapermillExecutionError):
        execute_notebook(deepcopy(wanted), None, engine_name="runbook", progress_bar=False, **options)
    (path,) = folder.glob("*/notebook.ipynb")
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def theirs(wanted: NotebookNode, **options: Any) -> NotebookNode:
    """The same of nbclient alone."""
    done = deepcopy(wanted)
    with contextlib.suppress(CellExecutionError):
        NotebookClient(done, iopub_timeout=60, **options).execute()
    return done


def what_is_left(done: NotebookNode) -> list[Any]:
    """Outputs, numbers and kinds of times of the code cells; a traceback has places of files in it."""
    left = []
    for one in (found for found in done.cells if found.cell_type == "code"):
        outputs = [
            (
                output.output_type,
                output.get("name"),
                output.get("text"),
                output.get("data"),
                output.get("ename"),
                output.get("evalue"),
                output.get("execution_count"),
            )
            for output in one.outputs
        ]
        left.append((one.execution_count, sorted(one.metadata.get("execution", {})), outputs))
    return left


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        ([cell(DISPLAYS), cell(LATER)], {}),
        ([cell(BARS), cell("2 + 2")], {"coalesce_streams": True}),
        ([cell("1 / 0", "raises-exception"), cell("print('went on')")], {}),
        ([cell("1 / 0"), cell("print('never run')")], {}),
        ([cell("1 / 0"), cell("int('x')")], {"allow_error_names": ["ZeroDivisionError"]}),
        ([cell("1 / 0", "raises-exception"), cell("print('never run')")], {"force_raise_errors": True}),
        (
            [cell("import time\ntime.sleep(600)", "raises-exception"), cell("print('went on')")],
            {"interrupt_on_timeout": True, "timeout": 2},
        ),
        (
            [cell("import time\ntime.sleep(600)"), cell("print('never run')")],
            {
                "interrupt_on_timeout": True,
                "timeout": 2,
                "error_on_timeout": {"ename": "Late", "evalue": "too late", "traceback": ["too late"]},
            },
        ),
    ],
    ids=["displays", "streams", "tag", "error", "names", "forced", "interrupt", "error on timeout"],
)
def test_a_notebook_is_left_as_nbclient_leaves_it(
    cells: list[NotebookNode], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RECORDS_VARIABLE, str(tmp_path))
    papermill_engines.register("runbook", RunbookEngine)
    wanted = notebook(*cells)
    assert what_is_left(ours(wanted, tmp_path, **options)) == what_is_left(theirs(wanted, **options))
