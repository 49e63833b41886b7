"""The step panel as ipywidgets."""

from __future__ import annotations

from typing import Protocol

import ipywidgets

from runbook_lib.widgets.controls import button, html, put
from runbook_lib.widgets.evidence import Part, part_html


class Progress(Protocol):
    """What the step panel shows and calls."""

    message: str

    @property
    def name(self) -> str:
        """The step's name."""

    @property
    def busy(self) -> bool:
        """Whether it runs."""

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""

    def parts(self) -> tuple[Part, ...]:
        """A row a node."""

    def plan(self) -> None:
        """Show what would change; returns at once."""

    def apply(self) -> None:
        """Change and verify it; returns at once."""

    def stop(self) -> None:
        """Begin nothing on any more node; returns at once."""


class StepControls:
    """The widgets of one step panel. ``box`` holds them all; ``draw`` brings them up to date."""

    def __init__(self, panel: Progress) -> None:
        self._panel = panel
        self._plan = button("plan", "plan", panel.plan, "show what would change")
        self._apply = button("apply", "apply and verify", panel.apply, panel.name)
        self._stop = button("stop", "stop", panel.stop, "begin nothing on any more node")
        self._bar = ipywidgets.FloatProgress(min=0.0, max=1.0, description="", layout={"width": "16em"})
        self._bar.add_class("runbook-progress")
        self._percent = ipywidgets.Label()
        self._message = html("runbook-message")
        self._table = html("runbook-table")
        controls = ipywidgets.HBox([self._plan, self._apply, self._stop, self._bar, self._percent])
        self.box = ipywidgets.VBox([controls, self._table, self._message])

    def draw(self) -> None:
        """Show what the panel knows."""
        busy = self._panel.busy
        self._plan.disabled = self._apply.disabled = busy
        self._stop.disabled = not busy
        self._bar.value = self._panel.progress
        self._percent.value = f"{self._panel.progress:.0%}" if busy else "done"
        put(self._message, part_html(self._panel.message))
        put(self._table, "".join(map(part_html, self._panel.parts())))
