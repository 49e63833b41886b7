"""How two executed notebooks differ, cell by cell; nbdime is used here only."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nbformat
from nbdime.diffing.notebooks import diff_notebooks
from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff

from runbook_lib.errors import RecordError
from runbook_lib.model.events import EVENT_MIME
from runbook_lib.records.store.archive import NOTEBOOK_FILE

_INJECTED = "injected-parameters"


def notebook_difference(a: Path, b: Path, *, color: bool = False) -> str:
    """The differences between the notebooks of two records' folders, as text.

    Metadata, ids, execution counts and invisible parts of outputs are left out.

    Raises:
        RecordError: a record has no notebook that can be read.
    """
    before, after = _read(a), _read(b)
    difference = diff_notebooks(before, after)
    if not difference:
        return ""
    out = io.StringIO()
    config = PrettyPrintConfig(out=out, use_color=color, use_git=False, use_diff=False)
    pretty_print_notebook_diff(a.name, b.name, before, difference, config)
    # nbdime's header has a program and times that are not those of the records.
    return out.getvalue().partition("\n")[2].replace("  (no timestamp)", "")


def _read(folder: Path) -> Any:
    path = folder / NOTEBOOK_FILE
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError, KeyError, AttributeError) as error:
        raise RecordError(
            f"the record's notebook cannot be read ({error})", place=str(path), remedy="see: ./runbook records verify"
        ) from error
    notebook.metadata = {}
    for cell in notebook.cells:
        _keep_what_is_read(cell)
    return notebook


def _keep_what_is_read(cell: Any) -> None:
    """Remove from a cell what changes in every execution, and what a reader does not see."""
    if _INJECTED in cell.metadata.get("tags", ()):
        cell.id = _INJECTED
    cell.metadata = {}
    if "execution_count" in cell:
        cell.execution_count = None
    for output in cell.get("outputs", ()):
        if "execution_count" in output:
            output.execution_count = None
        if "data" in output:
            output.metadata = {}
            output.data.pop(EVENT_MIME, None)
            # The text has the same content as the HTML, in lines that can be compared.
            if "text/plain" in output.data:
                output.data.pop("text/html", None)
