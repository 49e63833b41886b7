"""A record: what one execution of a notebook was, as its ``record.json`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runbook_lib.errors import ExitCode
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.results import Verdict, with_warnings

#: The version of the format of ``record.json`` that this project writes.
RECORD_FORMAT = 1


class RecordVerdict(StrEnum):
    """How a notebook ended. ``RUNNING`` is only true while its runner lives; readers make it ``INTERRUPTED`` after."""

    RUNNING = "running"
    PASS = "pass"
    PLANNED = "planned"
    FAILED = "failed"
    BAD_INPUT = "bad input"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel died"
    LOCKED = "locked"

    @classmethod
    def of(cls, code: ExitCode) -> RecordVerdict:
        """The verdict of an exit code."""
        return _VERDICTS[code]


_VERDICTS = {
    ExitCode.PASS: RecordVerdict.PASS,
    ExitCode.CHECK_FAILED: RecordVerdict.FAILED,
    ExitCode.BAD_INPUT: RecordVerdict.BAD_INPUT,
    ExitCode.ERROR: RecordVerdict.ERROR,
    ExitCode.INTERRUPTED: RecordVerdict.INTERRUPTED,
    ExitCode.TIMEOUT: RecordVerdict.TIMEOUT,
    ExitCode.KERNEL_DIED: RecordVerdict.KERNEL_DIED,
    ExitCode.LOCKED: RecordVerdict.LOCKED,
}


class CellState(StrEnum):
    """How a code cell ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    NEVER_RUN = "never run"
    RUNNING = "running"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellRecord(_Part):
    """One code cell: its place among all cells (from 0), its id, how it ended, its seconds (``None``: it never ran)."""

    index: int
    id: str = ""
    state: CellState
    seconds: float | None = None


class FailureRecord(_Part):
    """Why a notebook did not come to its end; ``cell`` as a reader sees it (``In [5]``)."""

    name: str
    message: str
    cell: str = ""
    trace: str = ""


class NodeRecord(_Part):
    """What a node was while the notebook ran; ``address`` is what it had on the cluster's network, if it was read."""

    node: str
    address: str = ""
    engine: str = ""
    engine_id: str = ""
    answers: bool = True


class MetricRecord(_Part):
    """A number that can be followed over time, such as ``ping latency`` in ``ms``."""

    name: str
    value: float
    unit: str


class FileRecord(_Part):
    """One file of a record's folder: its SHA-256 in hexadecimal, and its size in bytes."""

    sha256: str
    size: int


class Provenance(_Part):
    """Where a record comes from."""

    notebook_sha256: str = ""
    project_version: str = ""
    project_commit: str = Field("", description="with '+changes' when the checkout differed from the commit")
    packages: Mapping[str, str] = Field(default_factory=dict, description="name -> version")
    python: str = ""
    operator: str = ""
    host: str = ""
    nodes: tuple[NodeRecord, ...] = ()


class Record(_Part):
    """One executed notebook. Times are UTC in ISO 8601 (``2026-05-01T12:00:00.123Z``)."""

    format: int = RECORD_FORMAT
    id: str
    run: str = Field(description="shared by the notebooks of one run")
    resumes: str = Field("", description="the run that this one goes on with")
    notebook: str
    notebooks: tuple[str, ...] = Field((), description="all notebooks that the run was to execute, in their order")
    cluster: str
    verdict: RecordVerdict = RecordVerdict.RUNNING
    exit_code: int | None = None
    plan: bool = False
    started: str
    ended: str | None = None
    seconds: float | None = None
    changed: int = 0
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    steps: tuple[StepEvent, ...] = ()
    checks: tuple[CheckEvent, ...] = ()
    metrics: tuple[MetricRecord, ...] = ()
    cells: tuple[CellRecord, ...] = ()
    failure: FailureRecord | None = None
    provenance: Provenance = Provenance()
    files: Mapping[str, FileRecord] = Field(
        default_factory=dict, description="every other file of the folder, by its path in it"
    )

    @property
    def warnings(self) -> int:
        """How many checks warned; every record has its checks, those of earlier versions too."""
        return sum(check.verdict is Verdict.WARN for check in self.checks)

    @property
    def verdict_text(self) -> str:
        """The verdict as it is shown, with its warnings: ``pass, 3 warnings``."""
        return with_warnings(self.verdict, self.warnings)
