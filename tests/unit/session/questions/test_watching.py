from __future__ import annotations

from dataclasses import replace

from runbook_lib.model.results import Status, StepResult, Verdict
from runbook_lib.session.questions.watching import Watched
from runbook_lib.verify.convergence import Convergence, Sample

ROWS = (StepResult("connect alpine1 to ovr0", "node3", Status.CHANGED, seconds=0.9),)
LINE = Convergence(
    source="alpine2",
    target="alpine1",
    event="connect alpine1 to ovr0",
    reachable=True,
    resolves_after=0.2,
    answers_after=1.34,
    interval=0.1,
    samples=(
        Sample("alpine2", "alpine1", -0.1, "", False),
        Sample("alpine2", "alpine1", 0.2, "10.0.0.2", False),
        Sample("alpine2", "alpine1", 1.34, "10.0.0.2", True, 0.4),
    ),
)
CONNECTED = Watched(ROWS, LINE, True, 60.0)


def test_a_peer_that_notices_in_time_passes_with_the_seconds_it_took() -> None:
    assert [(check.check, check.verdict, check.expected, check.found) for check in CONNECTED.checks] == [
        ("alpine2 resolves alpine1 after connect alpine1 to ovr0", Verdict.PASS, "within 60 s", "after 0.2 s"),
        ("alpine2 reaches alpine1 after connect alpine1 to ovr0", Verdict.PASS, "within 60 s", "after 1.3 s"),
    ]
    assert list(CONNECTED.table["time (s)"]) == [0.2, 1.34]
    assert list(CONNECTED.table["at most (s)"]) == [60.0, 60.0]


def test_a_peer_that_never_notices_fails() -> None:
    checks = replace(CONNECTED, timeline=replace(LINE, answers_after=None)).checks
    assert [check.verdict for check in checks] == [Verdict.PASS, Verdict.FAIL]
    assert checks[1].found == "not within the time"


def test_leaving_is_watched_for_the_opposite() -> None:
    line = replace(LINE, event="disconnect", reachable=False)
    claims = [check.check for check in Watched(ROWS, line, False, 60.0).checks]
    assert claims == [
        "alpine2 no longer resolves alpine1 after disconnect",
        "alpine2 no longer reaches alpine1 after disconnect",
    ]


def test_the_picture_says_in_words_when_the_peer_noticed() -> None:
    assert "1.3 s" in repr(CONNECTED.picture())


def test_in_plan_mode_there_is_no_time_line_and_nothing_is_claimed() -> None:
    planned = Watched((replace(ROWS[0], status=Status.PLANNED),), None, True, 60.0)
    assert [check.verdict for check in planned.checks] == [Verdict.SKIP]
    assert planned.table.empty
    assert list(planned.table.columns) == list(CONNECTED.table.columns)
    assert list(planned.steps["status"]) == ["planned"]
    assert "plan mode" in str(planned.picture())


def test_what_the_peer_saw_is_told_in_phases() -> None:
    found = CONNECTED.phases.to_dict("records")
    assert [row["name resolves to"] for row in found] == ["", "10.0.0.2", "10.0.0.2"]
    assert [row["answered"] for row in found] == [False, False, True]
    assert [row["looks"] for row in found] == [1, 1, 1]
    assert replace(CONNECTED, timeline=None).phases.empty
