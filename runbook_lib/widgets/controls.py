"""The small widgets of which panels are made, each with a CSS class that stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets


def html(name: str) -> Any:
    """An HTML widget with a CSS class ``runbook-…``, whose tables JupyterLab draws as those of other outputs."""
    widget = ipywidgets.HTML()
    widget.add_class(name)
    widget.add_class("jp-RenderedHTMLCommon")
    return widget


def put(widget: Any, value: str) -> None:
    """Show HTML in it; what is there already is not sent again."""
    if widget.value != value:
        widget.value = value


def button(name: str, description: str, pressed: Callable[[], None], tooltip: str = "") -> Any:
    """A button with the CSS class ``runbook-NAME``; pressing it calls ``pressed``, which must return at once."""
    widget = ipywidgets.Button(description=description, tooltip=tooltip or description, layout={"width": "auto"})
    widget.add_class(f"runbook-{name}")
    widget.on_click(lambda _: pressed())
    return widget
