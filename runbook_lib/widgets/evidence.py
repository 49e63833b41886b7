"""What a panel shows, as it reads where no notebook is running: in records, in exported files, headlessly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import pandas as pd

from runbook_lib.session.display import Picture
from runbook_lib.session.table_html import table_html

Part = pd.DataFrame | Picture | str


def part_html(part: Part) -> str:
    """One part as HTML: a table as cells show it, a picture as an image, text as a paragraph with its line breaks."""
    if isinstance(part, str):
        return f'<p style="white-space:pre-wrap">{escape(part)}</p>' if part else ""
    return table_html(part) if isinstance(part, pd.DataFrame) else part._repr_html_()


def part_text(part: Part) -> str:
    """One part as text: a table's whole rows, a picture's alternative."""
    if isinstance(part, pd.DataFrame):
        return part.to_string(index=False) if len(part) else f"no rows ({', '.join(map(str, part.columns))})"
    return str(part)


@dataclass(frozen=True)
class Evidence:
    """Text, tables and pictures in the order in which they are read.

    ``name`` is the CSS class by which a panel's controls, while they are on the screen, hide this: they show the same.
    """

    parts: tuple[Part, ...]
    name: str = ""

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, str]:
        """``text/html`` and ``text/plain``, whatever is asked for: evidence is both, in every front end."""
        body = "".join(map(part_html, self.parts))
        html = f'<div class="runbook-static {self.name}">{_HIDE_A_LOST_VIEW if self.name else ""}{body}</div>'
        return {"text/html": html, "text/plain": "\n\n".join(filter(None, map(part_text, self.parts)))}


# JupyterLab leaves "Loading widget..." or "model not found" in an output without elements where the kernel of a saved
# widget is gone; a living one's has elements. The evidence after it says what there is to say.
_HIDE_A_LOST_VIEW = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .runbook-static)"
    ">.jp-OutputArea-output:not(:has(*)){display:none}</style>"
)
