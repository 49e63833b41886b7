"""What is known of a notebook before it is executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from runbook_lib.errors import InputError
from runbook_lib.execute.run.notebooks import add_display_name, check_format, check_kernel, check_language

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook(**metadata: Any) -> NotebookNode:
    made = new_notebook(cells=[new_markdown_cell("# Title"), new_code_cell("1")])
    made.metadata = from_dict(metadata)  # nbformat's own function would look at it
    return made


def test_what_a_run_replaces_or_adds_need_not_be_right() -> None:
    made = notebook(kernelspec={"name": "python3", "language": "python"})
    del made.cells[0]["id"], made.cells[1]["outputs"]
    made.cells[1].execution_count = "x"
    before = dict(made.cells[1])
    check_format(made, "x.ipynb")
    assert dict(made.cells[1]) == before
    assert "display_name" not in made.metadata.kernelspec
    add_display_name(made)
    assert made.metadata.kernelspec.display_name == "python3"


def test_every_fault_is_told_with_its_place() -> None:
    made = notebook(authors="Ada")
    made.cells[1].metadata["tags"] = "parameters"
    made.cells[0].source = 5
    with pytest.raises(InputError) as told:
        check_format(made, "x.ipynb")
    assert told.value.place == "x.ipynb"
    assert "metadata.authors: 'Ada' is not of type 'array'" in told.value.message
    assert "cell 2 (code).metadata.tags: 'parameters' is not of type 'array'" in told.value.message
    assert "cell 1 (markdown).source: 5" in told.value.message
    assert "correct each place" in told.value.remedy


def test_a_notebook_without_a_cell_that_is_one_is_refused() -> None:
    with pytest.raises(InputError, match="not a valid notebook"):
        check_format({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [5]}, "x.ipynb")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": PYTHON},
        {"kernelspec": {"name": "my-env", "language": "python"}},
        {"kernelspec": {"name": "conda-env-x-py"}},
        {"language_info": {"name": "python"}},
        {"kernelspec": PYTHON, "language_info": {"name": "R"}},
    ],
)
def test_a_notebook_in_python_may_call_its_kernel_as_it_likes(metadata: dict[str, Any]) -> None:
    check_language(notebook(**metadata), "x.ipynb")


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"kernelspec": {"name": "ir", "language": "R"}}, "in R, and only Python"),
        ({"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}, "in R, and only Python"),
        ({"kernelspec": {"name": "ir"}}, "the kernel 'ir' and does not name"),
        ({"kernelspec": {"name": "python3", "language": "julia"}}, "in julia, and only Python"),
    ],
)
def test_a_notebook_in_another_language_is_refused(metadata: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_language(notebook(**metadata), "x.ipynb")


def test_of_kernels_there_is_one_and_the_notebooks_own_name_for_it() -> None:
    for name in (None, "python3", "python", "my-env"):
        check_kernel(name, notebook(kernelspec={"name": "my-env", "language": "python"}))
    with pytest.raises(InputError, match="no kernel 'nosuch'"):
        check_kernel("nosuch", notebook(kernelspec=PYTHON))


def test_a_run_does_not_wait_for_the_grammar_of_a_format_that_no_notebook_has() -> None:
    """Choosing notebooks is the first thing of a run that needs nbformat: the grammar takes a second to compile."""
    script = (
        "import pathlib, sys\n"
        "from runbook_lib.execute.run.notebooks import choose_notebooks\n"
        "choose_notebooks(['00'], pathlib.Path('notebooks'))\n"
        "from runbook_lib.execute.run import runner\n"
        "assert 'jsonschema' in sys.modules\n"
        "assert 'rfc3987_syntax' not in sys.modules\n"
    )
    project = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
