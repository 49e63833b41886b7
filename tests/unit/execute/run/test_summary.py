"""The table at the end of a run."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from runbook_lib.errors import ExitCode
from runbook_lib.execute.outcome import Failure, NotebookResult
from runbook_lib.execute.run.reporting import COLUMNS, Reporter, as_table, as_text, conclude, summarize

LONGEST = "07_look_inside_the_overlay"
RECORD = Path("records") / f"20260102T030405Z_testbed_{LONGEST}_0123456789"
FAILURE = Failure("CheckFailed", "node1: no leader\n  remedy: wait", ExitCode.CHECK_FAILED, "In [7]")
RESULTS = [
    NotebookResult("00_meet_the_cluster", "pass", ExitCode.PASS, 0, 0, 2.345, Path("records/00"), "00aabbccdd"),
    NotebookResult(LONGEST, "kernel died", ExitCode.KERNEL_DIED, 120, 99, 12345.678, RECORD, "0123456789", FAILURE),
    NotebookResult("06_disconnect_connect"),
]


def test_every_notebook_is_a_row_of_the_documented_columns() -> None:
    summary = summarize(RESULTS)
    assert tuple(summary.columns) == COLUMNS == ("notebook", "verdict", "steps", "changed", "seconds", "record")
    assert summary["verdict"].tolist() == ["pass", "kernel died", "not run"]
    assert summary.loc[1, "record"] == "0123456789"
    assert summary.loc[0, "seconds"] == 2.3
    assert summary.loc[2, "record"] == ""


def test_warnings_stand_beside_the_verdict() -> None:
    results = [replace(RESULTS[0], warnings=3), replace(RESULTS[0], warnings=1), replace(RESULTS[1], warnings=2)]
    assert summarize(results)["verdict"].tolist() == ["pass, 3 warnings", "pass, 1 warning", "kernel died, 2 warnings"]
    output = io.StringIO()
    conclude(results, "records", Reporter(output))
    assert "pass, 3 warnings" in output.getvalue()


def test_all_columns_are_visible_on_100_columns() -> None:
    summary = summarize(RESULTS)
    output = io.StringIO()
    Console(file=output, width=100).print(as_table(summary))
    for text in (as_text(summary), output.getvalue()):
        assert all(len(line.rstrip()) <= 100 for line in text.splitlines())
        assert all(column in text for column in COLUMNS)
        assert "0123456789" in text
        assert "…" not in text


def test_a_failure_is_told_with_verdict_cell_message_and_record() -> None:
    output = io.StringIO()
    conclude(RESULTS, "records", Reporter(output))
    text = output.getvalue()
    assert f"{LONGEST}: kernel died in cell In [7] (CheckFailed)" in text
    assert "  node1: no leader\n    remedy: wait" in text
    assert f"record: {RECORD}/notebook.html" in text
    assert text.rstrip().endswith("records: records/\n  read one: ./runbook records show ID")
