"""The table at the end of a batch, and above it why clusters failed."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runbook_lib.execute.batch.display import shown_path
from runbook_lib.execute.batch.jobs import JobResult
from runbook_lib.execute.outcome import NOT_RUN, Failure
from runbook_lib.execute.reporting import SteadyOutput

_LOG_WIDTH = 120
_STYLES = {"pass": "green", "planned": "cyan", NOT_RUN: "dim"}
_NUMBERS = ("passed", "changed", "seconds")
COLUMNS = ("cluster", "verdict", "passed", "changed", "seconds", "stopped at", "run")


def summary_table(results: Sequence[JobResult]) -> Table:
    """One row a cluster, in the order given.

    Columns:
        cluster: its name in the batch.
        verdict: pass (``pass, 3 warnings`` if checks warned), planned, failed, bad input, error, interrupted, timeout,
            kernel died, locked or not run.
        passed: notebooks that passed, of all that were asked for.
        changed: result rows that changed a node.
        seconds: from its beginning to its end.
        stopped at: the notebook that did not pass, empty if all did or none was run.
        run: the ID of its run, as ``records list`` shows it; empty if it did not begin.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=True)
    for result in results:
        stopped = result.stopped_at
        table.add_row(
            Text(result.job.cluster),
            Text(result.told, style=_STYLES.get(result.verdict, "bold red")),
            f"{result.passed}/{len(result.job.notebooks)}",
            str(result.changed),
            f"{result.seconds:.1f}",
            Text(stopped.notebook if stopped else ""),
            Text(result.run),
        )
    return table


def conclude(results: Sequence[JobResult], archive: str, output: TextIO) -> None:
    """Print what failed and why, the summary, and where the records are."""
    console = Console(file=output, highlight=False)
    console.file = SteadyOutput(console.file)  # type: ignore[arg-type, assignment]  # typeshed: IO[str] is no TextIO
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    for result in results:
        stopped = result.stopped_at
        failure = result.failure or (stopped.failure if stopped else None)
        if failure is not None:
            _tell_failure(result, failure, console)
    console.print()
    console.print(summary_table(results))
    place = archive if "://" in archive else f"{shown_path(Path(archive))}{os.sep}"
    console.print(Text(f"\nrecords: {place}"), soft_wrap=True)


def _tell_failure(result: JobResult, failure: Failure, console: Console) -> None:
    stopped = result.stopped_at
    where = f" in {stopped.notebook}" if stopped else ""
    where += f", cell {failure.cell}" if failure.cell else ""
    heading = f"\n{result.job.cluster}: {result.verdict}{where} ({failure.name})"
    console.print(Text(heading, style="bold red"), soft_wrap=True)
    console.print(Text(textwrap.indent(_clean(str(failure)), "  ")), soft_wrap=True)
    if stopped is not None and stopped.record is not None:
        console.print(Text(f"  record: {shown_path(stopped.record)}"), soft_wrap=True)


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
