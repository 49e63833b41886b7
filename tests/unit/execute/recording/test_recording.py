"""What the engine tells of an execution becomes the record that stays."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from runbook_lib.errors import ExitCode
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.recording.recording import Recording, RunFacts
from runbook_lib.journal import Call, Metric, NodeFacts, Table, encode
from runbook_lib.model.events import CheckEvent, FinishEvent, StartEvent, StepEvent, payload
from runbook_lib.model.record import CellState, RecordVerdict
from runbook_lib.model.results import Status, Verdict
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.reading import read_record
from runbook_lib.redact import Redactor

MIME = "application/vnd.overlay-runbook.event+json"
START = StartEvent(notebook="05_ping_tests", cluster="testbed", plan=False)
FINISH = FinishEvent(notebook="05_ping_tests", verdict="pass", seconds=1.0)
SECRET = "correct horse battery"


def ran(source: str, state: CellState, *outputs: Any, count: int | None = 1) -> Any:
    status = {CellState.COMPLETED: "completed", CellState.NEVER_RUN: "pending"}.get(state, "failed")
    metadata = {"papermill": {"status": status, "duration": 0.5}, "runbook": {"state": state.value}}
    return new_code_cell(source, metadata=metadata, outputs=list(outputs), execution_count=count)


def notebook(*cells: Any) -> Any:
    return new_notebook(cells=[new_markdown_cell("# Title"), *cells], metadata={"papermill": {}})


@pytest.fixture
def facts(tmp_path: Path) -> RunFacts:
    return RunFacts(
        archive=open_archive(tmp_path / "records"),
        run="0011223344",
        cluster="testbed",
        notebooks=("05_ping_tests",),
        parameters={"name": "testbed", "note": SECRET},
        redactor=Redactor({"token": SECRET}),
    )


def begin(facts: RunFacts) -> Recording:
    return Recording.begin("05_ping_tests", "the source", facts)


def tell(recording: Recording, *events: Any) -> None:
    recording.displayed({MIME: payload(events)})


def test_a_record_holds_what_happened_and_where_it_comes_from(facts: RunFacts, tmp_path: Path) -> None:
    recording = begin(facts)
    assert read_record(recording.folder).verdict is RecordVerdict.RUNNING
    pipe = tmp_path / "journal"
    os.mkfifo(pipe)
    recording.listen(pipe)
    entries = [
        Call("2026-05-01T12:00:00.000Z", "node1", "ssh", ("login", SECRET), 0.1, 0),
        Table("pings", f"source,note\na,{SECRET}\n"),
        NodeFacts("node1", "192.168.99.104", "20.10.24", "ABCD"),
        Metric("ping latency", 0.2, "ms"),
    ]
    pipe.write_text("".join(f"{encode(entry)}\n" for entry in entries))
    step = StepEvent(step="create network", node="node1", status=Status.CHANGED, before="absent", after="there")
    check = CheckEvent(check="all answer", verdict=Verdict.PASS, expected="yes", found="yes")
    tell(recording, START, step, check)
    tell(recording, FINISH)
    result = recording.finish(notebook(ran(f"print('{SECRET}')", CellState.COMPLETED)))

    assert (result.verdict, result.exit_code, result.steps, result.changed) == ("pass", ExitCode.PASS, 1, 1)
    record = read_record(recording.folder)
    assert (record.id, record.run, record.notebooks) == (result.record_id, "0011223344", ("05_ping_tests",))
    assert (record.steps, record.checks) == ((step,), (check,))
    assert [(metric.name, metric.value, metric.unit) for metric in record.metrics] == [("ping latency", 0.2, "ms")]
    assert [(cell.index, cell.state, cell.seconds) for cell in record.cells] == [(1, CellState.COMPLETED, 0.5)]
    origin = record.provenance
    assert [(node.node, node.engine, node.engine_id) for node in origin.nodes] == [("node1", "20.10.24", "ABCD")]
    assert len(origin.notebook_sha256) == 64
    assert origin.packages["papermill"]
    assert origin.operator
    assert origin.host
    assert {"notebook.ipynb", "notebook.html", "log.jsonl", "tables/pings.csv"} <= set(record.files)


def test_no_secret_reaches_any_file(facts: RunFacts, tmp_path: Path) -> None:
    test_a_record_holds_what_happened_and_where_it_comes_from(facts, tmp_path)
    files = [path for path in (tmp_path / "records").rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    log = next(path for path in files if path.name == "log.jsonl")
    assert json.loads(log.read_text())["argv"] == ["login", "[REDACTED:token]"]


@pytest.mark.parametrize(
    ("state", "error", "verdict"),
    [
        (CellState.FAILED, "CheckFailed", RecordVerdict.FAILED),
        (CellState.FAILED, "ZeroDivisionError", RecordVerdict.ERROR),
        (CellState.TIMED_OUT, "CellTimeoutError", RecordVerdict.TIMEOUT),
        (CellState.FAILED, "DeadKernelError", RecordVerdict.KERNEL_DIED),
        (CellState.INTERRUPTED, "KeyboardInterrupt", RecordVerdict.INTERRUPTED),
    ],
)
def test_the_verdict_is_that_of_the_first_bad_cell(
    facts: RunFacts, state: CellState, error: str, verdict: RecordVerdict
) -> None:
    recording = begin(facts)
    tell(recording, START)
    output = new_output("error", ename=error, evalue="what was wrong", traceback=["trace", "last"])
    result = recording.finish(notebook(ran("x", state, output), ran("y", CellState.NEVER_RUN, count=None)))
    record = read_record(recording.folder)
    assert record.verdict is verdict
    assert record.exit_code == result.exit_code != 0
    assert record.failure is not None
    assert (record.failure.name, record.failure.cell) == (error, "In [1]")
    assert [cell.state for cell in record.cells] == [state, CellState.NEVER_RUN]


def test_a_session_that_was_not_closed_is_no_pass(facts: RunFacts) -> None:
    recording = begin(facts)
    tell(recording, START)
    result = recording.finish(notebook(ran("1", CellState.COMPLETED)))
    assert result.exit_code is ExitCode.ERROR
    assert "run.finish()" in (result.failure.message if result.failure else "")


def test_a_notebook_of_another_kind_passes_without_any_event(facts: RunFacts) -> None:
    assert begin(facts).finish(notebook(ran("1", CellState.COMPLETED))).verdict == "pass"


def test_a_signal_makes_it_interrupted(facts: RunFacts) -> None:
    interruption = Interruption()
    interruption.received = signal.SIGTERM
    output = new_output("error", ename="ValueError", evalue="what the cell made of it", traceback=[])
    result = begin(facts).finish(notebook(ran("x", CellState.INTERRUPTED, output)), None, interruption)
    assert (result.exit_code, result.verdict) == (ExitCode.INTERRUPTED, "interrupted")


def test_what_is_abandoned_reads_interrupted(facts: RunFacts) -> None:
    recording = begin(facts)
    closed: list[str] = []
    recording.at_end.callback(closed.append, "closed")
    recording.abandon()
    assert read_record(recording.folder).verdict is RecordVerdict.INTERRUPTED
    assert closed == ["closed"]


def test_the_saved_notebook_is_a_valid_one_at_every_moment(facts: RunFacts) -> None:
    recording = begin(facts)
    recording.save(notebook(ran("1", CellState.COMPLETED)))
    saved = nbformat.read(recording.folder / "notebook.ipynb", as_version=4)
    assert saved.cells[1].metadata.runbook.state == "completed"
    recording.abandon()


def test_a_page_that_cannot_be_made_never_costs_the_record(facts: RunFacts) -> None:
    recording = begin(facts)
    tell(recording, START, FINISH)
    executed = notebook(ran("1", CellState.COMPLETED))
    executed.metadata["authors"] = "Ada"  # no page can be made of a notebook whose form is wrong
    result = recording.finish(executed)
    assert (result.verdict, result.exit_code) == ("pass", ExitCode.PASS)
    assert read_record(recording.folder).verdict is RecordVerdict.PASS
    assert (recording.folder / "seal.json").is_file()
    page = (recording.folder / "notebook.html").read_text()
    assert "The notebook cannot be shown as a page" in page
    assert "&#x27;Ada&#x27; is not of type" in page or "&#39;Ada&#39; is not of type" in page
    assert "</span> pass</p>" in page
