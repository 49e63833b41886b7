"""Keeps the executed notebook: its states true at every moment, its files whole, no secret in it.

How the cells of an executed notebook ended, as their metadata tells it.

papermill's own states (``metadata.papermill.status``) stay in its vocabulary; ours are beside them, because a cell that
was interrupted, ran out of time or never ran is none of completed and failed.

Who is told what happens while a notebook runs.
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

_METADATA = "runbook"

#: The tag of cells that run at the end whatever happened.
ALWAYS = "always"

_SKIPPED = "skip-execution"
# What a carriage return without a line end lets the next text overwrite.
_OVERWRITTEN = re.compile(r".*\r(?=[^\n])")
_PARAMETERS = frozenset({"parameters", "injected-parameters"})


def is_executed(cell: Any, skipped: str = _SKIPPED) -> bool:
    """Whether a cell has code to execute; cells with the tag ``skipped`` have none."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and skipped not in _tags(cell)


def is_always(cell: Any) -> bool:
    """Whether a cell runs at the end whatever happened."""
    return ALWAYS in _tags(cell)


def is_parameters(cell: Any) -> bool:
    """Whether a cell holds the parameters, declared or injected."""
    return cell.cell_type == "code" and not _PARAMETERS.isdisjoint(_tags(cell))


def set_state(cell: Any, state: CellState, seconds: float | None = None) -> None:
    """Note how a code cell stands, and how long it took."""
    rounded = None if seconds is None else round(seconds, 3)
    cell.metadata[_METADATA] = {**cell.metadata.get(_METADATA, {}), "state": str(state), "seconds": rounded}


def state_of(cell: Any) -> CellState:
    """How a code cell stands."""
    return CellState(cell.metadata.get(_METADATA, {}).get("state", CellState.NEVER_RUN))


def show_error(cell: Any, name: str, message: str) -> None:
    """Put an error that the kernel could not tell of into a cell's outputs, where a reader looks for it.

    It comes before the error that the kernel tells of, for that is what the cell made of it.
    """
    trace = [f"{name}: {message}"]
    output = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=trace)  # type: ignore[no-untyped-call]
    errors = (place for place, shown in enumerate(cell.outputs) if shown.output_type == "error")
    cell.outputs.insert(next(errors, len(cell.outputs)), output)


def tell_errors_as_text(cell: Any) -> None:
    """Show a cell's errors as text on standard error.

    papermill takes the last error in a notebook for what ended it. Cells that run whatever happened come after that.
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


with without_slow_formats():
    import nbformat
    from papermill.engines import NotebookExecutionManager

if TYPE_CHECKING:
    from runbook_lib.execute.recording.recording import Recording


class NotebookSaver(NotebookExecutionManager):  # type: ignore[misc]  # papermill is not annotated
    """Keeps cell states and saves the notebook: whole files only, once a cell, with no state made up.

    Args:
        nb: the notebook, as papermill made it; secrets in it are replaced, ``source_of`` still has what is to run.
        recording: where the notebook is kept.
        settings: papermill's own: output_path (``None``: only the recording keeps it), log_output, progress_bar,
            autosave_cell_every.
    """

    def __init__(self, nb: Any, recording: Recording, **settings: Any) -> None:
        self._sources = _redact(nb, recording)
        self.recording = recording
        #: What made saving impossible; from then on nothing is saved any more.
        self.failure: Exception | None = None
        #: Called before the notebook is written, so that it has all that arrived.
        self.before_save: Callable[[], None] = lambda: None
        self._held = False
        super().__init__(nb, **settings)

    def source_of(self, index: int) -> str:
        """What a cell executes, secrets included."""
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
        """Forget what an earlier execution left: no cell has run yet."""
        for cell in self.nb.cells:
            if cell.cell_type == "code":
                set_state(cell, CellState.NEVER_RUN)
        self.nb.metadata.pop("widgets", None)
        super().notebook_start(**kwargs)

    def mark_skipped(self, cell: Any) -> None:
        """A cell that is not executed: text is complete as it is, anything else stays pending."""
        if cell.cell_type != "code":
            cell.metadata.papermill["status"] = self.COMPLETED

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note and save that a cell begins; if that cannot be saved, it does not begin."""
        set_state(cell, CellState.RUNNING)
        try:
            super().cell_start(cell, cell_index, **kwargs)
        except BaseException:
            set_state(cell, CellState.NEVER_RUN)
            cell.metadata.papermill.update(status=self.PENDING, start_time=None, exception=None)
            raise

    def cell_ended(self, cell: Any, index: int, state: CellState, seconds: float) -> None:
        """Note a cell's end; the next cell's start, or the notebook's end, saves it."""
        set_state(cell, state, seconds)
        if state is not CellState.COMPLETED:
            self.cell_exception(cell, cell_index=index)
        with self._holding():
            self.cell_complete(cell, cell_index=index)

    def notebook_ended(self, *, failed: bool) -> Exception | None:
        """Note the notebook's end and write papermill's output; the record has its own last version.

        Returns:
            What made it impossible to save, now or before.
        """
        if failed:
            self.nb.metadata.papermill["exception"] = True
        # papermill would call cells completed that never ran; they stay pending.
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
    """Replace secrets in what the notebook has before it runs; returns the sources that had some, by their place."""
    sources = {}
    for index, cell in enumerate(nb.cells):
        source = recording.redact(cell.source)
        if source != cell.source:
            sources[index], cell.source = cell.source, source
        cell.metadata = nbformat.from_dict(recording.redact_json(cell.metadata))  # type: ignore[no-untyped-call]
    nb.metadata = nbformat.from_dict(recording.redact_json(nb.metadata))  # type: ignore[no-untyped-call]
    return sources
