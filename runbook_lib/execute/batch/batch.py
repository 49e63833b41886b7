"""Hands clusters to workers, a few at a time, until all have ended or the user has had enough."""

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
    """Where jobs are run: a ``concurrent.futures`` executor, with a way to hear of the jobs and to tell them to end."""

    @property
    def limit(self) -> int:
        """How many jobs run at once unless the user says otherwise."""

    def submit(self, job: Job) -> Future[JobResult]:
        """Hand a job to the executor."""

    def progress(self, timeout: float) -> Sequence[Progress]:
        """What the jobs have told since the last call; waits up to ``timeout`` seconds for something to be told."""

    def refresh(self) -> None:
        """Called again and again as long as somebody waits for the jobs.

        Raises:
            RunbookError: the workers are out of reach for good.
        """

    def cancel(self, number: signal.Signals) -> None:
        """Tell all jobs to end; the second time, to kill their kernels."""


class Display(Protocol):
    """Who is told what happens."""

    def running(self) -> AbstractContextManager[None]:
        """Show signs of life within the block, where there is somebody to see them."""

    def started(self, job: Job) -> None:
        """A job was handed over."""

    def progressed(self, progress: Progress) -> None:
        """A job tells how far it is."""

    def ended(self, result: JobResult) -> None:
        """A job has ended, or will never begin."""


class Cancellation:
    """What the user has asked for with Ctrl-C, SIGTERM or SIGHUP: the first time to end, the second time to kill.

    Args:
        clock: tells the seconds by which a signal is told from an echo of the one before.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._signals = EndSignals(self._heard, clock)
        self.received: signal.Signals | None = None

    @property
    def times(self) -> int:
        """How often the user has asked."""
        return self._signals.times

    def installed(self) -> AbstractContextManager[None]:
        """Handle the signals within the block; what nohup ignores stays ignored."""
        return handled(self._signals.handle)

    def _heard(self, number: signal.Signals, times: int) -> None:
        self.received = number
        if times == 1:
            _tell(f"{number.name}: no cluster begins any more, running cells may clean up; once more kills them")
        else:
            _tell("again: the kernels are killed")


def _tell(line: str) -> None:
    """Tell something from within a signal handler: past every buffer and lock."""
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
    """Run all jobs, at most ``limit`` at once, and let one that fails stop no other.

    Args:
        refused: results of jobs that cannot be run, and are not.

    Returns:
        One result a job, in the order of ``jobs``.
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
    """4 if a cluster was interrupted or never begun, else the code of the first one that did not pass, else 0."""
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
            # What they told before they ended is there by now.
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
            "the workers were lost while this cluster was theirs",
            remedy="it ends by itself: wait a minute, look at its record if there is one, and run it again",
        )
        return failed(job, lost, seconds)
    except BrokenExecutor:
        killed = RunbookError(
            "the process that ran this cluster was killed (by somebody, or the machine ran out of memory)",
            remedy="its record tells how far it came; run it again",
        )
        return failed(job, killed, seconds)
    except Exception as error:  # noqa: BLE001 - becomes the cluster's failure, with its trace; the others go on
        return failed(job, error, seconds)
