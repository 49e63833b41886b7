"""What a caller of papermill hands to the engine: nbclient's settings, time limits, and who is told what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import EllipsisType
from typing import Any, Protocol

from runbook_lib.errors import InputError

# What plain papermill decides itself, whatever else it is given.
_PAPERMILLS = ("startup_timeout", "log")
# The kernel is ours: a manager of the caller's would start another one.
_KERNELS = ("km", "kernel_manager_class")


@dataclass(frozen=True)
class ClientSettings:
    """What a client of a kernel is made with, and what of it is for the kernel itself."""

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
        """The same, with what papermill's own arguments say."""
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


#: How long a cell that runs at the end whatever happened may take if cells have no limit, in seconds.
ALWAYS_SECONDS = 120.0


class TimeLimits:
    """The limits of one notebook, which begin with it.

    Args:
        cell: seconds for each cell; ``None``: no limit.
        notebook: seconds for all cells together, the kernel's start included; ``None``: no limit. It does not count
            for the cells that run at the end whatever happened: those have ``cell``, or else ``ALWAYS_SECONDS``.
        clock: tells the seconds that pass.
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
        """From now on the cells run that run whatever happened."""
        self._cleaning_up = True

    def of_next_cell(self, cell: float | EllipsisType | None = ...) -> float | None:
        """The seconds that a cell has if it begins now; at least a moment, never zero.

        Args:
            cell: this cell's own limit, in seconds, in the place of that of all cells.
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
        """What to say of a cell that did not end within its ``seconds``."""
        if self._notebook_ends_first and not self._cleaning_up:
            return self.complaint_of_notebook()
        return f"the cell did not end within {seconds:g} s, the time limit of a cell, and was interrupted"

    def complaint_of_notebook(self) -> str:
        """What to say of a notebook whose own time has run out."""
        return f"the notebook did not end within {self._notebook:g} s, its time limit, and was interrupted"

    def of_start(self, seconds: float) -> float:
        """The seconds that a kernel has to start, of the ``seconds`` that it would have by itself."""
        left = None if self._cleaning_up else self._left()
        return seconds if left is None else max(min(seconds, left), 0.001)

    def _left(self) -> float | None:
        return None if self._notebook is None else self._began + self._notebook - self._clock()


class Watcher(Protocol):
    """Is told of every cell that begins and of every display of it, as they arrive."""

    def cell_started(self, number: int, total: int, source: str) -> None:
        """A code cell begins: its place among the notebook's code cells, counted from 1, and its source."""

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """The cell displayed data (MIME type -> content), or updated what it had displayed."""


class _Silent:
    def cell_started(self, number: int, total: int, source: str) -> None:
        """Told to nobody."""

    def displayed(self, data: Mapping[str, Any], *, updated: bool) -> None:
        """Told to nobody."""


#: A watcher that tells nobody.
SILENT: Watcher = _Silent()
