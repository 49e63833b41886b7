"""The executed notebook on its way to a real record, without a kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from runbook_lib.execute.kernel.notebook_saver import NotebookSaver, state_of
from runbook_lib.execute.recording.recording import Recording, RunFacts
from runbook_lib.model.record import CellState
from runbook_lib.records.store import open_archive
from runbook_lib.redact import Redactor

SECRET = "correct-horse"


@pytest.fixture
def notebook() -> NotebookNode:
    metadata = {"papermill": {"parameters": {"key": SECRET}}, "widgets": {"of": "an earlier execution"}}
    cells = [new_markdown_cell(f"Know {SECRET}."), new_code_cell(f"key = {SECRET!r}"), new_code_cell("1")]
    return new_notebook(cells=cells, metadata=metadata)


@pytest.fixture
def recording(tmp_path: Path, notebook: NotebookNode) -> Iterator[Recording]:
    facts = RunFacts(open_archive(str(tmp_path / "records")), "run", "tiny", redactor=Redactor({"key": SECRET}))
    recording = Recording.begin("00_tiny", writes(notebook), facts)
    yield recording
    recording.abandon()


@pytest.fixture
def saver(notebook: NotebookNode, recording: Recording) -> NotebookSaver:
    return NotebookSaver(notebook, recording, output_path=None, progress_bar=False)


def saved(recording: Recording) -> dict[str, object]:
    return dict(json.loads((recording.folder / "notebook.ipynb").read_text()))


def test_secrets_in_sources_and_parameters_are_replaced_and_still_executed(
    saver: NotebookSaver, recording: Recording
) -> None:
    saver.notebook_start()
    assert SECRET not in json.dumps(saved(recording))
    assert "key = '[REDACTED:key]'" in json.dumps(saved(recording))
    assert saver.source_of(1) == f"key = {SECRET!r}"
    assert saver.source_of(2) == "1"


def test_a_cell_has_never_run_until_it_runs_and_each_state_is_saved(saver: NotebookSaver, recording: Recording) -> None:
    saver.notebook_start()
    first, second = saver.nb.cells[1:]
    assert [state_of(first), state_of(second)] == [CellState.NEVER_RUN] * 2
    saver.cell_start(first, 1)
    assert '"state": "running"' in json.dumps(saved(recording))
    saver.cell_ended(first, 1, CellState.TIMED_OUT, 1.5)
    assert saver.notebook_ended(failed=True) is None
    assert first.metadata.runbook == {"state": "timed out", "seconds": 1.5}
    assert first.metadata.papermill.status == "failed"
    assert second.metadata.papermill.status == "pending"
    assert saver.nb.metadata.papermill.exception is True
    assert "widgets" not in saver.nb.metadata


def test_a_cell_whose_start_cannot_be_saved_does_not_start(saver: NotebookSaver, tmp_path: Path) -> None:
    saver.notebook_start()
    saver.output_path = str(tmp_path / "nowhere" / "out.ipynb")
    cell = saver.nb.cells[1]
    with pytest.raises(FileNotFoundError):
        saver.cell_start(cell, 1)
    assert state_of(cell) is CellState.NEVER_RUN
    assert cell.metadata.papermill.status == "pending"
    assert isinstance(saver.failure, FileNotFoundError)
    saver.cell_start(cell, 1)  # what cleans up runs nonetheless
    assert saver.notebook_ended(failed=True) is saver.failure
