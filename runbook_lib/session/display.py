"""How results look in a notebook's output: short lines with a symbol that reads without colour, and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from runbook_lib import charts
from runbook_lib.model.results import Check, Status, StepResult, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMBOLS = {Verdict.PASS: "✓", Verdict.WARN: "!", Verdict.FAIL: "✗", Verdict.SKIP: "–"}

# A picture follows the notebook's theme where that is not the browser's: browsers hand the color-scheme of an image's
# element on to the SVG in it (https://drafts.csswg.org/css-color-adjust/#color-scheme-effect). JupyterLab, VS Code.
_FOLLOW_THEME = (
    "<style>[data-jp-theme-light=true] .runbook-picture,.vscode-light .runbook-picture{color-scheme:light}"
    "[data-jp-theme-light=false] .runbook-picture,.vscode-dark .runbook-picture{color-scheme:dark}</style>"
)


class Picture:
    """An SVG or a figure with its text alternative; shown as a picture, archived as one, read as text.

    Either way an SVG is shown, which is light or dark as the page around it.
    """

    def __init__(self, source: str | Figure, alternative: str) -> None:
        self.alternative = alternative
        self.svg = source if isinstance(source, str) else charts.figure_svg(source, alternative)
        self._url = f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"

    def _repr_html_(self) -> str:
        alternative = escape(self.alternative)
        return (
            f'{_FOLLOW_THEME}<img class="runbook-picture" src="{self._url}" alt="{alternative}" style="max-width:100%">'
        )

    def __repr__(self) -> str:
        return self.alternative


def check_line(check: Check) -> str:
    """One line for a check: symbol, claim, node, what was expected and found."""
    where = f" on {check.node}" if check.node else ""
    detail = f"expected {check.expected}, found {check.found}" if check.expected else check.found
    return f"{SYMBOLS[check.verdict]} {check.verdict}: {check.check}{where}" + (f" ({detail})" if detail else "")


def checks_html(checks: Sequence[Check]) -> str:
    """The same lines as HTML."""
    return "".join(f"<div><b>{escape(check_line(check))}</b></div>" for check in checks)


def step_line(rows: Sequence[StepResult]) -> str:
    """One line for a step: how many nodes ended how, and the slowest node's seconds."""
    counts = {status: sum(row.status is status for row in rows) for status in Status}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    name = rows[0].step if rows else "nothing to do"
    slowest = max((row.seconds for row in rows), default=0.0)
    return f"{name}: {parts or 'no nodes'} in {slowest:.1f} s"
