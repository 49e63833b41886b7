"""What all nodes answered, or one error that names every node that did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runbook_lib.cluster import Outcome
from runbook_lib.errors import InputError, NodeError, UnreachableError

T = TypeVar("T")


def answers(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """Every node's value, in the order of the outcomes.

    Raises:
        InputError: a key or host key that was refused; it comes before all else, for the user has to mend it.
        RunbookError: the one node's error; where several nodes failed, one error with a line for each of them
            (``UnreachableError`` when none of them could be reached, else ``NodeError``).
    """
    errors = [(outcome.node, outcome.error) for outcome in outcomes if outcome.error is not None]
    for _, error in errors:
        if isinstance(error, InputError):
            raise error
    if len(errors) == 1:
        raise errors[0][1]
    if errors:
        unreachable = all(isinstance(error, UnreachableError) for _, error in errors)
        lines = "".join(f"\n  - {node}: {error.message}" for node, error in errors)
        nodes = ", ".join(node for node, _ in errors)
        remedy = next((error.remedy for _, error in errors if error.remedy), "")
        kind = UnreachableError if unreachable else NodeError
        raise kind(nodes, f"{len(errors)} of {len(outcomes)} nodes did not answer:{lines}", remedy=remedy)
    return [outcome.result for outcome in outcomes]
