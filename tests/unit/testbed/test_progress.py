from __future__ import annotations

import io

import pytest
from rich.console import Console

from runbook_lib.testbed.console import ConsoleReport
from runbook_lib.testbed.progress import Progress, step


def test_a_step_is_told_at_its_begin_and_its_end() -> None:
    events: list[Progress] = []
    with step(events.append, "boot", "node1") as now:
        now.detail = "10.0.0.1"
    assert [(event.state, event.detail) for event in events] == [("started", ""), ("done", "10.0.0.1")]


def test_a_step_has_failed_unless_it_reaches_its_end() -> None:
    events: list[Progress] = []
    with pytest.raises(RuntimeError), step(events.append, "boot"):
        raise RuntimeError
    assert events[-1].state == "failed"


def test_a_log_gets_one_plain_line_a_step() -> None:
    output = io.StringIO()
    with ConsoleReport(Console(file=output, width=200)) as report, step(report, "boot", "node1") as now:
        now.detail = "10.0.0.1"
    assert output.getvalue().endswith("boot  node1  10.0.0.1  0.0 s\n")
    assert output.getvalue().count("\n") == 1
    assert "\x1b" not in output.getvalue()
