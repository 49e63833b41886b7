from collections.abc import Callable, Mapping

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineError, StepFailed, UnreachableError
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.results import Status, StepResult
from runbook_lib.steps.base import (
    Finding,
    Say,
    Step,
    blocked,
    pending,
    refused,
    require_success,
    run_step,
    run_steps,
    satisfied,
    unequal,
)

Cupboard = dict[str, str]


class Put(Step[str, str]):
    """Puts a word on every node's shelf; the shelves are a dictionary, so that a test sees all that is done."""

    name = "put"

    def __init__(self, shelves: Cupboard, *, word: str = "new", deaf: frozenset[str] = frozenset()) -> None:
        self.shelves, self.word, self.deaf = shelves, word, deaf
        self.applied: list[str] = []

    def read(self, node: Node) -> str:
        if self.shelves[node.name] == "gone":
            raise UnreachableError(node.name, "no connection", remedy="switch it on")
        return self.shelves[node.name]

    def assess(self, readings: Mapping[str, str], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
        return {name: self._finding(found) for name, found in readings.items()}

    def _finding(self, found: str) -> Finding[str]:
        if found == "locked":
            return refused(found, "somebody else's", remedy="ask")
        return satisfied(found) if found == self.word else pending(found, self.word, self.word)

    def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
        self.applied.append(node.name)
        if self.shelves[node.name] == "broken":
            raise EngineError(node.name, "put", "the shelf\nis broken", remedy="mend it")
        if node.name not in self.deaf:
            self.shelves[node.name] = work
        if work == "fatal":
            self.shelves[node.name] = "gone"


@pytest.fixture
def cluster(make_inventory: Callable[..., Inventory]) -> Cluster:
    return Cluster(make_inventory(4))


def shelves(*words: str) -> Cupboard:
    return {f"node{number}": word for number, word in enumerate(words, start=1)}


def statuses(rows: tuple[StepResult, ...]) -> list[str]:
    return [row.status.value for row in rows]


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    step = Put(shelves("old", "new", "old", "new"))
    assert statuses(run_step(cluster, step)) == ["changed", "ok", "changed", "ok"]
    assert statuses(run_step(cluster, step)) == ["ok"] * 4
    assert sorted(step.applied) == ["node1", "node3"]


def test_plan_mode_touches_nothing_and_says_what_would_change(cluster: Cluster) -> None:
    step = Put(shelves("old", "new", "locked", "gone"))
    rows = run_step(cluster, step, plan=True)
    assert statuses(rows) == ["planned", "ok", "failed", "unreachable"]
    assert (rows[0].before, rows[0].after) == ("old", "new")
    assert step.applied == []
    assert step.shelves == shelves("old", "new", "locked", "gone")


def test_every_node_answers_and_no_failure_hides_another(cluster: Cluster) -> None:
    step = Put(shelves("broken", "gone", "locked", "old"))
    rows = run_step(cluster, step)
    assert [row.node for row in rows] == ["node1", "node2", "node3", "node4"]
    assert statuses(rows) == ["failed", "unreachable", "failed", "changed"]
    assert rows[0].detail == "Docker refused 'put': the shelf is broken; remedy: mend it"
    assert rows[1].detail == "no connection; remedy: switch it on"
    assert rows[2].detail == "somebody else's; remedy: ask"


def test_a_row_is_decided_by_a_fresh_reading_and_not_by_what_was_written(cluster: Cluster) -> None:
    rows = run_step(cluster, Put(shelves("old", "old", "old", "old"), deaf=frozenset({"node2"})))
    assert statuses(rows) == ["changed", "failed", "changed", "changed"]
    assert rows[1].detail == "a new reading still shows: old"


def test_a_node_that_dies_in_the_middle_is_unreachable_and_the_others_are_finished(cluster: Cluster) -> None:
    step = Put(shelves("old", "old", "old", "old"))

    class Dying(Put):
        def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
            super().apply(cluster, node, "fatal" if node.name == "node3" else work, say)

    dying = Dying(step.shelves)
    assert statuses(run_step(cluster, dying)) == ["changed", "changed", "unreachable", "changed"]
    step.shelves["node3"] = "old"
    assert statuses(run_step(cluster, step)) == ["ok", "ok", "changed", "ok"]


def test_a_change_that_takes_a_moment_to_show_is_waited_for(cluster: Cluster) -> None:
    class Slow(Put):
        settle_seconds = 5.0
        readings = 0

        def read(self, node: Node) -> str:
            self.readings += node.name == "node1"
            return super().read(node) if self.readings > 2 or node.name != "node1" else "old"

    assert statuses(run_step(cluster, Slow(shelves("old", "new", "new", "new")))) == ["changed", "ok", "ok", "ok"]


def test_time_that_is_up_is_a_failure(cluster: Cluster) -> None:
    step = Put(shelves("old", "new", "new", "new"), deaf=frozenset({"node1"}))
    step.settle_seconds = 0.3
    assert statuses(run_step(cluster, step))[0] == "failed"


def test_the_reporter_hears_every_node_up_to_its_status(cluster: Cluster) -> None:
    events: list[tuple[str, str, str]] = []
    run_step(
        cluster,
        Put(shelves("old", "new", "new", "gone")),
        reporter=lambda step, node, state: events.append((step, node, state)),
    )
    heard = [state for _, node, state in events if node == "node1"]
    assert heard == ["checking", "applying", "applied", "verifying", "changed"]
    assert [state for _, node, state in events if node == "node4"] == ["checking", "unreachable"]


def test_steps_after_one_that_failed_are_not_run(cluster: Cluster) -> None:
    first, second = Put(shelves("locked", "old", "old", "old")), Put(shelves("old", "old", "old", "old"))
    assert len(run_steps(cluster, [first, second])) == 4
    assert second.applied == []
    assert len(run_steps(cluster, [first, second], plan=True)) == 8


def test_requiring_success_lists_every_row_that_failed() -> None:
    rows = [
        StepResult("put", "node1", Status.OK),
        StepResult("put", "node2", Status.UNREACHABLE, detail="no connection"),
        StepResult("put", "node3", detail="a row starts as failed"),
    ]
    require_success(rows[:1])
    with pytest.raises(StepFailed) as raised:
        require_success(rows)
    assert raised.value.rows == ("node2: unreachable: no connection", "node3: failed: a row starts as failed")


def test_what_builds_on_something_missing_is_planned_with_its_remedy_and_fails_when_applied(cluster: Cluster) -> None:
    class Early(Put):
        def assess(self, readings: Mapping[str, str], missing: frozenset[str]) -> Mapping[str, Finding[str]]:
            return {
                name: blocked(found, self.word, "no shelf yet", remedy="build it") for name, found in readings.items()
            }

    step = Early(shelves("old", "old", "old", "old"))
    (planned, *_), (failed, *_) = run_step(cluster, step, plan=True), run_step(cluster, step)
    assert (planned.status, planned.after) == (Status.PLANNED, "new")
    assert (failed.status, failed.after) == (Status.FAILED, "old")
    assert planned.detail == failed.detail == "no shelf yet; remedy: build it"
    assert step.applied == []


class Doubting(Put):
    """Doubts what it read of a shelf until that is no longer \"blurred\", as it becomes at the second look."""

    def read(self, node: Node) -> str:
        found = super().read(node)
        if found == "blurred":
            self.shelves[node.name] = "new"
        return found

    def contradicted(self, readings: Mapping[str, str]) -> list[str]:
        return [name for name, found in readings.items() if found in ("blurred", "dark")]


def test_a_reading_that_others_contradict_is_made_again_before_it_is_judged(cluster: Cluster) -> None:
    step = Doubting(shelves("new", "blurred", "new", "new"))
    assert statuses(run_step(cluster, step)) == ["ok"] * 4
    assert step.applied == []


def test_a_reading_that_stays_contradicted_is_judged_as_it_is(cluster: Cluster) -> None:
    step = Doubting(shelves("new", "dark", "new", "new"))
    step.recheck_seconds = 0.05
    assert statuses(run_step(cluster, step, plan=True)) == ["ok", "planned", "ok", "ok"]


def test_a_fresh_reading_that_others_contradict_is_made_again_too(cluster: Cluster) -> None:
    class Blurring(Doubting):
        def apply(self, cluster: Cluster, node: Node, work: str, say: Say) -> None:
            self.shelves[node.name] = "blurred"

        def _finding(self, found: str) -> Finding[str]:
            return blocked(found, self.word, "dust", remedy="wipe") if found == "blurred" else super()._finding(found)

    assert statuses(run_step(cluster, Blurring(shelves("new", "old", "new", "new")))) == ["ok", "changed", "ok", "ok"]


def test_only_what_is_not_as_wanted_is_a_difference_and_nothing_is_called_none() -> None:
    rows = [("driver", "overlay", "overlay"), ("subnet", "10.1.0.0/24", ""), ("option mtu", "", "1400")]
    assert [str(item) for item in unequal(rows)] == [
        "subnet: expected 10.1.0.0/24, found none",
        "option mtu: expected none, found 1400",
    ]
