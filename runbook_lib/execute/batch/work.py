"""The worker's side of a job: runs one cluster in the main thread, sends progress and obeys cancellation."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from rich.text import Text

from runbook_lib.execute.batch.jobs import Cancel, Job, JobResult, Progress, failed
from runbook_lib.execute.interruption import Interruption, signals_unwind
from runbook_lib.execute.outcome import NotebookResult
from runbook_lib.execute.run.cluster_run import ClusterRequest, ClusterResult, prepare_cluster, run_cluster
from runbook_lib.execute.run.reporting import Reporter, first_statement, shown_path
from runbook_lib.model.commands import at_hand
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.record import RecordVerdict
from runbook_lib.model.redaction import redactor_for
from runbook_lib.model.results import Status, Verdict
from runbook_lib.redact import Redactor

# Two signals within a shorter time would count as one Ctrl-C that was delivered twice.
_BETWEEN_SIGNALS_SECONDS = 0.7
# A job that does not end after two requests is killed: its kernel is dead by then, its record shows "interrupted".
_LAST_GRACE_SECONDS = 10.0
_ACTIVITY_SECONDS = 0.25


def work(job: Job, connection: Connection) -> JobResult:
    """Run one cluster and return its result, also for a failure.

    Must be called in the main thread, because cancellation arrives as signals.

    Args:
        connection: takes ``Progress`` and may deliver ``Cancel``. If its other end is closed, the job is interrupted.
    """
    started = time.monotonic()
    reporter = RelayReporter(job.number, connection)
    try:
        # What is no notebook, such as a testbed that comes up, is ended by a signal as well.
        with signals_unwind(), _listening_for_cancel(connection):
            result = _run(job, reporter)
    except Exception as error:  # noqa: BLE001 - becomes the cluster's failure, with its trace; the others go on
        return failed(job, error, time.monotonic() - started, reporter.redactor)
    return _result(job, result, time.monotonic() - started)


def _run(job: Job, reporter: RelayReporter) -> ClusterResult:
    # As the user would type it in the batch's folder.
    shown = Path(shown_path(job.file))
    at_hand(shown, job.request.overrides)
    with contextlib.redirect_stderr(_Lines(reporter)):  # a testbed reports its boot there
        run = prepare_cluster(job.request, _nothing_to_install)
    at_hand(shown, job.request.overrides, inventory=run.parameters.inventory)
    reporter.redactor = redactor_for(run)
    wanted = ClusterRequest(job.notebooks, job.request, job.archive, job.cell_timeout, job.notebook_timeout)
    with Interruption().installed() as interruption:
        return run_cluster(wanted, run, reporter, interruption)


def _nothing_to_install() -> None:
    """Do nothing: the batch has installed the testbed's requirements before its first job."""


def _result(job: Job, result: ClusterResult, seconds: float) -> JobResult:
    verdicts = [notebook.verdict for notebook in result.results if notebook.exit_code is result.exit_code]
    verdict = verdicts[0] if verdicts else str(RecordVerdict.of(result.exit_code))
    return JobResult(job, verdict, result.exit_code, result.results, result.run, seconds)


class RelayReporter(Reporter):
    """Sends a run's progress to the batch, without the secrets that ``redactor`` knows."""

    def __init__(self, number: int, connection: Connection) -> None:
        super().__init__()
        self.redactor = Redactor()
        self._number = number
        self._connection = connection
        self._lock = threading.Lock()
        self._notebook = self._step = ""
        self._notable = False
        self._told_activity = 0.0

    def preparing(self, what: str) -> None:
        """Send a preparation step before the first notebook."""
        self._turn_to("", what.strip())
        self.line(Text(what))

    def notebook_started(self, notebook: str, what: str = "started") -> None:
        """Send that a notebook waits for its kernel, or ``what`` else happens."""
        self._turn_to(notebook, "waiting for the kernel" if what == "started" else what)
        super().notebook_started(notebook, what)

    def cell_started(self, notebook: str, number: int, total: int, source: str) -> None:
        """Send which cell runs."""
        self._turn_to(notebook, f"{number}/{total}  {first_statement(source)}".rstrip())
        self._send()

    def activity(self, text: str) -> None:
        """Send the running cell's progress, a few times a second at most."""
        now = time.monotonic()
        lines = text.splitlines()
        if lines and now - self._told_activity >= _ACTIVITY_SECONDS:
            self._told_activity = now
            self._step = f"{self._step.split('  ')[0]}  {lines[-1].strip()}"
            self._send()

    def step(self, notebook: str, step: StepEvent) -> None:
        """Send a step's row."""
        with self._telling(notable=step.status in (Status.FAILED, Status.UNREACHABLE)):
            super().step(notebook, step)

    def checks(self, notebook: str, checks: Sequence[CheckEvent]) -> None:
        """Send the rows of checks."""
        with self._telling(notable=any(check.verdict is not Verdict.PASS for check in checks)):
            super().checks(notebook, checks)

    def notebook_ended(self, result: NotebookResult) -> None:
        """Send the notebook's result."""
        self._turn_to(result.notebook, "")
        with self._telling(notable=True):
            super().notebook_ended(result)

    def line(self, text: Text) -> None:
        """Send one line."""
        self._send(text.plain.rstrip())

    def note(self, text: str) -> None:
        """Do nothing: the batch itself informs its user of a signal."""

    def _turn_to(self, notebook: str, step: str) -> None:
        self._notebook, self._step = notebook, step

    @contextmanager
    def _telling(self, *, notable: bool) -> Iterator[None]:
        self._notable = notable
        try:
            yield
        finally:
            self._notable = False

    def _send(self, line: str = "") -> None:
        step, line = self.redactor(self._step), self.redactor(line)
        # The batch may have ended; the job is then interrupted by the closed connection.
        with self._lock, contextlib.suppress(OSError):
            self._connection.send(Progress(self._number, self._notebook, step, line, self._notable))


class _Lines(io.TextIOBase):
    """A text stream for output before the first notebook; sends every line to a reporter."""

    def __init__(self, reporter: RelayReporter) -> None:
        self._reporter = reporter
        self._begun = ""

    def write(self, text: str) -> int:
        """Buffer the text until its line ends."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._reporter.preparing(line)
        return len(text)


@contextmanager
def _listening_for_cancel(connection: Connection) -> Iterator[None]:
    """Turn each ``Cancel`` that arrives within the block into a signal to this process, for ``Interruption``."""
    listener = _CancelListener(connection)
    threading.Thread(target=listener.listen, name="cancel listener", daemon=True).start()
    try:
        yield
    finally:
        listener.stop()


class _CancelListener:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._times = 0

    def listen(self) -> None:
        """Wait for messages until the other end is closed."""
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Cancel):
                    self._signal(message.signal)
        except (EOFError, OSError):
            self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Send no more signals."""
        self._stopped.set()
        with self._lock:
            """Wait until no signal is being sent."""

    def _signal(self, number: signal.Signals) -> None:
        if self._times and self._stopped.wait(_BETWEEN_SIGNALS_SECONDS):
            return
        with self._lock:
            if self._stopped.is_set():
                return
            self._times += 1
            os.kill(os.getpid(), number)
        if self._times > 1 and not self._stopped.wait(_LAST_GRACE_SECONDS):
            os.kill(os.getpid(), signal.SIGKILL)
