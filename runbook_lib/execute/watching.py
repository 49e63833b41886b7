"""Who is told what happens while a notebook runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


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
