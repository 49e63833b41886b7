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


def is_executed(cell: Any) -> bool:
    """Whether a cell has code to execute."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and _SKIPPED not in _tags(cell)


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
    """Put an error that the kernel could not tell of into a cell's outputs, where a reader looks for it."""
    trace = [f"{name}: {message}"]
    output = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=trace)  # type: ignore[no-untyped-call]
    cell.outputs.append(output)


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", ()))
