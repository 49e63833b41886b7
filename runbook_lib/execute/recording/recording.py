"""The record of one execution, as the engine writes it to the archive."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runbook_lib.errors import ExitCode, RecordError
from runbook_lib.execute import without_slow_formats
from runbook_lib.execute.interruption import Interruption
from runbook_lib.execute.outcome import Failure, NotebookResult, failure_of
from runbook_lib.execute.recording.sources import JournalReader, provenance
from runbook_lib.journal import Call, Entry, Metric, NodeFacts, Table, encode, now
from runbook_lib.model.events import CheckEvent, Event, FinishEvent, StartEvent, StepEvent, read_events
from runbook_lib.model.record import (
    CellRecord,
    CellState,
    FailureRecord,
    MetricRecord,
    NodeRecord,
    Record,
    RecordVerdict,
)
from runbook_lib.model.results import Status
from runbook_lib.records.store.archive import Archive
from runbook_lib.records.writer import RecordWriter, new_record_id
from runbook_lib.redact import Redactor

with without_slow_formats():
    import nbformat

_UNFINISHED = Failure(
    "Unfinished",
    "all cells ran, but the notebook did not close its session: it needs a last cell with run.finish()",
    ExitCode.ERROR,
)


@dataclass(frozen=True)
class RunFacts:
    """The facts that all notebooks of a run share; ``parameters`` are the validated ones."""

    archive: Archive
    run: str
    cluster: str
    notebooks: tuple[str, ...] = ()
    resumes: str = ""
    plan: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)


class Recording:
    """The record of one notebook while it is executed. Make it with ``begin``; it ends with ``finish``.

    ``at_end`` is closed with the record; callers can register their own clean-up there.
    """

    def __init__(self, facts: RunFacts, record: Record, writer: RecordWriter) -> None:
        self.at_end = ExitStack()
        self.redactor = facts.redactor
        self.folder = writer.folder
        self.result: NotebookResult | None = None
        self._record = record
        self._writer = writer
        self._started = time.monotonic()
        self._steps: list[StepEvent] = []
        self._checks: list[CheckEvent] = []
        self._nodes: dict[str, NodeRecord] = {}
        self._metrics: list[MetricRecord] = []
        self._begun = self._finished = False
        self._verdict = ""
        self._journals: list[JournalReader] = []
        self._html = threading.Thread(target=_warm_up, name="html", daemon=True)

    @classmethod
    def begin(cls, notebook: str, source: str, facts: RunFacts) -> Recording:
        """Open the record of a notebook with the file content ``source``.

        Raises:
            RecordError: it cannot be written.
            InputError: the archive's folder cannot be used.
        """
        record = Record(
            id=new_record_id(),
            run=facts.run,
            resumes=facts.resumes,
            notebook=notebook,
            notebooks=facts.notebooks,
            cluster=facts.cluster,
            plan=facts.plan,
            started=now(),
            parameters=facts.parameters,
            provenance=provenance(source.encode()),
        )
        return cls(facts, record, RecordWriter.create(facts.archive, record, source, facts.redactor))

    @property
    def id(self) -> str:
        """The record's ID."""
        return self._record.id

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return self.redactor(text)

    def redact_json(self, value: Any) -> Any:
        """The same value with every string in it redacted."""
        return self.redactor.json(value)

    def listen(self, journal: Path) -> None:
        """Read a kernel's journal through this pipe, until the record ends."""
        if not self._journals:
            # This process is idle while the kernel starts and cells run.
            self._html.start()
        self._journals.append(JournalReader(journal, self._take, self._malformed))

    def save(self, notebook: Any) -> None:
        """Write the current notebook. Raises ``RecordError``."""
        self._writer.save_notebook(nbformat.v4.writes_json(notebook))  # type: ignore[no-untyped-call]

    def overflow(self, cell: str, text: str) -> str:
        """Append to the file with a cell's complete output; returns its path in the record."""
        return self._writer.overflow(cell, text)

    def displayed(self, data: Mapping[str, Any]) -> None:
        """Collect the events of a display."""
        try:
            events: tuple[Event, ...] = read_events(data)
        except (ValidationError, LookupError, TypeError):
            return  # the display itself is in the notebook; the runner's reporter shows this
        for event in events:
            match event:
                case StartEvent():
                    self._begun = True
                case StepEvent():
                    self._steps.append(event)
                case CheckEvent():
                    self._checks.append(event)
                case FinishEvent():
                    self._finished, self._verdict = True, event.verdict

    def finish(
        self, notebook: Any, error: BaseException | None = None, interruption: Interruption | None = None
    ) -> NotebookResult:
        """Close the record: verdict, page, seal. Call it after the kernel's end, which may still write to the journal.

        Args:
            notebook: the executed notebook.
            error: what the execution raised, other than a cell's own exception.
            interruption: whether a signal was received.

        Raises:
            RecordError: it cannot be written.
        """
        with self.at_end:
            return self._finish(notebook, error, interruption)

    def _finish(self, notebook: Any, error: BaseException | None, interruption: Interruption | None) -> NotebookResult:
        try:
            # The writer keeps errors of earlier writes: its finish seals what exists, and raises them.
            with suppress(RecordError):
                self._close_journals()
            failure = failure_of(notebook, error, interruption.received if interruption else None)
            if failure is None and self._begun and not self._finished:
                failure = _UNFINISHED
            record = self._concluded(notebook, failure)
            with suppress(RecordError):
                self.save(notebook)
            record = self._writer.finish(record, self._page(notebook, record))
        except BaseException:
            self._writer.abandon()
            raise
        self.result = NotebookResult(
            notebook=record.notebook,
            verdict=record.verdict,
            exit_code=ExitCode(record.exit_code or 0),
            steps=len(record.steps),
            changed=record.changed,
            seconds=record.seconds or 0.0,
            record=self._writer.folder,
            record_id=record.id,
            failure=failure,
            warnings=record.warnings,
        )
        return self.result

    def abandon(self) -> None:
        """Release a record that cannot be finished; its state becomes ``interrupted``."""
        with self.at_end:
            try:
                self._close_journals()
            finally:
                self._writer.abandon()

    def _concluded(self, notebook: Any, failure: Failure | None) -> Record:
        code = failure.exit_code if failure else _exit_code(self._verdict)
        verdict = RecordVerdict.of(code)
        if code is ExitCode.PASS and self._record.plan:
            verdict = RecordVerdict.PLANNED
        return self._record.model_copy(
            update={
                "verdict": verdict,
                "exit_code": int(code),
                "ended": now(),
                "seconds": round(time.monotonic() - self._started, 3),
                "changed": sum(step.status is Status.CHANGED for step in self._steps),
                "steps": tuple(self._steps),
                "checks": tuple(self._checks),
                "metrics": tuple(self._metrics),
                "cells": tuple(_cells(notebook)),
                "failure": failure and FailureRecord(
                    name=failure.name, message=failure.message, cell=failure.cell, trace=failure.trace
                ),
                "provenance": self._record.provenance.model_copy(update={"nodes": tuple(self._nodes.values())}),
            }
        )  # fmt: skip

    def _page(self, notebook: Any, record: Record) -> str:
        from runbook_lib.records import html

        if self._html.is_alive():
            self._html.join()
        text = nbformat.v4.writes_json(notebook)  # type: ignore[no-untyped-call]
        try:
            return html.render(text, record)
        except Exception as error:  # noqa: BLE001 - shown in the page itself: no output may prevent the seal
            return html.render_without_notebook(record, f"{type(error).__name__}: {error}")

    def _take(self, entry: Entry) -> None:
        match entry:
            case Call():
                self._writer.log(encode(entry))
            case Table():
                self._writer.table(entry.name, entry.csv)
            case NodeFacts():
                self._nodes[entry.node] = NodeRecord(**asdict(entry))
            case Metric():
                self._metrics.append(MetricRecord(**asdict(entry)))

    def _malformed(self, line: str) -> None:
        self._writer.log(encode(Call(now(), "", "journal", (line[:200],), 0.0, None, "not an entry of the journal")))

    def _close_journals(self) -> None:
        while self._journals:
            self._journals.pop().close()


def _exit_code(verdict: str) -> ExitCode:
    """The exit code of a notebook without a failed cell: that of its own verdict, if it has one."""
    return ExitCode.PASS if verdict in ("", "pass", "planned") else ExitCode.CHECK_FAILED


def _cells(notebook: Any) -> list[CellRecord]:
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            state = cell.metadata.get("runbook", {}).get("state", CellState.NEVER_RUN)
            seconds = cell.metadata.get("papermill", {}).get("duration")
            cells.append(CellRecord(index=index, id=cell.get("id", ""), state=CellState(state), seconds=seconds))
    return cells


def _warm_up() -> None:
    from runbook_lib.records import html

    html.warm_up()
