from __future__ import annotations

from runbook_lib.model.results import Check, Status, StepResult, Verdict
from runbook_lib.session.views.tables import SUMMARY, summary


def test_steps_are_counted_by_status_and_checks_by_verdict() -> None:
    rows = [
        StepResult("run containers", "node1", Status.OK, seconds=0.2),
        StepResult("run containers", "node2", Status.CHANGED, seconds=1.26),
        StepResult("reboot", "node1", Status.SKIPPED),
    ]
    checks = [Check("ports", "node1", verdict) for verdict in (Verdict.PASS, Verdict.WARN, Verdict.SKIP)]
    table = summary(rows, checks)
    assert list(table.columns) == list(SUMMARY.dtypes)
    assert table["what"].tolist() == ["run containers", "reboot", "ports"]
    assert table["kind"].tolist() == ["step", "step", "check"]
    assert table[["ok", "warnings", "changed", "planned", "skipped"]].to_numpy().tolist() == [
        [1, 0, 1, 0, 0],
        [0, 0, 0, 0, 1],
        [1, 1, 0, 0, 1],
    ]
    assert table["time (s)"].tolist()[0] == 1.3


def test_a_notebook_that_did_nothing_has_an_empty_summary() -> None:
    assert summary([], []).empty
