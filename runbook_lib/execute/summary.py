"""The table at the end of a run."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table
from rich.text import Text

from runbook_lib.execute.outcome import NOT_RUN, PASSED_BEFORE, STILL_HOLDS, Failure, NotebookResult
from runbook_lib.execute.reporting import Reporter

PAGE = "notebook.html"

COLUMNS = ("notebook", "verdict", "steps", "changed", "seconds", "record")


def summarize(results: Sequence[NotebookResult]) -> pd.DataFrame:
    """One row a notebook of a run, in its order.

    Columns:
        notebook: its name.
        verdict: pass (``pass, 3 warnings`` if checks warned), planned, failed, bad input, error, interrupted, timeout,
            kernel died, locked, not run, or (of one that an earlier run passed) still holds or passed before.
        steps: result rows, one for each step on each node.
        changed: those of them that changed the node.
        seconds: from before its kernel to after its record.
        record: the ID of its record, empty if there is none.
    """
    rows = [
        (
            result.notebook,
            result.told,
            result.steps,
            result.changed,
            round(result.seconds, 1),
            result.record_id,
        )
        for result in results
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def as_text(summary: pd.DataFrame) -> str:
    """The summary as plain lines that fit 100 columns."""
    shown = summary.copy()
    for column in ("notebook", "verdict", "record"):
        width = max(len(text) for text in [column, *shown[column]])
        shown[column] = shown[column].str.ljust(width)
        shown = shown.rename(columns={column: column.ljust(width)})
    return str(shown.to_string(index=False))


def as_table(summary: pd.DataFrame) -> Table:
    """The summary for a terminal, at most 100 columns wide."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("steps", "changed", "seconds") else "left", no_wrap=True)
    for row in summary.astype(str).to_dict("records"):
        style = {"pass": "green", STILL_HOLDS: "green", PASSED_BEFORE: "green", "planned": "cyan", NOT_RUN: "dim"}.get(
            row["verdict"].split(",")[0], "bold red"
        )
        style = "yellow" if style == "green" and "warning" in row["verdict"] else style
        table.add_row(*(Text(row[column], style=style if column == "verdict" else "") for column in COLUMNS))
    return table


def shown_path(path: Path) -> str:
    """A path as one would type it here: relative if it lies below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def conclude(results: Sequence[NotebookResult], archive: str, reporter: Reporter, option: str = "") -> None:
    """Print what failed and why, the summary, and where the records are; ``option`` names them to another command."""
    for result in results:
        if result.failure is not None:
            _tell_failure(result, result.failure, reporter)
    summary = summarize(results)
    reporter.line(Text())
    reporter.either(Text(as_text(summary)), as_table(summary))
    place = archive if "://" in archive else f"{shown_path(Path(archive))}{os.sep}"
    reporter.line(Text(f"\nrecords: {place}"))
    if any(result.record_id for result in results):
        reporter.line(Text(f"  read one: ./runbook records show ID{option}"))


def _tell_failure(result: NotebookResult, failure: Failure, reporter: Reporter) -> None:
    where = f" in cell {failure.cell}" if failure.cell else ""
    reporter.line(Text(f"\n{result.notebook}: {result.verdict}{where} ({failure.name})", style="bold red"))
    reporter.line(Text(textwrap.indent(str(failure), "  ")))
    if result.record is not None:
        reporter.line(Text(f"  record: {shown_path(result.record / PAGE)}"))
