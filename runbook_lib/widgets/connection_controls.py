"""The toggles as ipywidgets: a row a container, a button a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import ipywidgets
import pandas as pd

from runbook_lib.session.display import Picture
from runbook_lib.widgets.connection_facts import Connection, Connections
from runbook_lib.widgets.controls import button, html, put
from runbook_lib.widgets.evidence import part_html


class Switches(Protocol):
    """What the toggles show and call."""

    connections: Connections
    picture: Picture | str
    matrix: pd.DataFrame
    message: str

    def target(self, row: Connection) -> bool:
        """Whether it is connected, or will be when what is under way is done."""

    def busy(self, row: Connection) -> bool:
        """Whether it is being switched."""

    def switch(self, container: str, network: str, connected: bool) -> None:
        """Connect or disconnect; returns at once."""

    def look(self) -> None:
        """Read everything afresh; returns at once."""


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
        refresh = button("refresh", "look again", panel.look, "read the cluster afresh")
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
        # Room for the longest name, or JupyterLab cuts it.
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
        """A person's click, or the panel's own word, which changes nothing then."""
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
