"""The base of all panels: controls in interactive use, and static evidence everywhere (records, exported files)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import uuid4

import pandas as pd
from IPython.display import display, publish_display_data, update_display

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError
from runbook_lib.session import Session
from runbook_lib.session.views.display import NOT_INSTALLED, Picture, attended, installed
from runbook_lib.session.views.tables import table_html
from runbook_lib.widgets.background import stop_on_interrupt

Part = pd.DataFrame | Picture | str


def part_html(part: Part) -> str:
    """One part as HTML: a table as cells show it, a picture as an image, text as a paragraph with its line breaks."""
    if isinstance(part, str):
        return f'<p style="white-space:pre-wrap">{escape(part)}</p>' if part else ""
    return table_html(part) if isinstance(part, pd.DataFrame) else part._repr_html_()


def part_text(part: Part) -> str:
    """One part as text: a table's complete rows, a picture's text alternative."""
    if isinstance(part, pd.DataFrame):
        return part.to_string(index=False) if len(part) else f"no rows ({', '.join(map(str, part.columns))})"
    return str(part)


@dataclass(frozen=True)
class Evidence:
    """Text, tables and pictures in reading order.

    ``name`` is the CSS class by which visible controls hide this, because they show the same.
    """

    parts: tuple[Part, ...]
    name: str = ""

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, str]:
        """Always both ``text/html`` and ``text/plain``, for every front end."""
        body = "".join(map(part_html, self.parts))
        html = f'<div class="runbook-static {self.name}">{_HIDE_A_LOST_VIEW if self.name else ""}{body}</div>'
        return {"text/html": html, "text/plain": "\n\n".join(filter(None, map(part_text, self.parts)))}


# JupyterLab leaves "Loading widget..." or "model not found" in an output without elements where the kernel of a saved
# widget is gone; a living one's has elements. The evidence after it says what there is to say.
_HIDE_A_LOST_VIEW = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .runbook-static)"
    ">.jp-OutputArea-output:not(:has(*)){display:none}</style>"
)


VIEW = "application/vnd.jupyter.widget-view+json"
NO_CONTROLS = "(controls: they need a running notebook; what they showed last follows)"


class Panel(ABC):
    """A view of the cluster with controls. As a cell's last expression it shows itself.

    It has two outputs: the controls, and the same as text, tables and pictures. The second one stays in records and
    exported files, and is the only one in batch runs. Controls work in threads with their own connections; every front
    end shows the same panel.
    """

    css = "runbook-panel"

    def __init__(self, run: Session) -> None:
        self.run = run
        self.message = ""
        self._name = f"runbook-static-{uuid4().hex[:8]}"
        self._lock = threading.RLock()
        self._cluster: Cluster | None = None
        self._controls: Any = None
        self.shown = False

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The current text, tables and pictures."""

    @abstractmethod
    def build(self) -> Any:
        """Create the controls, once; the only place where a panel imports ipywidgets."""

    @abstractmethod
    def draw(self) -> None:
        """Update the controls. Called with the lock held."""

    @abstractmethod
    def stop(self) -> None:
        """Start no more work. Called from any thread, also in a signal handler: it must not wait."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done. Returns whether it is."""

    @property
    def cluster(self) -> Cluster:
        """The nodes over the panel's own connections, which are independent of the cells' connections."""
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster(self.run.inventory, self.run.parameters.timeouts)
            return self._cluster

    @property
    def evidence(self) -> Evidence:
        """The current content for records and files."""
        with self._lock:
            return Evidence((*self.parts(), self.message), self._name if self.shown else "")

    @property
    def controls(self) -> Any:
        """The widget that holds all controls.

        Raises:
            ImportError: ipywidgets is not installed.
        """
        with self._lock:
            if self._controls is None:
                self._controls = self.build()
                self.draw()
            return self._controls

    def refresh(self) -> None:
        """Update every view of the panel, and its evidence. Thread-safe."""
        with self._lock:
            if self._controls is not None:
                self.draw()
            if self.shown:
                update_display(self.evidence, display_id=self._name)  # type: ignore[no-untyped-call]

    def say(self, message: str | RunbookError) -> None:
        """Show a message."""
        with self._lock:
            self.message = message if isinstance(message, str) else self.error_text(message)
            self.refresh()

    @staticmethod
    def error_text(error: RunbookError) -> str:
        """An error as a cell shows it."""
        return f"{type(error).__name__}: {error}"

    def _ipython_display_(self) -> None:
        if not installed():
            print(NOT_INSTALLED)
        if not (attended() and installed()):
            display(self.evidence)  # type: ignore[no-untyped-call]
            return
        stop_on_interrupt(self)
        self.shown = True
        bundle = dict(self._hiding()._repr_mimebundle_())
        fallback = {"text/plain": NO_CONTROLS, "text/html": f"<p>{NO_CONTROLS}</p>"}
        publish_display_data({VIEW: bundle[VIEW], **fallback})  # type: ignore[no-untyped-call]
        display(self.evidence, display_id=self._name)  # type: ignore[no-untyped-call]

    def _hiding(self) -> Any:
        """The controls with a style that hides the evidence while they are visible."""
        import ipywidgets

        style = ipywidgets.HTML(f"<style>.{self._name}{{display:none}}</style>", layout={"display": "none"})
        box = ipywidgets.VBox([self.controls, style])
        box.add_class("runbook-widget")
        box.add_class(self.css)
        return box
