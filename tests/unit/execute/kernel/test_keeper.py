"""The executed notebook on its way to a real record, without a kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from runbook_lib.execute.kernel.notebook_saver import NotebookKeeper, state_of
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
def keeper(notebook: NotebookNode, recording: Recording) -> NotebookKeeper:
    return NotebookKeeper(notebook, recording, output_path=None, progress_bar=False)


def saved(recording: Recording) -> dict[str, object]:
    return dict(json.loads((recording.folder / "notebook.ipynb").read_text()))


def test_secrets_in_sources_and_parameters_are_replaced_and_still_executed(
    keeper: NotebookKeeper, recording: Recording
) -> None:
    keeper.notebook_start()
    assert SECRET not in json.dumps(saved(recording))
    assert "key = '[REDACTED:key]'" in json.dumps(saved(recording))
    assert keeper.source_of(1) == f"key = {SECRET!r}"
    assert keeper.source_of(2) == "1"


def test_a_cell_has_never_run_until_it_runs_and_each_state_is_saved(
    keeper: NotebookKeeper, recording: Recording
) -> None:
    keeper.notebook_start()
    first, second = keeper.nb.cells[1:]
    assert [state_of(first), state_of(second)] == [CellState.NEVER_RUN] * 2
    keeper.cell_start(first, 1)
    assert '"state": "running"' in json.dumps(saved(recording))
    keeper.cell_ended(first, 1, CellState.TIMED_OUT, 1.5)
    assert keeper.notebook_ended(failed=True) is None
    assert first.metadata.runbook == {"state": "timed out", "seconds": 1.5}
    assert first.metadata.papermill.status == "failed"
    assert second.metadata.papermill.status == "pending"
    assert keeper.nb.metadata.papermill.exception is True
    assert "widgets" not in keeper.nb.metadata


def test_a_cell_whose_start_cannot_be_saved_does_not_start(keeper: NotebookKeeper, tmp_path: Path) -> None:
    keeper.notebook_start()
    keeper.output_path = str(tmp_path / "nowhere" / "out.ipynb")
    cell = keeper.nb.cells[1]
    with pytest.raises(FileNotFoundError):
        keeper.cell_start(cell, 1)
    assert state_of(cell) is CellState.NEVER_RUN
    assert cell.metadata.papermill.status == "pending"
    assert isinstance(keeper.failure, FileNotFoundError)
    keeper.cell_start(cell, 1)  # what cleans up runs nonetheless
    assert keeper.notebook_ended(failed=True) is keeper.failure
