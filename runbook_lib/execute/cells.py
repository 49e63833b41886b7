"""How the cells of an executed notebook ended, as their metadata tells it.

papermill's own states (``metadata.papermill.status``) stay in its vocabulary; ours are beside them, because a cell that
was interrupted, ran out of time or never ran is none of completed and failed.
"""

from __future__ import annotations

from typing import Any

from runbook_lib.execute.imports import without_slow_formats
from runbook_lib.model.record import CellState

with without_slow_formats():
    import nbformat

_METADATA = "runbook"

#: The tag of cells that run at the end whatever happened.
ALWAYS = "always"

_SKIPPED = "skip-execution"
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


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", ()))
