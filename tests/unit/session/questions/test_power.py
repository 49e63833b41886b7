from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import NodeError, RunbookError, UnreachableError
from runbook_lib.facts.host.host import Boot
from runbook_lib.model.loading import load_run
from runbook_lib.model.results import Status, StepResult
from runbook_lib.session.questions import power
from runbook_lib.session.questions.power import restarted
from runbook_lib.steps import Reboot, Step, run_step
from runbook_lib.steps.base import Finding, Say, pending, satisfied


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


class Made(Step[str, str]):
    """Something on every node that acts at boot, found as the test says."""

    name = "made"

    def __init__(self, *, there: bool = True, unproved_on: str = "") -> None:
        self.there, self.unproved_on = there, unproved_on

    def read(self, node: Node) -> str:
        return "there" if self.there else "absent"

    def assess(self, readings: Mapping[str, str], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        return {name: satisfied(found) if self.there else pending(found, "there") for name, found in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        raise AssertionError("only read")

    def changed_since_boot(self, node: Node) -> str:
        return "its file" if node.name == self.unproved_on else ""


@pytest.fixture
def cycle(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What becomes of two nodes: the status of each."""
    monkeypatch.setattr("runbook_lib.session.questions.power.read_boot", lambda node: Boot(node.name, "b0", 100, 60.0))
    loaded = load_run({"inventory": str(inventory), "containers": []})

    def restart(cluster: Cluster, step: Reboot, **more: object) -> tuple[StepResult, ...]:
        return tuple(StepResult(power.STEP, node.name, Status.CHANGED) for node in step.nodes(cluster))

    def run(*steps: Step[str, str], done: Sequence[StepResult] = (), only: Sequence[str] = ()) -> list[str]:
        def either(cluster: Cluster, step: Step[str, str], **more: Any) -> tuple[StepResult, ...]:
            return restart(cluster, step) if isinstance(step, Reboot) else run_step(cluster, step, **more)

        monkeypatch.setattr("runbook_lib.session.questions.power.run_step", either)
        work = power.Work(only, proves=steps, done=done)
        rows = power.cycle(Cluster(loaded.inventory), loaded.parameters, work, reporter=lambda *told: None)
        assert {row.detail for row in rows if row.status is Status.OK} <= {power.PROVED}
        return [row.status.value for row in rows]

    return run


def test_what_is_there_and_has_been_booted_with_needs_no_restart(cycle: Callable[..., list[str]]) -> None:
    assert cycle(Made(), Made()) == ["ok"] * 2
    assert cycle(Made(unproved_on="node2"), only=["node1"]) == ["ok"]


def test_what_was_changed_or_is_not_there_or_came_after_the_boot_is_proved_by_a_restart(
    cycle: Callable[..., list[str]],
) -> None:
    assert cycle(Made(), done=[StepResult("made", "node1", Status.CHANGED)]) == ["changed"] * 2
    assert cycle(Made(), done=[StepResult("other", "node1", Status.CHANGED)]) == ["ok"] * 2
    assert cycle(Made(there=False)) == ["changed"] * 2
    assert cycle(Made(unproved_on="node2")) == ["changed"] * 2
    assert cycle() == ["changed"] * 2
