"""Lets the nodes of one step act in an order, where what they do depends on who does it first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition

from runbook_lib.errors import NodeError


class Turns:
    """Turns of nodes, each for one thing, taken in their order.

    A node that has ended, in whatever way, holds up no other: the step that runs it says so (``leave``). A turn
    therefore waits no longer than the calls of those before it may take.
    """

    def __init__(self, order: Sequence[tuple[str, str]] = ()) -> None:
        """``order`` is of pairs, node and thing."""
        self._left = list(order)
        self._changed = Condition()
        self._abandoned = False

    @contextmanager
    def take(self, node: str, thing: str) -> Iterator[None]:
        """Wait for a turn, act, and hand it on. What is in no order waits for nobody.

        Raises:
            NodeError: the step was interrupted meanwhile; nothing more must be done.
        """
        turn = (node, thing)
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or turn not in self._left or self._left[0] == turn)
            if self._abandoned:
                raise NodeError(node, f"interrupted before the turn of {thing}")
        try:
            yield
        finally:
            self._drop([turn])

    def leave(self, node: str) -> None:
        """A node is done, or failed: what it has not done is waited for no longer."""
        self._drop([turn for turn in self._left if turn[0] == node])

    def abandon(self) -> None:
        """The step was interrupted: whoever still waits is sent home."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _drop(self, turns: Sequence[tuple[str, str]]) -> None:
        with self._changed:
            self._left = [turn for turn in self._left if turn not in turns]
            self._changed.notify_all()
