"""What a batch shows while it goes on."""

from __future__ import annotations

import io
import re
import time

from rich.console import Console

from runbook_lib.execute.batch.display import LineDisplay, LiveDisplay, display_for
from runbook_lib.execute.batch.jobs import Progress
from tests.unit.execute.batch.samples import check_failed, job, passed

JOBS = [job(0, "one"), job(1, "seven"), job(2, "ten")]


def shown_by(display: LiveDisplay, console: Console) -> list[str]:
    """The rows of the live table as they are now."""
    with console.capture() as capture:
        console.print(display._render())
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", capture.get()).splitlines() if line.strip()]


def console(width: int = 100, height: int = 30, file: io.StringIO | None = None) -> Console:
    return Console(file=file or io.StringIO(), force_terminal=True, width=width, height=height)


def test_a_pipe_gets_plain_lines_each_begun_by_its_cluster() -> None:
    output = io.StringIO()
    display = display_for(JOBS, output)
    assert type(display) is LineDisplay
    display.started(JOBS[0])
    display.progressed(Progress(1, "01_first", "2/9  run.step()", "01_first  started"))
    display.progressed(Progress(1, "01_first", "2/9  run.step()"))
    display.ended(check_failed(2))
    assert output.getvalue().splitlines() == [
        "one    started: 2 notebooks, one.yaml",
        "seven  01_first  started",
        "ten    ended: failed in 01_first (no leader), 1.5 s",
    ]


def test_a_terminal_sees_where_each_cluster_is() -> None:
    output = io.StringIO()
    terminal = console(file=output)
    display = LiveDisplay(JOBS, terminal)
    display.started(JOBS[0])
    display.progressed(Progress(0, "01_first", "2/9  run.step()", "a line"))
    display.ended(check_failed(1))
    assert [line.split() for line in shown_by(display, terminal)] == [
        ["cluster", "notebook", "step", "state", "seconds"],
        ["one", "01_first", "2/9", "run.step()", "running", "0"],
        ["seven", "failed", "2"],
        ["ten", "waiting"],
        ["1", "running", "1", "failed", "1", "waiting"],
    ]
    assert "a line" not in output.getvalue()


def test_what_is_notable_becomes_a_line_above_the_table() -> None:
    output = io.StringIO()
    display = LiveDisplay(JOBS, Console(file=output, force_terminal=True, width=100))
    display.progressed(Progress(0, "01_first", "", "01_first  ended  pass", notable=True))
    assert "01_first  ended  pass" in output.getvalue()


def test_a_row_never_wraps_and_its_state_stays_in_sight() -> None:
    terminal = console(width=80)
    display = LiveDisplay(JOBS, terminal)
    display.started(JOBS[0])
    display.progressed(Progress(0, "03_create_overlay", f"2/9  {'x' * 200}"))
    lines = shown_by(display, terminal)
    assert len(lines) == 5
    assert "running" in lines[1]
    assert all(len(line) <= 80 for line in lines)


def test_with_more_clusters_than_lines_those_that_run_or_failed_are_seen() -> None:
    jobs = [job(number) for number in range(40)]
    terminal = console(height=12)
    display = LiveDisplay(jobs, terminal)
    for number in range(20):
        display.ended(passed(number))
    display.ended(check_failed(20))
    display.started(jobs[39])
    lines = shown_by(display, terminal)
    assert len(lines) <= 12
    assert [line.split()[0] for line in lines[1:3]] == ["cluster39", "cluster20"]
    assert lines[-1].split() == ["20", "pass", "1", "failed", "18", "waiting", "1", "running"]


def test_a_late_word_of_a_cluster_that_has_ended_does_not_revive_its_row() -> None:
    terminal = console()
    display = LiveDisplay(JOBS, terminal)
    display.started(JOBS[0])
    display.ended(passed(0))
    display.progressed(Progress(0, "01_first", "2/9  run.step()"))
    assert "run.step()" not in shown_by(display, terminal)[1]


def test_text_from_a_notebook_cannot_steer_the_terminal() -> None:
    output = io.StringIO()
    terminal = console(file=output)
    display = LiveDisplay(JOBS, terminal)
    display.started(JOBS[0])
    display.progressed(Progress(0, "01", "\x1b[2J[red]wipe[/red]\x07", "\x1b[2Jline\x07", notable=True))
    with terminal.capture() as capture:
        terminal.print(display._render())
    assert "\x1b[2J" not in capture.get() + output.getvalue()
    assert "[red]wipe[/red]" in capture.get()


def test_an_output_that_is_gone_ends_no_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for display in (LineDisplay(JOBS, Gone()), LiveDisplay(JOBS, Console(file=Gone(), force_terminal=True))):
        with display.running():
            display.started(JOBS[0])
            display.ended(passed(0))
            time.sleep(0.01)
