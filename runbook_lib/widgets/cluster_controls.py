"""The chooser of parameter files as ipywidgets."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import ipywidgets

from runbook_lib.widgets.controls import html, put
from runbook_lib.widgets.evidence import Part, part_html


class Choice(Protocol):
    """What the chooser shows and calls."""

    files: dict[str, Path | None]
    choice: str

    def choose(self, name: str) -> None:
        """Read the file of that name and show what it leads to."""

    def chosen(self) -> tuple[Part, ...]:
        """The chosen file's cluster, or its faults."""


class ClusterControls:
    """The widgets of one chooser. ``box`` holds them all; ``draw`` brings them up to date."""

    def __init__(self, panel: Choice) -> None:
        self._panel = panel
        self._choice = ipywidgets.Dropdown(
            options=list(panel.files),
            value=panel.choice,
            description="parameter file",
            style={"description_width": "initial"},
            layout={"width": "max-content"},
        )
        self._choice.add_class("runbook-choice")
        self._choice.observe(lambda change: panel.choose(change["new"]), names="value")
        self._cluster = html("runbook-table")
        self.box = ipywidgets.VBox([self._choice, self._cluster])

    def draw(self) -> None:
        """Show what the panel knows."""
        if self._choice.value != self._panel.choice:
            self._choice.value = self._panel.choice
        put(self._cluster, "".join(map(part_html, self._panel.chosen())))
