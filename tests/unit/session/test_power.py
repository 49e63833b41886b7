from __future__ import annotations

import pytest

from runbook_lib.cluster import Outcome
from runbook_lib.errors import NodeError, RunbookError, UnreachableError
from runbook_lib.facts.boot import Boot
from runbook_lib.model.results import Status
from runbook_lib.session.power import restarted


def reading(ticks: int, up_seconds: float) -> Outcome[Boot]:
    return Outcome("node1", Boot("node1", "b0", ticks, up_seconds), None, 0.1)


def silent(error: RunbookError) -> Outcome[Boot]:
    return Outcome("node1", None, error, 0.1)


OLD, NEW = reading(100, 60.0), reading(9000, 2.0)
GONE = silent(UnreachableError("node1", "no SSH connection"))


def test_a_node_in_another_boot_was_restarted() -> None:
    row = restarted(OLD, NEW, 4.0)
    assert (row.status, row.before, row.after, row.seconds) == (Status.CHANGED, "up for 60 s", "up for 2 s", 4.0)


def test_a_node_that_was_down_before_is_back() -> None:
    row = restarted(GONE, NEW, 4.0)
    assert (row.status, row.before) == (Status.CHANGED, "did not answer")


def test_a_node_still_in_its_old_boot_was_not_restarted() -> None:
    assert restarted(OLD, reading(100, 64.0), 4.0).status is Status.FAILED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnreachableError("node1", "no SSH connection"), Status.UNREACHABLE),
        (NodeError("node1", "unreadable boot"), Status.FAILED),
    ],
)
def test_a_node_that_does_not_answer_afterwards_is_a_row_with_the_reason(error: NodeError, status: Status) -> None:
    row = restarted(OLD, silent(error), 4.0)
    assert (row.status, row.after, row.detail) == (status, "", error.message)
