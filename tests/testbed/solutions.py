"""Executes worked solutions in one kernel, each exercise twice: with its prediction, and with a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
WRONG_TAG = "a wrong prediction"
# A prediction may be an expression, so its kernel makes it wrong.
MISTAKE = """
def mistaken(prediction):
    if isinstance(prediction, bool):
        return not prediction
    if isinstance(prediction, str):
        return prediction + "?"
    return prediction | {"nobody"} if isinstance(prediction, set) else prediction + 1
"""


def execute_solutions(notebooks: Sequence[Path], parameters: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Execute them one after the other; raises ``CellExecutionError`` when a solution does not hold."""
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cells = [new_code_cell(given + MISTAKE), *(cell for path in notebooks for cell in _cells(path))]
    notebook = new_notebook(cells=cells)
    return NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()


def verdicts(executed: nbformat.NotebookNode) -> dict[str, str]:
    """By the exercise's name what a wrong prediction led to: the exception's name, or ``no error``."""
    return {
        cell.metadata["exercise"]: next(
            (item.ename for item in cell.outputs if item.output_type == "error"), "no error"
        )
        for cell in executed.cells
        if WRONG_TAG in cell.metadata.get("tags", [])
    }


def _cells(path: Path) -> Iterator[nbformat.NotebookNode]:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            yield new_code_cell(cell.source)
            wrong = re.sub(
                r"prediction=(.*?)\)(  #|$)", r"prediction=mistaken(\1))\2", cell.source, count=1, flags=re.M
            )
            if wrong != cell.source:
                tags = ["raises-exception", WRONG_TAG]
                yield new_code_cell(wrong, metadata={"tags": tags, "exercise": cell.id.removeprefix("s")})
