"""What a run says while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from runbook_lib.execute.outcome import NotebookResult
from runbook_lib.execute.run.reporting import (
    Reporter,
    TerminalReporter,
    first_statement,
    printable,
    reporter_for,
    shown_archive,
    shown_path,
)
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.results import Status, Verdict
from tests.waiting import wait_until

CREATED = StepEvent(step="create network ovr0", node="node1", status=Status.CHANGED, seconds=0.4)


def told(reporter_says: str) -> list[list[str]]:
    return [[part for part in line.split("  ") if part] for line in reporter_says.splitlines()]


def test_a_step_is_a_line_with_notebook_step_node_status_and_seconds() -> None:
    output = io.StringIO()
    Reporter(output).step("03_create_overlay", CREATED)
    assert [part.strip() for part in told(output.getvalue())[0]] == [
        "03_create_overlay",
        "create network ovr0",
        "node1",
        "changed",
        "0.4 s",
    ]


def test_a_line_fits_a_terminal_of_100_columns() -> None:
    output = io.StringIO()
    Reporter(output).step("03_create_overlay", CREATED)
    assert len(output.getvalue().rstrip()) <= 100


def test_a_step_that_failed_says_why() -> None:
    output = io.StringIO()
    failed = CREATED.model_copy(update={"status": Status.UNREACHABLE, "detail": "no route\nto host"})
    Reporter(output).step("03_create_overlay", failed)
    assert output.getvalue().rstrip().endswith("no route to host")


def test_many_checks_of_one_claim_are_one_line() -> None:
    checks = [CheckEvent(check="every pair answers", node=f"node{n}", verdict=Verdict.PASS) for n in range(992)]
    checks.append(
        CheckEvent(check="every pair answers", node="node9", verdict=Verdict.FAIL, expected="yes", found="no")
    )
    output = io.StringIO()
    Reporter(output).checks("05_ping_tests", checks)
    passed, failed = output.getvalue().splitlines()
    assert "992 times" in passed
    assert failed.endswith("node9: expected yes, found no")


def test_a_notebook_that_passed_with_warnings_says_so_at_its_end() -> None:
    output = io.StringIO()
    Reporter(output).notebook_ended(NotebookResult("05_ping_tests", "pass", seconds=2.0, warnings=3))
    assert [part.strip() for part in told(output.getvalue())[0]] == [
        "05_ping_tests",
        "ended",
        "pass, 3 warnings",
        "2.0 s",
    ]


def test_text_from_a_notebook_cannot_steer_the_terminal() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    step = CREATED.model_copy(update={"step": "\x1b[2J[red]wipe[/red]\r\n"})
    TerminalReporter(console).step("03", step)
    assert "\x1b[2J" not in output.getvalue()
    assert "[red]wipe[/red]" in output.getvalue()


def test_an_output_that_is_gone_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for reporter in (Reporter(Gone()), TerminalReporter(Console(file=Gone(), force_terminal=True))):
        reporter.line(Text("one"))
        reporter.notebook_ended(NotebookResult("03_create_overlay", "pass"))


def test_a_terminal_sees_life_while_a_cell_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb one is shown nothing that moves
    output, now = io.StringIO(), 5000.0
    reporter = TerminalReporter(Console(file=output, force_terminal=True, width=100), clock=lambda: now)
    with reporter.running():
        reporter.notebook_started("01_fix_node_ips")
        reporter.cell_started("01_fix_node_ips", 3, 9, f"# say it\nimport os\nsession.power_cycle({'x' * 99})")
        wait_until(lambda: "session.power_cycle(" in output.getvalue())
        reporter.activity(f"power cycle …\n  node1: booting after 2.0 s {'x' * 99}")
        now += 61
        before = len(output.getvalue())
        wait_until(lambda: "61 s" in output.getvalue()[before:], "the seconds go on by themselves")
        line = "cell 3/9  power cycle …  node1: booting after 2.0 s"
        wait_until(lambda: line in output.getvalue()[before:].replace("\x1b[2m", ""), output.getvalue)
        after = output.getvalue()[before:]
    assert "\n" not in after


def test_an_output_without_unicode_gets_what_it_can_take() -> None:
    taken = io.BytesIO()
    output = io.TextIOWrapper(taken, encoding="ascii")
    Reporter(output).line(Text("node1: ✓ fine"))
    assert taken.getvalue() == b"node1: ? fine\n"


def test_a_pipe_gets_plain_lines() -> None:
    assert type(reporter_for(io.StringIO())) is Reporter


def test_nothing_that_steers_a_terminal_is_printed_except_what_is_kept() -> None:
    assert printable("a\x1b[31m\nü\tb") == "a [31m ü b"
    assert printable("a\x1b[31m\nü\tb", keep="\n") == "a [31m\nü b"


def test_a_place_is_shown_as_one_would_type_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "records" / "one") == "records/one"
    assert shown_path(Path("/etc/hosts")) == "/etc/hosts"
    assert shown_archive(str(tmp_path / "records")) == "records/"
    assert shown_archive("sftp://host/records") == "sftp://host/records"


def test_a_cell_is_told_by_its_first_line_that_is_neither_comment_nor_import() -> None:
    assert first_statement("# what\nimport os\nfrom os import path\n\n  run.apply()\nmore()") == "run.apply()"
    assert first_statement("# nothing\n") == ""
