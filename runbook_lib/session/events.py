"""Publishes what happens in a notebook into its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from IPython.display import publish_display_data

from runbook_lib.model.events import EVENT_MIME, Event, payload


def publish(events: Iterable[Event], *, text: str, html: str | None = None) -> None:
    """Put events into the running cell's output, with a line (and perhaps HTML) for people."""
    bundle: dict[str, Any] = {EVENT_MIME: payload(events), "text/plain": text}
    if html is not None:
        bundle["text/html"] = html
    publish_display_data(bundle)  # type: ignore[no-untyped-call]
