"""A batch's progress, as plain lines for a log or a live table on a terminal, and its summary at the end."""

from __future__ import annotations

import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runbook_lib.execute.batch.jobs import Job, JobResult, Progress
from runbook_lib.execute.outcome import NOT_RUN, Failure
from runbook_lib.execute.run.reporting import SteadyOutput, printable, shown_archive, shown_path
from runbook_lib.model.results import with_warnings

_WAITING, _RUNNING = "waiting", "running"
_STYLES = {_WAITING: "dim", NOT_RUN: "dim", _RUNNING: "", "pass": "green", "planned": "cyan"}
_COLUMNS = ("cluster", "notebook", "step", "state", "seconds")
_STEP = _COLUMNS.index("step")
_GAP = 2
_LONGEST_REASON = 80
# Terminal rows reserved for the lines above the live table, its heading and its last line.
_LINES_LEFT = 6


class LineDisplay:
    """Prints a batch's progress as plain lines that start with the cluster's name."""

    def __init__(self, jobs: Sequence[Job], output: TextIO) -> None:
        self._output = SteadyOutput(output)
        self._names = {job.number: job.cluster for job in jobs}
        self._width = max(len(name) for name in self._names.values())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Do nothing: a log has no live display."""
        yield

    def started(self, job: Job) -> None:
        """Print that the job has started."""
        count = len(job.notebooks)
        self.line(job.number, Text(f"started: {count} notebook{'s' if count != 1 else ''}, {shown_path(job.file)}"))

    def progressed(self, progress: Progress) -> None:
        """Print the progress line, if there is one."""
        for line in progress.line.splitlines():
            self.line(progress.number, Text(line))

    def ended(self, result: JobResult) -> None:
        """Print the result, and the reason if no notebook failed."""
        self.line(result.job.number, ending(result))

    def line(self, number: int, text: Text) -> None:
        """Print one line of a cluster."""
        text.plain = printable(text.plain)
        self.print(Text.assemble((f"{self._names[number]:<{self._width}}", "bold"), "  ", text))

    def print(self, text: Text) -> None:
        """Print one line of the batch."""
        self._output.write(text.plain.rstrip() + "\n")
        self._output.flush()


@dataclass
class _Row:
    cluster: str
    notebook: str = ""
    step: str = ""
    state: str = _WAITING
    began: float = 0.0
    seconds: float = 0.0


class LiveDisplay(LineDisplay):
    """Shows a batch on a terminal: a live table, and notable lines above it."""

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        console.file = SteadyOutput(console.file)  # type: ignore[arg-type, assignment]  # typeshed: IO[str] is no TextIO
        super().__init__(jobs, sys.stdout)
        self._console = console
        self._rows = {job.number: _Row(job.cluster) for job in jobs}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the live table within the block; the summary replaces it afterwards."""
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True):
            yield

    def started(self, job: Job) -> None:
        """Mark the job's row as running."""
        row = self._rows[job.number]
        row.state, row.began = _RUNNING, time.monotonic()

    def progressed(self, progress: Progress) -> None:
        """Update the job's row, and print the line if it is notable."""
        row = self._rows[progress.number]
        if row.state == _RUNNING:
            row.notebook, row.step = progress.notebook, progress.step
        if progress.notable:
            super().progressed(progress)

    def ended(self, result: JobResult) -> None:
        """Show the result in the job's row."""
        row = self._rows[result.job.number]
        row.state, row.seconds = result.verdict, result.seconds
        row.step = with_warnings("", result.warnings).removeprefix(", ")
        super().ended(result)

    def print(self, text: Text) -> None:
        """Print one line above the table."""
        self._console.print(text, soft_wrap=True)

    def _render(self) -> RenderableType:
        rows = list(self._rows.values())
        room = max(3, self._console.height - _LINES_LEFT)
        shown = sorted(rows, key=_importance)[:room] if len(rows) > room else rows
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
        for name in _COLUMNS:
            table.add_column(name, no_wrap=True, justify="right" if name == "seconds" else "left")
        cells = [_cells(row) for row in shown]
        for row in cells:
            row[_STEP].truncate(self._room_for_steps(cells), overflow="ellipsis")
            table.add_row(*row)
        counts = Counter(row.state for row in rows)
        return Group(Text(), table, Text("  ".join(f"{count} {state}" for state, count in counts.items()), style="dim"))

    def _room_for_steps(self, cells: Sequence[Sequence[Text]]) -> int:
        """The width that the other columns leave on the terminal: a wrapped row could not be erased."""
        others = [
            max([len(name), *(row[place].cell_len for row in cells)])
            for place, name in enumerate(_COLUMNS)
            if place != _STEP
        ]
        return max(len(_COLUMNS[_STEP]), self._console.width - sum(others) - _GAP * len(_COLUMNS))


def display_for(jobs: Sequence[Job], output: TextIO) -> LineDisplay:
    """The display for an output: a live table on a terminal, plain lines elsewhere."""
    console = Console(file=output, highlight=False)
    lively = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(jobs, console) if lively else LineDisplay(jobs, output)


def ending(result: JobResult) -> Text:
    """One line about a cluster's end: verdict, where it stopped, the first line of the reason, seconds."""
    text = Text("ended: ").append(result.verdict_text, style=_STYLES.get(result.verdict, "bold red"))
    stopped = result.stopped_at
    failure = result.failure or (stopped.failure if stopped else None)
    if stopped is not None:
        text.append(f" in {stopped.notebook}")
    if failure is not None:
        why = Text(failure.message.splitlines()[0] if failure.message else failure.name)
        why.truncate(_LONGEST_REASON, overflow="ellipsis")  # the full message is above the summary
        text.append(f" ({why.plain})")
    return text.append(f", {result.seconds:.1f} s") if result.seconds else text


def _importance(row: _Row) -> int:
    """The sort key if not all rows fit: running, then failed, waiting, done."""
    order = [_RUNNING, "", _WAITING, NOT_RUN, "planned", "pass"]
    return order.index(row.state) if row.state in order else 1


def _cells(row: _Row) -> list[Text]:
    seconds = time.monotonic() - row.began if row.state == _RUNNING else row.seconds
    state = Text(row.state, style=_STYLES.get(row.state, "bold red"))
    cluster, notebook, step = map(printable, (row.cluster, row.notebook, row.step))
    return [Text(cluster), Text(notebook), Text(step, style="dim"), state, Text(f"{seconds:.0f}" if seconds else "")]


_LOG_WIDTH = 120
_SUMMARY_STYLES = {"pass": "green", "planned": "cyan", NOT_RUN: "dim"}
_NUMBERS = ("passed", "changed", "seconds")
COLUMNS = ("cluster", "verdict", "passed", "changed", "seconds", "stopped at", "run")


def summary_table(results: Sequence[JobResult]) -> Table:
    """One row per cluster, in the given order.

    Columns:
        cluster: its name in the batch.
        verdict: pass (``pass, 3 warnings`` if checks warned), planned, failed, bad input, error, interrupted, timeout,
            kernel died, locked or not run.
        passed: notebooks that passed, of all requested ones.
        changed: result rows that changed a node.
        seconds: from its start to its end.
        stopped at: the notebook that did not pass, empty if all did or none was run.
        run: the ID of its run, as ``records list`` shows it; empty if it did not start.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=True)
    for result in results:
        stopped = result.stopped_at
        table.add_row(
            Text(result.job.cluster),
            Text(result.verdict_text, style=_SUMMARY_STYLES.get(result.verdict, "bold red")),
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
    console.print(Text(f"\nrecords: {shown_archive(archive)}"), soft_wrap=True)


def _tell_failure(result: JobResult, failure: Failure, console: Console) -> None:
    stopped = result.stopped_at
    where = f" in {stopped.notebook}" if stopped else ""
    where += f", cell {failure.cell}" if failure.cell else ""
    heading = f"\n{result.job.cluster}: {result.verdict}{where} ({failure.name})"
    console.print(Text(heading, style="bold red"), soft_wrap=True)
    console.print(Text(textwrap.indent(printable(str(failure), keep="\n"), "  ")), soft_wrap=True)
    if stopped is not None and stopped.record is not None:
        console.print(Text(f"  record: {shown_path(stopped.record)}"), soft_wrap=True)
