"""Saves the executed notebook: with correct cell states at every moment, in complete files, without secrets.

The state of each cell is in its metadata. papermill's own states (``metadata.papermill.status``) stay as they are; ours
are beside them, because a cell that was interrupted, timed out or never ran is neither completed nor failed.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.errors import RunbookError
from runbook_lib.execute import without_slow_formats
from runbook_lib.files import write_whole
from runbook_lib.model.record import CellState

with without_slow_formats():
    import nbformat
    from papermill.engines import NotebookExecutionManager

_METADATA = "runbook"

#: The tag of cells that always run at the end, also after a failure.
ALWAYS = "always"

_SKIPPED = "skip-execution"
# What a carriage return without a line end lets the next text overwrite.
_OVERWRITTEN = re.compile(r".*\r(?=[^\n])")
_PARAMETERS = frozenset({"parameters", "injected-parameters"})


def is_executed(cell: Any, skipped: str = _SKIPPED) -> bool:
    """Whether a cell has code to execute; cells with the tag ``skipped`` have none."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and skipped not in _tags(cell)


def is_always(cell: Any) -> bool:
    """Whether a cell always runs at the end."""
    return ALWAYS in _tags(cell)


def is_parameters(cell: Any) -> bool:
    """Whether a cell holds the parameters, declared or injected."""
    return cell.cell_type == "code" and not _PARAMETERS.isdisjoint(_tags(cell))


def set_state(cell: Any, state: CellState, seconds: float | None = None) -> None:
    """Set the state of a code cell, and how long it took."""
    rounded = None if seconds is None else round(seconds, 3)
    cell.metadata[_METADATA] = {**cell.metadata.get(_METADATA, {}), "state": str(state), "seconds": rounded}


def state_of(cell: Any) -> CellState:
    """The state of a code cell."""
    return CellState(cell.metadata.get(_METADATA, {}).get("state", CellState.NEVER_RUN))


def show_error(cell: Any, name: str, message: str) -> None:
    """Add an error that the kernel could not report to a cell's outputs.

    It comes before the error that the kernel reported, which is a consequence of it.
    """
    trace = [f"{name}: {message}"]
    output = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=trace)  # type: ignore[no-untyped-call]
    errors = (place for place, shown in enumerate(cell.outputs) if shown.output_type == "error")
    cell.outputs.insert(next(errors, len(cell.outputs)), output)


def tell_errors_as_text(cell: Any) -> None:
    """Show a cell's errors as text on standard error.

    papermill takes the last error in a notebook as its cause of failure. Cells that always run come after that.
    """
    for place, output in enumerate(cell.outputs):
        if output.output_type == "error":
            text = "\n".join(output.traceback) + "\n"
            cell.outputs[place] = nbformat.v4.new_output("stream", name="stderr", text=text)  # type: ignore[no-untyped-call]


def join_streams(cell: Any) -> None:
    """Make one output of all that a cell wrote to the same stream, as nbclient's ``coalesce_streams`` does.

    What a carriage return let later text overwrite is left out; standard output comes before standard error where
    nothing else is between them.
    """
    outputs: list[Any] = []
    streams: dict[str, Any] = {}
    for output in cell.outputs:
        if output.output_type != "stream":
            outputs.append(output)
        elif output.name in streams:
            streams[output.name].text += output.text
        else:
            streams[output.name] = output
            outputs.append(output)
    for output in streams.values():
        output.text = _OVERWRITTEN.sub("", output.text)
    names = [output.get("name") for output in outputs]
    for place, pair in enumerate(itertools.pairwise(names)):
        if pair == ("stderr", "stdout"):
            outputs[place], outputs[place + 1] = outputs[place + 1], outputs[place]
    cell.outputs = outputs


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", ()))


if TYPE_CHECKING:
    from runbook_lib.execute.recording.recording import Recording


class NotebookSaver(NotebookExecutionManager):  # type: ignore[misc]  # papermill is not annotated
    """Tracks cell states and saves the notebook once per cell, in complete files only.

    Args:
        nb: the notebook from papermill; secrets in it are replaced, ``source_of`` has the original source.
        recording: where the notebook is saved.
        settings: papermill's own: output_path (``None``: only the recording keeps it), log_output, progress_bar,
            autosave_cell_every.
    """

    def __init__(self, nb: Any, recording: Recording, **settings: Any) -> None:
        self._sources = _redact(nb, recording)
        self.recording = recording
        #: The error that made saving impossible; after it nothing is saved any more.
        self.failure: Exception | None = None
        #: Called before the notebook is written, to add pending output.
        self.before_save: Callable[[], None] = lambda: None
        self._held = False
        super().__init__(nb, **settings)

    def source_of(self, index: int) -> str:
        """The source that a cell executes, with secrets."""
        return self._sources[index] if index in self._sources else str(self.nb.cells[index].source)

    def save(self, **kwargs: Any) -> None:
        """Write the notebook to the record, and to papermill's output, replacing the former version at once.

        Raises:
            RecordError, OSError: it cannot be written.
        """
        if self._held or self.failure is not None:
            return
        self.before_save()
        try:
            self.recording.save(self.nb)
            self._save_output(kwargs)
        except (OSError, RunbookError) as error:
            self.failure = error
            raise
        self.last_save_time = self.now()

    def _save_output(self, options: dict[str, Any]) -> None:
        if self.output_path and "://" not in self.output_path and self.output_path != "-":
            text = nbformat.v4.writes_json(self.nb)  # type: ignore[no-untyped-call]
            write_whole(Path(self.output_path), text.encode("utf-8", "backslashreplace"), mode=0o666)
        else:
            super().save(**options)

    def notebook_start(self, **kwargs: Any) -> None:
        """Remove the states of an earlier execution: no cell has run yet."""
        for cell in self.nb.cells:
            if cell.cell_type == "code":
                set_state(cell, CellState.NEVER_RUN)
        self.nb.metadata.pop("widgets", None)
        super().notebook_start(**kwargs)

    def mark_skipped(self, cell: Any) -> None:
        """Set the state of a cell that is not executed: text is complete, anything else stays pending."""
        if cell.cell_type != "code":
            cell.metadata.papermill["status"] = self.COMPLETED

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Save that a cell starts; if that cannot be saved, it does not start."""
        set_state(cell, CellState.RUNNING)
        try:
            super().cell_start(cell, cell_index, **kwargs)
        except BaseException:
            set_state(cell, CellState.NEVER_RUN)
            cell.metadata.papermill.update(status=self.PENDING, start_time=None, exception=None)
            raise

    def cell_ended(self, cell: Any, index: int, state: CellState, seconds: float) -> None:
        """Set a cell's end state; it is saved at the next cell's start or the notebook's end."""
        set_state(cell, state, seconds)
        if state is not CellState.COMPLETED:
            self.cell_exception(cell, cell_index=index)
        with self._holding():
            self.cell_complete(cell, cell_index=index)

    def notebook_ended(self, *, failed: bool) -> Exception | None:
        """Set the notebook's end and write papermill's output; the record has its own last version.

        Returns:
            The error that made saving impossible, now or before.
        """
        if failed:
            self.nb.metadata.papermill["exception"] = True
        # papermill would mark cells completed that never ran; they stay pending.
        states = [cell.metadata.papermill["status"] for cell in self.nb.cells]
        with self._holding():
            self.notebook_complete()
        for cell, state in zip(self.nb.cells, states, strict=True):
            cell.metadata.papermill["status"] = state
        try:
            self._save_output({})
        except (OSError, RunbookError) as error:
            self.failure = self.failure or error
        return self.failure

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False


def _redact(nb: Any, recording: Recording) -> dict[int, str]:
    """Replace secrets in the notebook before it runs; returns the original sources with secrets, by cell index."""
    sources = {}
    for index, cell in enumerate(nb.cells):
        source = recording.redact(cell.source)
        if source != cell.source:
            sources[index], cell.source = cell.source, source
        cell.metadata = nbformat.from_dict(recording.redact_json(cell.metadata))  # type: ignore[no-untyped-call]
    nb.metadata = nbformat.from_dict(recording.redact_json(nb.metadata))  # type: ignore[no-untyped-call]
    return sources
