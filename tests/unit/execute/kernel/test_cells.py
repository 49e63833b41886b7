from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from runbook_lib.execute.kernel.notebook_saver import (
    is_always,
    is_executed,
    is_parameters,
    join_streams,
    set_state,
    show_error,
    state_of,
    tell_errors_as_text,
)
from runbook_lib.model.record import CellState


def test_only_code_that_is_not_empty_and_not_skipped_is_executed() -> None:
    assert is_executed(new_code_cell("1"))
    assert not is_executed(new_code_cell(" \n"))
    assert not is_executed(new_code_cell("1", metadata={"tags": ["skip-execution"]}))
    assert not is_executed(new_markdown_cell("1"))


def test_tags_tell_what_a_cell_is_for() -> None:
    assert is_always(new_code_cell("1", metadata={"tags": ["always", "other"]}))
    assert not is_always(new_code_cell("1"))
    assert is_parameters(new_code_cell("1", metadata={"tags": ["injected-parameters"]}))
    assert is_parameters(new_code_cell("1", metadata={"tags": ["parameters"]}))
    assert not is_parameters(new_markdown_cell("1", metadata={"tags": ["parameters"]}))


def test_a_cell_of_which_nothing_is_said_has_never_run() -> None:
    cell = new_code_cell("1", metadata={"runbook": {"other": 1}})
    assert state_of(cell) is CellState.NEVER_RUN
    set_state(cell, CellState.TIMED_OUT, 1.23456)
    assert state_of(cell) is CellState.TIMED_OUT
    assert cell.metadata["runbook"] == {"other": 1, "state": "timed out", "seconds": 1.235}


def test_the_runners_error_comes_before_what_the_cell_made_of_it() -> None:
    own = new_output("error", ename="KeyboardInterrupt", evalue="", traceback=["..."])
    cell = new_code_cell("1", outputs=[new_output("stream", text="said"), own])
    show_error(cell, "InterruptedRun", "interrupted by SIGTERM")
    assert [output.get("ename") for output in cell.outputs] == [None, "InterruptedRun", "KeyboardInterrupt"]
    assert cell.outputs[1].traceback == ["InterruptedRun: interrupted by SIGTERM"]


def test_errors_that_ended_nothing_are_text() -> None:
    cell = new_code_cell("1", outputs=[new_output("error", ename="E", evalue="why", traceback=["line", "E: why"])])
    tell_errors_as_text(cell)
    assert [(output.output_type, output.text) for output in cell.outputs] == [("stream", "line\nE: why\n")]


def test_streams_are_joined_as_a_terminal_would_show_them() -> None:
    shown = new_output("display_data", data={"text/plain": "shown"})
    streams = [
        ("stderr", "warn\n"),
        ("stdout", "10 %\r"),
        ("stdout", "20 %\r"),
        ("stdout", "done\r\n"),
        ("stderr", "!"),
    ]
    cell = new_code_cell("1", outputs=[*(new_output("stream", name=name, text=text) for name, text in streams), shown])
    join_streams(cell)
    assert [(output.get("name"), output.get("text")) for output in cell.outputs] == [
        ("stdout", "done\r\n"),
        ("stderr", "warn\n!"),
        (None, None),
    ]
