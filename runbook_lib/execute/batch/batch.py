"""Submits the clusters of a batch to workers, a few at a time, until all have ended or the user cancels."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from runbook_lib.errors import ExitCode, RunbookError
from runbook_lib.execute.batch.jobs import Job, JobResult, Progress, failed, not_run
from runbook_lib.execute.interruption import EndSignals, handled
from runbook_lib.execute.outcome import NOT_RUN

_POLL_SECONDS = 0.1


class Workers(Protocol):
    """The workers that run jobs: a ``concurrent.futures`` executor with progress messages and cancellation."""

    @property
    def limit(self) -> int:
        """The default number of parallel jobs."""

    def submit(self, job: Job) -> Future[JobResult]:
        """Submit a job to the executor."""

    def progress(self, timeout: float) -> Sequence[Progress]:
        """The progress messages since the last call; waits up to ``timeout`` seconds for the first one."""

    def refresh(self) -> None:
        """Signal that the batch is still alive; called repeatedly while it waits for the jobs.

        Raises:
            RunbookError: the workers are permanently unreachable.
        """

    def cancel(self, number: signal.Signals) -> None:
        """Cancel all jobs; the second call kills their kernels."""


class Display(Protocol):
    """Shows the progress of a batch."""

    def running(self) -> AbstractContextManager[None]:
        """Show live progress within the block, on a terminal."""

    def started(self, job: Job) -> None:
        """A job was submitted."""

    def progressed(self, progress: Progress) -> None:
        """A job reports its progress."""

    def ended(self, result: JobResult) -> None:
        """A job has ended, or will never start."""


class Cancellation:
    """Cancellation by Ctrl-C, SIGTERM or SIGHUP: the first signal ends the jobs, the second one kills them.

    Args:
        clock: the time in seconds, to recognise a signal that is delivered twice.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._signals = EndSignals(self._heard, clock)
        self.received: signal.Signals | None = None

    @property
    def times(self) -> int:
        """How many signals were received."""
        return self._signals.times

    def installed(self) -> AbstractContextManager[None]:
        """Handle the signals within the block; signals ignored by nohup stay ignored."""
        return handled(self._signals.handle)

    def _heard(self, number: signal.Signals, times: int) -> None:
        self.received = number
        if times == 1:
            no_more = "no further cluster starts, running cells may clean up; a second signal kills them"
            _tell(f"{number.name}: {no_more}")
        else:
            _tell("second signal: the kernels are killed")


def _tell(line: str) -> None:
    """Write a message from a signal handler, without buffers or locks."""
    try:
        os.write(sys.stderr.fileno(), f"\nrunbook: {line}\n".encode())
    except (OSError, ValueError):
        return


def run_batch(
    jobs: Sequence[Job],
    refused: Sequence[JobResult],
    workers: Workers,
    limit: int,
    display: Display,
    cancellation: Cancellation,
) -> list[JobResult]:
    """Run all jobs, at most ``limit`` in parallel; a failure does not stop the others.

    Args:
        refused: results of jobs that cannot be run.

    Returns:
        One result per job, in the order of ``jobs``.
    """
    left = [job for job in jobs if job not in [result.job for result in refused]]
    batch = _Batch(left, workers, limit, display, cancellation)
    with display.running():
        for result in refused:
            batch.end(result)
        while batch.is_running():
            batch.turn()
    return [batch.results[job.number] for job in jobs]


def exit_code_of_batch(results: Sequence[JobResult]) -> ExitCode:
    """4 if a cluster was interrupted or not started, else the code of the first one that did not pass, else 0."""
    codes = [result.exit_code for result in results if result.exit_code is not ExitCode.PASS]
    return ExitCode.INTERRUPTED if ExitCode.INTERRUPTED in codes else next(iter(codes), ExitCode.PASS)


class _Batch:
    def __init__(
        self, jobs: Sequence[Job], workers: Workers, limit: int, display: Display, cancellation: Cancellation
    ) -> None:
        self._workers = workers
        self._limit = limit
        self._display = display
        self._cancellation = cancellation
        self._waiting = deque(jobs)
        self._running: dict[Future[JobResult], tuple[Job, float]] = {}
        self.results: dict[int, JobResult] = {}
        self._told_to_end = 0

    def is_running(self) -> bool:
        return bool(self._waiting or self._running)

    def turn(self) -> None:
        if self._cancellation.times > self._told_to_end:
            self._cancel()
        while self._waiting and len(self._running) < self._limit:
            self._submit(self._waiting.popleft())
        self._beat()
        for progress in self._workers.progress(_POLL_SECONDS):
            self._display.progressed(progress)
        ended = [future for future in self._running if future.done()]
        if ended:
            # All messages that they sent before their end have arrived by now.
            for progress in self._workers.progress(0):
                self._display.progressed(progress)
        for future in ended:
            job, started = self._running.pop(future)
            self.end(_result(job, future, time.monotonic() - started, cancelled=self._told_to_end > 0))

    def _submit(self, job: Job) -> None:
        started = time.monotonic()
        try:
            future = self._workers.submit(job)
        except (RunbookError, RuntimeError) as error:
            self.end(failed(job, error))
            return
        self._running[future] = job, started
        self._display.started(job)

    def _cancel(self) -> None:
        self._told_to_end = self._cancellation.times
        while self._waiting:
            self.end(not_run(self._waiting.popleft()))
        assert self._cancellation.received is not None
        self._workers.cancel(self._cancellation.received)

    def _beat(self) -> None:
        try:
            self._workers.refresh()
        except RunbookError as error:
            for job, started in self._running.values():
                self.end(failed(job, error, time.monotonic() - started))
            self._running.clear()
            while self._waiting:
                self.end(failed(self._waiting.popleft(), error))

    def end(self, result: JobResult) -> None:
        self.results[result.job.number] = result
        self._display.ended(result)


def _result(job: Job, future: Future[JobResult], seconds: float, *, cancelled: bool) -> JobResult:
    try:
        result = future.result()
        return result if result.seconds or result.verdict == NOT_RUN else replace(result, seconds=seconds)
    except CancelledError:
        if cancelled:
            return not_run(job)
        lost = RunbookError(
            "the workers were lost while they ran this cluster",
            remedy="it ends by itself: wait a minute, check its record if there is one, and run it again",
        )
        return failed(job, lost, seconds)
    except BrokenExecutor:
        killed = RunbookError(
            "the process that ran this cluster was killed (by a user, or because memory ran out)",
            remedy="its record shows how far it came; run it again",
        )
        return failed(job, killed, seconds)
    except Exception as error:  # noqa: BLE001 - becomes the cluster's failure, with its trace; the others go on
        return failed(job, error, seconds)
