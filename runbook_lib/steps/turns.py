"""Lets the nodes of one step act in a fixed order where the order changes the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition

from runbook_lib.errors import NodeError


class Turns:
    """Turns of nodes, each for one thing, taken in their order.

    A node that has ended, in whatever way, blocks no other: the step calls ``leave`` for it. So a turn waits no longer
    than the earlier nodes' calls take.
    """

    def __init__(self, order: Sequence[tuple[str, str]] = ()) -> None:
        """``order`` lists pairs of node and thing."""
        self._left = list(order)
        self._changed = Condition()
        self._abandoned = False

    @contextmanager
    def take(self, node: str, thing: str) -> Iterator[None]:
        """Wait for the turn, and end it after the block. Pairs outside the order do not wait.

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
        """A node is done, or failed: drop its remaining turns."""
        self._drop([turn for turn in self._left if turn[0] == node])

    def abandon(self) -> None:
        """The step was interrupted: end all waits with an error."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def _drop(self, turns: Sequence[tuple[str, str]]) -> None:
        with self._changed:
            self._left = [turn for turn in self._left if turn not in turns]
            self._changed.notify_all()
