"""A session on two nodes that are down: what can be told, told; what cannot, refused. Live clusters: tests/testbed."""

from __future__ import annotations

import pytest

from runbook_lib.errors import CheckFailed, InputError, StepFailed, UnreachableError
from runbook_lib.model.events import FinishEvent, StepEvent
from runbook_lib.model.results import Check, Status, Verdict

FAIL = Check("x", "", Verdict.FAIL, "1", "2")


def test_a_reading_names_every_node_that_is_down(open_session) -> None:
    with pytest.raises(UnreachableError, match="node1, node2: 2 of 2 nodes did not answer"):
        open_session().read.addresses()


def test_a_plan_shows_unreachable_nodes_as_rows(open_session) -> None:
    run = open_session()
    table = run.plan(run.steps.static_addresses())
    assert list(table.columns) == ["node", "status", "before", "after", "detail"]
    assert table["status"].tolist() == ["unreachable", "unreachable"]


def test_several_steps_are_planned_in_one_table_and_applied_until_one_fails(open_session, displayed) -> None:
    run = open_session()
    steps = run.steps.clean_up(boot_scripts=True)
    names = ["remove containers", "remove docker_gwbridge", "remove networks"]
    names += ["remove etcd autostart", "remove static addresses"]
    assert run.plan(*steps)["step"].tolist() == [name for name in names for _ in run.nodes]
    with pytest.raises(StepFailed, match="remove containers"):
        run.apply(*steps)
    assert {event.step for event in displayed.events if isinstance(event, StepEvent)} == {"remove containers"}


def test_an_exercise_is_left_alone_in_plan_mode(open_session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_lib.session.expectations.attended", lambda: True)
    assert open_session().exercise("05-a", prediction=3).answered
    assert not open_session(plan=True).exercise("05-a", prediction=3).answered


@pytest.mark.parametrize("plan", [False, True])
def test_an_applied_step_names_every_node_that_is_down(open_session, displayed, plan: bool) -> None:
    run = open_session(plan=plan)
    with pytest.raises(StepFailed) as caught:
        run.apply(run.steps.static_addresses())
    assert [row.split(":")[0] for row in caught.value.rows] == ["node1", "node2"]
    rows = [event for event in displayed.events if isinstance(event, StepEvent)]
    assert {row.status for row in rows} == {Status.UNREACHABLE}


def test_a_power_cycle_that_nobody_consented_to_asks_no_node(open_session) -> None:
    table = open_session(power_cycle=False).power_cycle(shuffle=True)
    assert table["status"].tolist() == ["skipped", "skipped"]
    assert "power_cycle" in table["detail"][0]


def test_a_power_cycle_of_nodes_that_are_down_fails_in_plan_mode_too(open_session) -> None:
    for plan in (False, True):
        with pytest.raises(StepFailed):
            open_session(plan=plan).power_cycle()


def test_a_failed_expectation_is_a_failure_in_plan_mode_too_while_nothing_was_left_undone(open_session) -> None:
    with pytest.raises(CheckFailed):
        open_session(plan=True).expect_checks("x", [FAIL])


def test_what_a_restart_would_have_proved_is_skipped_when_there_was_none(open_session, displayed) -> None:
    run = open_session(power_cycle=False)
    run.power_cycle()
    run.expect("nobody lends it", found="dhcp", expected="static")
    assert displayed.texts[-1] == "– skip: nobody lends it (expected static, found dhcp; no node was restarted)"


def test_unreachable_nodes_are_failed_probes_and_not_an_error(open_session) -> None:
    pings = open_session().ping()
    assert len(pings.probes) == 4
    assert {check.verdict for check in pings.checks} == {Verdict.FAIL}
    assert all("does not answer" in check.found for check in pings.checks)


def test_nodes_that_are_down_are_drawn(open_session) -> None:
    assert repr(open_session().picture()).count("does not answer") == 2


@pytest.mark.parametrize("count", [0, 1])
def test_what_needs_two_containers_says_so(open_session, count: int) -> None:
    run = open_session(containers=[{"name": "alpine1"}][:count])
    calls = [run.ping, run.gateway_experiment, lambda: run.watch(run.steps.disconnect(), reachable=False)]
    for call in calls:
        with pytest.raises(InputError, match="container"):
            call()


def test_planned_files_of_a_node_that_is_none_name_those_there_are(open_session) -> None:
    with pytest.raises(InputError, match="node9") as told:
        open_session().planned_files("node9")
    assert told.value.remedy == "the nodes are node1, node2"


def test_finish_sums_up_and_publishes_the_verdict(open_session, displayed) -> None:
    run = open_session()
    run.expect("two nodes", found=len(run.nodes), expected=2)
    table = run.finish()
    assert table["what"].tolist() == ["two nodes"]
    (finish,) = [event for event in displayed.events if isinstance(event, FinishEvent)]
    assert (finish.notebook, finish.verdict) == ("05_ping_tests", "pass")
    assert "0 changed, 1 checks" in displayed.texts[-1]


def test_finish_tells_how_many_checks_warned(open_session, displayed) -> None:
    run = open_session()
    run.expect_checks("no loss", [Check("no loss", node, Verdict.WARN, found="2 %") for node in ("node1", "node2")])
    table = run.finish()
    assert table[["ok", "warnings"]].to_numpy().tolist() == [[0, 2]]
    assert "05_ping_tests: pass, 2 warnings, 0 changed, 2 checks" in displayed.texts[-1]


def test_a_finished_plan_is_called_planned(open_session, displayed) -> None:
    open_session(plan=True).finish()
    assert [event.verdict for event in displayed.events if isinstance(event, FinishEvent)] == ["planned"]
