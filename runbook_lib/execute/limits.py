"""How long a cell, and the whole notebook, may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import EllipsisType

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
