"""Shows a testbed's progress: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from runbook_lib.testbed import privilege
from runbook_lib.testbed.progress import Progress

_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red")}


class ConsoleReport:
    """A reporter: one line per finished step; on a terminal also a live line with the current steps."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._under_way: dict[tuple[str, str], None] = {}
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not privilege.wants_json():
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, event: Progress) -> None:
        """Show one event."""
        if privilege.wants_json():
            print(privilege.encode(event), flush=True)
            return
        key = (event.step, event.node)
        if event.state == "started":
            self._under_way[key] = None
        else:
            self._under_way.pop(key, None)
            self._console.print(self.line(event), soft_wrap=True)
        if self._status is not None:
            self._status.update(", ".join(" ".join(filter(None, entry)) for entry in list(self._under_way)))

    def line(self, event: Progress) -> Text:
        """One ended step: mark, step, node, detail and seconds."""
        mark, colour = _MARKS[event.state]
        if self._console.encoding.lower().replace("-", "") != "utf8":
            mark = "ok" if event.state == "done" else "FAILED"
        text = Text.assemble((mark, colour), " ", event.step)
        for part in (event.node, event.detail):
            if part:
                text.append(f"  {part}")
        return text.append(f"  {event.seconds:.1f} s", style="dim")
