"""The engine's settings: nbclient's options, time limits, and an observer of the execution."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import EllipsisType
from typing import Any, Protocol

from runbook_lib.errors import InputError

# Options that plain papermill always sets itself.
_PAPERMILLS = ("startup_timeout", "log")
# The engine starts its own kernel; a manager of the caller would start another one.
_KERNELS = ("km", "kernel_manager_class")


@dataclass(frozen=True)
class ClientSettings:
    """The options of a kernel's client, including those for the kernel itself."""

    traits: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClientSettings:
        """Read the options that an engine got.

        Raises:
            InputError: an option that would replace the engine's own kernel.
        """
        for name in _KERNELS:
            if name in options:
                raise InputError(
                    "the engine runbook starts its own kernel", place=name, remedy="leave it out, or use another engine"
                )
        timeout = options.get("timeout")
        left_out = ("timeout", *_PAPERMILLS)
        traits = {name: value for name, value in options.items() if name not in left_out}
        return cls(traits, timeout if timeout and timeout > 0 else None)

    def with_ours(self, **settings: Any) -> ClientSettings:
        """The same, updated with papermill's own arguments."""
        return replace(self, traits={**self.traits, **settings})

    @property
    def skipped_tag(self) -> str:
        """The tag of cells that are not executed."""
        return str(self.traits.get("skip_cells_with_tag", "skip-execution"))

    @property
    def ends_at_once(self) -> bool:
        """Whether the kernel is killed at the end rather than asked to end."""
        return self.traits.get("shutdown_kernel") == "immediate"

    @property
    def kernel_arguments(self) -> Sequence[str]:
        """Arguments for the kernel's own command line."""
        arguments = list(self.traits.get("extra_arguments", ()))
        history = self.traits.get("ipython_hist_file")
        if history and not any(word.startswith("--HistoryManager.hist_file") for word in arguments):
            arguments.append(f"--HistoryManager.hist_file={history}")
        return arguments

    @property
    def kernel_folder(self) -> Path | None:
        """The folder that the kernel starts in, if one is named."""
        path = self.traits.get("resources", {}).get("metadata", {}).get("path")
        return Path(path) if path else None


#: The time limit in seconds of a cell that always runs at the end, if cells have no limit.
ALWAYS_SECONDS = 120.0


class TimeLimits:
    """The time limits of one notebook, counted from its start.

    Args:
        cell: seconds for each cell; ``None``: no limit.
        notebook: seconds for all cells together, including the kernel's start; ``None``: no limit. It does not apply
            to the cells that always run at the end: these have ``cell``, or else ``ALWAYS_SECONDS``.
        clock: the time in seconds.
    """

    def __init__(
        self,
        cell: float | None = None,
        notebook: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._cell = cell or None
        self._notebook = notebook or None
        self._began = clock()
        self._cleaning_up = False
        self._notebook_ends_first = False

    def clean_up(self) -> None:
        """The cells that always run at the end start now."""
        self._cleaning_up = True

    def of_next_cell(self, cell: float | EllipsisType | None = ...) -> float | None:
        """The time limit of a cell that starts now, in seconds; always more than zero.

        Args:
            cell: this cell's own limit in seconds, instead of that of all cells.
        """
        own = self._cell if isinstance(cell, EllipsisType) else cell
        if self._cleaning_up:
            return own or ALWAYS_SECONDS
        left = self._left()
        self._notebook_ends_first = left is not None and (own is None or left <= own)
        limits = [limit for limit in (own, left) if limit is not None]
        return max(min(limits), 0.001) if limits else None

    @property
    def notebook_is_over(self) -> bool:
        """Whether the notebook's own time has run out."""
        left = self._left()
        return left is not None and left <= 0 and not self._cleaning_up

    def complaint(self, seconds: float) -> str:
        """The message about a cell that did not end within its ``seconds``."""
        if self._notebook_ends_first and not self._cleaning_up:
            return self.complaint_of_notebook()
        return f"the cell did not end within {seconds:g} s, the time limit of a cell, and was interrupted"

    def complaint_of_notebook(self) -> str:
        """The message about a notebook that exceeded its time limit."""
        return f"the notebook did not end within {self._notebook:g} s, its time limit, and was interrupted"

    def of_start(self, seconds: float) -> float:
        """The time limit of a kernel's start, at most ``seconds``."""
        left = None if self._cleaning_up else self._left()
        return seconds if left is None else max(min(seconds, left), 0.001)

    def _left(self) -> float | None:
        return None if self._notebook is None else self._began + self._notebook - self._clock()


class Watcher(Protocol):
    """Observes the start of every cell and its displays, as they arrive."""

    def cell_started(self, number: int, total: int, source: str) -> None:
        """A code cell starts: its number among the notebook's code cells, from 1, and its source."""

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """The cell displayed data (MIME type -> content), or updated a display."""


class _Silent:
    def cell_started(self, number: int, total: int, source: str) -> None:
        """Do nothing."""

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """Do nothing."""


#: A watcher that does nothing.
SILENT: Watcher = _Silent()
