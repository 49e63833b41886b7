"""Progress of a step while it runs: one line a node, rewritten in place, complete when archived."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from IPython.display import DisplayHandle, display


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
        """Note that a node reached a state of a step."""
        with self._lock:
            self._states[node] = f"{state} after {time.monotonic() - self._started:.1f} s"
            self._show("…")

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each node that was heard of."""
        names = [*self._nodes, *sorted(set(self._states) - set(self._nodes))]
        return tuple(f"{node}: {self._states[node]}" for node in names if node in self._states)

    def _show(self, ending: str) -> None:
        if self._handle is not None:
            text = "\n  ".join([f"{self._name} {ending}", *self.lines])
            self._handle.update(_Text(text))  # type: ignore[no-untyped-call]
