"""The live matrix as ipywidgets."""

from __future__ import annotations

from typing import Protocol

import ipywidgets

from runbook_lib.widgets.controls import button, html, put
from runbook_lib.widgets.evidence import Part, part_html


class Readings(Protocol):
    """What the matrix shows and calls."""

    message: str

    @property
    def running(self) -> bool:
        """Whether it goes on reading."""

    def parts(self) -> tuple[Part, ...]:
        """The last reading."""

    def start(self) -> None:
        """Read again and again; returns at once."""

    def stop(self) -> None:
        """Read no more; returns at once."""


class MatrixControls:
    """The widgets of one live matrix. ``box`` holds them all; ``draw`` brings them up to date."""

    def __init__(self, panel: Readings) -> None:
        self._panel = panel
        self._start = button("start", "start", panel.start)
        self._stop = button("stop", "stop", panel.stop)
        self._message = html("runbook-message")
        self._matrix = html("runbook-matrix")
        self.box = ipywidgets.VBox([ipywidgets.HBox([self._start, self._stop, self._message]), self._matrix])

    def draw(self) -> None:
        """Show what the panel knows."""
        self._start.disabled = self._panel.running
        self._stop.disabled = not self._panel.running
        put(self._message, part_html(self._panel.message))
        put(self._matrix, "".join(map(part_html, self._panel.parts())))
