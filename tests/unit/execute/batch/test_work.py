"""A job's own side: what it tells, and what it makes of orders and of being left alone."""

from __future__ import annotations

import signal
import time
from multiprocessing import Pipe

import pytest
from rich.text import Text

from runbook_lib.execute.batch.jobs import Cancel, Progress
from runbook_lib.execute.batch.work import RelayReporter, _listening_for_cancel, work
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.outcome import NotebookResult
from runbook_lib.model.events import StepEvent
from runbook_lib.model.results import Status
from tests.unit.execute.batch.samples import job
from tests.waiting import wait_until


def received(connection: object) -> list[Progress]:
    told = []
    while connection.poll(0.1):  # type: ignore[attr-defined]
        told.append(connection.recv())  # type: ignore[attr-defined]
    return told


def test_what_a_run_tells_is_sent_with_the_place_where_it_is() -> None:
    ours, theirs = Pipe()
    reporter = RelayReporter(7, theirs)
    reporter.notebook_started("01_first")
    reporter.cell_started("01_first", 2, 9, "import os\nsession.step()\n")
    reporter.activity("stop node1\nboot node1 after 2 s")
    reporter.step("01_first", StepEvent(step="s", node="node1", status=Status.FAILED, seconds=0.1, detail="no route"))
    reporter.notebook_ended(NotebookResult("01_first", "pass"))
    started, cell, activity, step, ended = received(ours)
    assert (started.notebook, started.step) == ("01_first", "waiting for the kernel")
    assert cell == Progress(7, "01_first", "2/9  session.step()")
    assert activity == Progress(7, "01_first", "2/9  boot node1 after 2 s")
    assert step.notable
    assert step.line.endswith("no route")
    assert (ended.step, ended.notable) == ("", True)


def test_a_secret_leaves_no_job() -> None:
    ours, theirs = Pipe()
    reporter = RelayReporter(0, theirs)
    reporter.redactor.add("token", "correct horse")
    reporter.cell_started("01_first", 1, 1, "login('correct horse')")
    reporter.line(Text("said: correct horse"))
    assert [(one.step, one.line) for one in received(ours)] == [
        ("1/1  login('[REDACTED:token]')", ""),
        ("1/1  login('[REDACTED:token]')", "said: [REDACTED:token]"),
    ]


def test_an_order_arrives_as_the_signal_that_it_names() -> None:
    ours, theirs = Pipe()
    with Interruption().installed() as interruption, _listening_for_cancel(theirs):
        ours.send(Cancel(signal.SIGHUP))
        assert wait_until(lambda: interruption.received) is signal.SIGHUP


def test_two_orders_in_quick_succession_are_two_and_no_echo() -> None:
    ours, theirs = Pipe()
    notes: list[str] = []
    with Interruption(notify=notes.append).installed(), _listening_for_cancel(theirs):
        ours.send(Cancel(signal.SIGINT))
        ours.send(Cancel(signal.SIGINT))
        wait_until(lambda: len(notes) == 2, lambda: notes)
    assert notes[1].startswith("second signal")


def test_a_job_that_nobody_waits_for_any_more_is_interrupted() -> None:
    ours, theirs = Pipe()
    with Interruption().installed() as interruption, _listening_for_cancel(theirs):
        ours.close()
        assert wait_until(lambda: interruption.received) is signal.SIGTERM


def test_an_order_that_comes_too_late_harms_nobody() -> None:
    ours, theirs = Pipe()
    with Interruption().installed() as interruption:
        with _listening_for_cancel(theirs):
            pass
        ours.send(Cancel(signal.SIGINT))
        time.sleep(0.1)
        assert interruption.received is None


def test_a_parameter_file_that_vanished_is_the_clusters_own_failure() -> None:
    _, theirs = Pipe()
    result = work(job(3), theirs)
    assert (result.verdict, result.exit_code) == ("bad input", 2)
    assert "there is no such file" in str(result.failure)
    assert [notebook.verdict for notebook in result.notebooks] == ["not run", "not run"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    _, theirs = Pipe()
    work(job(0), theirs)
    assert signal.getsignal(number) is before
