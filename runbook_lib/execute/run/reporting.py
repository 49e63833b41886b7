"""A run's progress, one line per step and on a terminal also a live line, and its summary at the end."""

from __future__ import annotations

import io
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runbook_lib.errors import ExitCode
from runbook_lib.execute.outcome import NOT_RUN, PASSED_BEFORE, STILL_HOLDS, Failure, NotebookResult
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.results import Status, Verdict

_STYLES = {
    "changed": "yellow",
    "planned": "cyan",
    "failed": "bold red",
    "unreachable": "bold red",
    "fail": "bold red",
    "warn": "yellow",
    "error": "bold red",
}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class SteadyOutput(io.TextIOBase):
    """An output that may be closed (a pipe, a terminal) without ending the run.

    Ending the run in the middle of a change would be worse than losing output.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        """Write, unless the output is closed."""
        try:
            self._output.write(text)
        except UnicodeEncodeError:
            self._output.write(text.encode(self.encoding, "replace").decode(self.encoding))
        except OSError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush, unless the output is closed. (Python also calls this when it deletes the object.)"""
        try:
            if not self._output.closed:
                self._output.flush()
        except OSError:
            self._give_up()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._output.isatty()

    def fileno(self) -> int:
        """The file descriptor, by which a terminal's width is read."""
        return self._output.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        """The encoding of the text."""
        return self._output.encoding or "utf-8"

    def _give_up(self) -> None:
        # Buffered text would fail again when the interpreter ends, and change the exit code.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._output.fileno())
        except io.UnsupportedOperation:
            self._output = io.StringIO()
        finally:
            os.close(nowhere)


class Reporter:
    """Prints a run's progress as plain lines, for logs and pipes."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = SteadyOutput(output or sys.stdout)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show live progress within the block, on a terminal."""
        yield

    def notebook_started(self, notebook: str, what: str = "started") -> None:
        """A notebook starts; ``what`` says what is done with it."""
        self.line(_row(notebook, what))

    def cell_started(self, notebook: str, number: int, total: int, source: str) -> None:
        """A code cell starts: its number among ``total`` cells, from 1."""

    def activity(self, text: str) -> None:
        """The running cell reports its progress."""

    def step(self, notebook: str, step: StepEvent) -> None:
        """A step ended on a node."""
        detail = "" if step.status in (Status.OK, Status.CHANGED, Status.PLANNED) else step.detail
        self.line(_row(notebook, step.step, step.node, step.status, step.seconds, detail))

    def checks(self, notebook: str, checks: Sequence[CheckEvent]) -> None:
        """Checks have ended: one line per claim and verdict."""
        for (claim, verdict), count in Counter((check.check, check.verdict) for check in checks).items():
            first = next(check for check in checks if (check.check, check.verdict) == (claim, verdict))
            where = first.node if count == 1 else f"{count} times"
            # Only the first failure is shown here; the notebook and its error show all.
            detail = "" if verdict is Verdict.PASS else _found(first)
            self.line(_row(notebook, claim, where, verdict, None, detail))

    def notebook_ended(self, result: NotebookResult) -> None:
        """A notebook has ended."""
        style = _STYLES.get("warn", "") if result.warnings and result.exit_code is ExitCode.PASS else ""
        self.line(_row(result.notebook, "ended", "", result.verdict_text, result.seconds, style=style))

    def line(self, text: Text) -> None:
        """Print one line."""
        self._output.write(text.plain.rstrip() + "\n")
        self._output.flush()

    def either(self, plain: Text, lively: RenderableType) -> None:
        """Print ``plain`` or ``lively``, depending on the output."""
        self.line(plain)

    def note(self, text: str) -> None:
        """Write a message from a signal handler, without buffers or locks."""
        try:
            os.write(sys.stderr.fileno(), f"\nrunbook: {text}\n".encode())
        except (OSError, ValueError):
            return


class TerminalReporter(Reporter):
    """Shows a run on a terminal: permanent lines, and below them a live line with the running cell.

    Args:
        clock: the time in seconds, for the live line.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        console.file = SteadyOutput(console.file)  # type: ignore[arg-type, assignment]  # typeshed: IO[str] is no TextIO
        self._console = console
        self._now = ""
        self._activity = ""
        self._since = clock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the live line within the block."""
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True):
            yield

    def notebook_started(self, notebook: str, what: str = "started") -> None:
        """Show the notebook, and that it waits for its kernel."""
        self._turn_to(f"{notebook}  waiting for the kernel" if what == "started" else f"{notebook}  {what}")
        super().notebook_started(notebook, what)

    def cell_started(self, notebook: str, number: int, total: int, source: str) -> None:
        """Show the cell in the live line: its first line that says something, until it tells more itself."""
        self._turn_to(f"{notebook}  cell {number}/{total}", _one_line(first_statement(source)))

    def activity(self, text: str) -> None:
        """Show the last line that a long step wrote."""
        self._activity = "  ".join(_one_line(line) for line in text.splitlines()[-2:])

    def notebook_ended(self, result: NotebookResult) -> None:
        """Print the result, and clear the live line."""
        self._turn_to("")
        super().notebook_ended(result)

    def line(self, text: Text) -> None:
        """Print one line above the live one."""
        self._console.print(text, soft_wrap=True)

    def either(self, plain: Text, lively: RenderableType) -> None:
        """Print ``lively``, which has colours and rules."""
        self._console.print(lively)

    def _turn_to(self, what: str, activity: str = "") -> None:
        self._now, self._activity, self._since = what, activity, self._clock()

    def _render(self) -> Text:
        """The live line, cut to the terminal's width: a wrapped line could not be erased."""
        now = self._clock()
        frame = _FRAMES[int(now * len(_FRAMES)) % len(_FRAMES)]
        seconds = (f"{now - self._since:4.0f} s", "dim")
        parts = (frame, " ", seconds, "  ", self._now, "  ", (self._activity, "dim"))
        return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def reporter_for(output: TextIO) -> Reporter:
    """The reporter for an output: live on a terminal, plain lines elsewhere."""
    console = Console(file=output, highlight=False)
    return TerminalReporter(console) if console.is_terminal and not console.is_dumb_terminal else Reporter(output)


def _row(
    notebook: str,
    what: str,
    node: str = "",
    state: str = "",
    seconds: float | None = None,
    detail: str = "",
    *,
    style: str = "",
) -> Text:
    row = Text(f"{notebook:<22}  {_one_line(what):<40}  {_one_line(node):<10}  ")
    row.append(f"{state:<11}", style=style or _STYLES.get(state, "green" if state in ("pass", "ok") else ""))
    row.append("" if seconds is None else f"  {seconds:6.1f} s")
    row.append(f"  {_one_line(detail)}" if detail else "")
    return row


def _found(check: CheckEvent) -> str:
    where = f"{check.node}: " if check.node else ""
    return f"{where}expected {check.expected}, found {check.found}" if check.expected else f"{where}{check.found}"


def first_statement(source: str) -> str:
    """The first line of a cell that says what it does: no comment and no import; empty if there is none."""
    lines = [line.strip() for line in source.splitlines()]
    return next((line for line in lines if line and not line.startswith(("#", "import ", "from "))), "")


def printable(text: str, keep: str = "") -> str:
    """Text without characters that would steer a terminal, except those of ``keep``."""
    return "".join(character if character.isprintable() or character in keep else " " for character in text)


def _one_line(text: str) -> str:
    return printable(text).strip()


PAGE = "notebook.html"

COLUMNS = ("notebook", "verdict", "steps", "changed", "seconds", "record")


def summarize(results: Sequence[NotebookResult]) -> pd.DataFrame:
    """One row per notebook of a run, in order.

    Columns:
        notebook: its name.
        verdict: pass (``pass, 3 warnings`` if checks warned), planned, failed, bad input, error, interrupted, timeout,
            kernel died, locked, not run, or (for one that passed in an earlier run) still holds or passed before.
        steps: result rows, one for each step on each node.
        changed: those of them that changed the node.
        seconds: from before its kernel to after its record.
        record: the ID of its record, empty if there is none.
    """
    rows = [
        (
            result.notebook,
            result.verdict_text,
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
    """A path as the user would type it: relative if it is below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def shown_archive(archive: str) -> str:
    """An archive's location: a URL as it is, a path as one would type it here."""
    return archive if "://" in archive else f"{shown_path(Path(archive))}{os.sep}"


def conclude(results: Sequence[NotebookResult], archive: str, reporter: Reporter, option: str = "") -> None:
    """Print the failures, the summary and the records' location; ``option`` selects that archive in other commands."""
    for result in results:
        if result.failure is not None:
            _tell_failure(result, result.failure, reporter)
    summary = summarize(results)
    reporter.line(Text())
    reporter.either(Text(as_text(summary)), as_table(summary))
    reporter.line(Text(f"\nrecords: {shown_archive(archive)}"))
    if any(result.record_id for result in results):
        reporter.line(Text(f"  read one: ./runbook records show ID{option}"))


def _tell_failure(result: NotebookResult, failure: Failure, reporter: Reporter) -> None:
    where = f" in cell {failure.cell}" if failure.cell else ""
    reporter.line(Text(f"\n{result.notebook}: {result.verdict}{where} ({failure.name})", style="bold red"))
    reporter.line(Text(textwrap.indent(str(failure), "  ")))
    if result.record is not None:
        reporter.line(Text(f"  record: {shown_path(result.record / PAGE)}"))
