"""What all nodes answered, or one error that names every node that did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runbook_lib.cluster import Outcome
from runbook_lib.errors import InputError, NodeError, UnreachableError
from runbook_lib.session.claim import at_work_elsewhere

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
        error = errors[0][1]
        if isinstance(error, UnreachableError):
            error.remedy = _unless_restarting(error.remedy)
        raise error
    if errors:
        unreachable = all(isinstance(error, UnreachableError) for _, error in errors)
        lines = "".join(f"\n  - {node}: {error.message}" for node, error in errors)
        nodes = ", ".join(node for node, _ in errors)
        remedy = next((error.remedy for _, error in errors if error.remedy), "")
        remedy = _unless_restarting(remedy) if unreachable else remedy
        kind = UnreachableError if unreachable else NodeError
        raise kind(nodes, f"{len(errors)} of {len(outcomes)} nodes did not answer:{lines}", remedy=remedy)
    return [outcome.result for outcome in outcomes]


def _unless_restarting(remedy: str) -> str:
    """A reading needs no lock: a node may be down since somebody else, who holds the cluster, restarts it."""
    holder = at_work_elsewhere()
    if not holder:
        return remedy
    wait = f"{holder} works on this cluster now and may be restarting it: wait for its end and read again"
    return f"{wait}; else {remedy}" if remedy else wait
