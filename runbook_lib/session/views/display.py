"""Results in a notebook's output: short lines with symbols that need no colour, pictures, progress."""

from __future__ import annotations

import base64
import importlib.util
import threading
import time
from collections.abc import Sequence
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import DisplayHandle, display

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
    """One line for a step: the nodes counted by status, and the slowest node's seconds."""
    counts = {status: sum(row.status is status for row in rows) for status in Status}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    name = rows[0].step if rows else "nothing to do"
    slowest = max((row.seconds for row in rows), default=0.0)
    return f"{name}: {parts or 'no nodes'} in {slowest:.1f} s"


NOT_INSTALLED = "ipywidgets is not installed: plain tables instead of controls"


def attended() -> bool:
    """Whether the running cell was sent by an interactive front end.

    Each execute request says so (``allow_stdin`` in Jupyter's messaging protocol): JupyterLab and VS Code set it,
    nbclient, and with it papermill and ``./runbook run``, does not.
    """
    if not InteractiveShell.initialized():
        return False
    kernel: Any = getattr(InteractiveShell.instance(), "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else {}
    return bool(request.get("content", {}).get("allow_stdin"))


def installed() -> bool:
    """Whether ipywidgets can be imported."""
    try:
        return importlib.util.find_spec("ipywidgets") is not None
    except ValueError:  # None in sys.modules blocks its import
        return False


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class LiveLines:
    """A reporter for steps: shows each node's state and how long it took to get there, in the order of ``nodes``.

    Safe to be called from many threads at once.
    """

    def __init__(self, name: str, nodes: Sequence[str]) -> None:
        self._name = name
        self._nodes = tuple(nodes)
        self._started = time.monotonic()
        self._states: dict[str, str] = {}
        self._handle: DisplayHandle | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._handle = display(_Text(f"{self._name} …"), display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = f"broke off: {kind.__name__}" if kind else f"{time.monotonic() - self._started:.1f} s"
        with self._lock:
            self._show(ending)

    def __call__(self, step: str, node: str, state: str) -> None:
        """Record that a node reached a state of a step."""
        with self._lock:
            self._states[node] = f"{state} after {time.monotonic() - self._started:.1f} s"
            self._show("…")

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per node that has reported."""
        names = [*self._nodes, *sorted(set(self._states) - set(self._nodes))]
        return tuple(f"{node}: {self._states[node]}" for node in names if node in self._states)

    def _show(self, ending: str) -> None:
        if self._handle is not None:
            text = "\n  ".join([f"{self._name} {ending}", *self.lines])
            self._handle.update(_Text(text))  # type: ignore[no-untyped-call]
