"""The panels' controls as ipywidgets, each with a stable CSS class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import ipywidgets
import pandas as pd

from runbook_lib.session.views.display import Picture
from runbook_lib.widgets.connection_facts import Connection, Connections
from runbook_lib.widgets.panel import Part, part_html


def html(name: str) -> Any:
    """An HTML widget with a CSS class ``runbook-…``, whose tables look like those of other outputs."""
    widget = ipywidgets.HTML()
    widget.add_class(name)
    widget.add_class("jp-RenderedHTMLCommon")
    return widget


def put(widget: Any, value: str) -> None:
    """Show HTML in it; unchanged HTML is not sent again."""
    if widget.value != value:
        widget.value = value


def button(name: str, description: str, pressed: Callable[[], None], tooltip: str = "") -> Any:
    """A button with the CSS class ``runbook-NAME``; pressing it calls ``pressed``, which must return at once."""
    widget = ipywidgets.Button(description=description, tooltip=tooltip or description, layout={"width": "auto"})
    widget.add_class(f"runbook-{name}")
    widget.on_click(lambda _: pressed())
    return widget


class Choice(Protocol):
    """The chooser's state and actions."""

    files: dict[str, Path | None]
    choice: str

    def choose(self, name: str) -> None:
        """Read the file of that name and show its cluster."""

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


class Readings(Protocol):
    """The matrix's state and actions."""

    message: str

    @property
    def running(self) -> bool:
        """Whether it is reading."""

    def parts(self) -> tuple[Part, ...]:
        """The last reading."""

    def start(self) -> None:
        """Read repeatedly; returns at once."""

    def stop(self) -> None:
        """Stop reading; returns at once."""


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


class Progress(Protocol):
    """The step panel's state and actions."""

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
        """One row per node."""

    def plan(self) -> None:
        """Show what would change; returns at once."""

    def apply(self) -> None:
        """Change and verify it; returns at once."""

    def stop(self) -> None:
        """Start no further node; returns at once."""


class StepControls:
    """The widgets of one step panel. ``box`` holds them all; ``draw`` brings them up to date."""

    def __init__(self, panel: Progress) -> None:
        self._panel = panel
        self._plan = button("plan", "plan", panel.plan, "show what would change")
        self._apply = button("apply", "apply and verify", panel.apply, panel.name)
        self._stop = button("stop", "stop", panel.stop, "start no further node")
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


class Switches(Protocol):
    """The toggles' state and actions."""

    connections: Connections
    picture: Picture | str
    matrix: pd.DataFrame
    message: str

    def target(self, row: Connection) -> bool:
        """Whether it is connected, or will be after pending switches."""

    def busy(self, row: Connection) -> bool:
        """Whether it is being switched."""

    def switch(self, container: str, network: str, connected: bool) -> None:
        """Connect or disconnect; returns at once."""

    def look(self) -> None:
        """Read everything again; returns at once."""


_WORDS = {
    (True, False): "● connected",
    (False, False): "○ disconnected",
    (True, True): "connecting …",
    (False, True): "disconnecting …",
}


class ConnectionControls:
    """The widgets of one panel. ``box`` holds them all; ``draw`` brings them up to date."""

    def __init__(self, panel: Switches) -> None:
        self._panel = panel
        self._toggles: dict[tuple[str, str], Any] = {}
        self._places: dict[tuple[str, str], Any] = {}
        self._rows = ipywidgets.VBox()
        self._message = html("runbook-message")
        self._picture = html("runbook-picture")
        self._matrix = html("runbook-matrix")
        refresh = button("refresh", "look again", panel.look, "read the cluster again")
        self.box = ipywidgets.VBox([self._rows, ipywidgets.HBox([refresh, self._message]), self._picture, self._matrix])

    def draw(self) -> None:
        """Show what the panel knows."""
        rows = self._panel.connections.rows
        if [(row.container, row.network) for row in rows] != list(self._toggles):
            self._make(rows)
        for row in rows:
            self._draw_row(row)
        notes = [*self._panel.connections.silent, self._panel.message]
        put(self._message, "".join(part_html(note) for note in notes))
        put(self._picture, part_html(self._panel.picture))
        put(self._matrix, part_html(self._panel.matrix))

    def _make(self, rows: tuple[Connection, ...]) -> None:
        self._toggles = {(row.container, row.network): self._toggle(row) for row in rows}
        self._places = {key: ipywidgets.Label() for key in self._toggles}
        lines = []
        # Wide enough for the longest name, or JupyterLab cuts it.
        width = f"{max((len(row.name) for row in rows), default=0) + 2}ch"
        for row in rows:
            key = (row.container, row.network)
            name = ipywidgets.Label(row.name, layout={"width": width})
            lines.append(ipywidgets.HBox([name, self._toggles[key], self._places[key]]))
        self._rows.children = lines or [ipywidgets.Label("no container: notebook 04_run_containers makes them")]

    def _toggle(self, row: Connection) -> Any:
        toggle = ipywidgets.ToggleButton(value=self._panel.target(row), tooltip=row.name, layout={"width": "11em"})
        toggle.add_class("runbook-toggle")
        toggle.observe(lambda change: self._clicked(row, change), names="value")
        return toggle

    def _clicked(self, row: Connection, change: Mapping[str, Any]) -> None:
        """The user's click, or the panel's own update, which then changes nothing."""
        now = next((item for item in self._panel.connections.rows if item.name == row.name), row)
        if change["new"] != self._panel.target(now):
            self._panel.switch(row.container, row.network, bool(change["new"]))

    def _draw_row(self, row: Connection) -> None:
        key = (row.container, row.network)
        toggle, connected = self._toggles[key], self._panel.target(row)
        toggle.description = _WORDS[connected, self._panel.busy(row)]
        toggle.disabled = not row.switchable
        if toggle.value != connected:
            toggle.value = connected
        where = f"{row.node}, {row.state}"
        self._places[key].value = f"{row.address} · {where}" if row.address else where
