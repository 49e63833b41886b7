"""Workers on this machine: one process per cluster, forked from a template that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from runbook_lib.errors import RunbookError
from runbook_lib.execute.batch.jobs import Cancel, Job, JobResult, Progress
from runbook_lib.execute.interruption import SIGNALS
from runbook_lib.model.locations import import_path

# Imported once, in the process that the workers are forked from.
_TEMPLATE = "runbook_lib.execute.batch.template"

# In a worker: the job's end of its connection, and whether the worker is idle.
_connection: Connection | None = None
_idle = threading.Event()


class LocalProcesses:
    """Runs every job in the main thread of a separate process. Use as a context manager.

    One process per job, rather than a pool: if one is killed, the others continue.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._executors: list[tuple[ProcessPoolExecutor, Future[JobResult] | None]] = []
        self._connections: dict[int, Connection] = {}

    def __enter__(self) -> Self:
        self._context.set_forkserver_preload([_TEMPLATE])
        with _blocked_signals(), _same_imports():
            forkserver.ensure_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in self._connections.values():
            opened.close()  # this tells a job that still runs to end
        for executor, _ in self._executors:
            executor.shutdown(wait=True)

    @property
    def limit(self) -> int:
        """The default number of parallel jobs."""
        return os.cpu_count() or 1

    def submit(self, job: Job) -> Future[JobResult]:
        """Start a job; the future has its result, or the error that ended its process.

        Raises:
            RunbookError: no process can be started.
        """
        ours, theirs = self._context.Pipe()
        executor = ProcessPoolExecutor(1, self._context, _begin, (theirs, dict(os.environ)))
        try:
            with theirs:
                future: Future[JobResult] = executor.submit(_work, job)
        except (EOFError, OSError) as error:
            self._executors.append((executor, None))
            ours.close()
            # EOFError: the template process failed, and has written the reason to stderr.
            raise RunbookError(f"no process can be started for it ({type(error).__name__} {error})") from error
        self._connections[job.number] = ours
        self._executors.append((executor, future))
        return future

    def progress(self, timeout: float) -> Sequence[Progress]:
        """The progress messages since the last call; waits up to ``timeout`` seconds for the first one."""
        self._end_idle_processes()
        told = []
        numbers = {opened: number for number, opened in self._connections.items()}
        for ready in connection.wait(list(numbers), timeout):
            assert isinstance(ready, Connection)
            try:
                while ready.poll():
                    told.append(ready.recv())
            except (EOFError, OSError):
                self._connections.pop(numbers[ready]).close()
        return told

    def _end_idle_processes(self) -> None:
        # Not in a callback of the future: for a killed process Python 3.13 calls it while holding the executor's lock.
        going = []
        for executor, future in self._executors:
            if future is not None and future.done():
                executor.shutdown(wait=False)
            else:
                going.append((executor, future))
        self._executors = going

    def refresh(self) -> None:
        """Do nothing: the jobs see the end of this process by their connections."""

    def cancel(self, number: signal.Signals) -> None:
        """Cancel all jobs; the second call kills their kernels."""
        for opened in self._connections.values():
            try:
                opened.send(Cancel(number))
            except OSError:
                continue  # it has ended by itself


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals in processes started within the block: Ctrl-C on a terminal is only for the batch."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _same_imports() -> Iterator[None]:
    """Give processes started within the block the same import path as this one."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = import_path()
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _begin(theirs: Connection, environment: Mapping[str, str]) -> None:
    """Turn a fork of the template into a worker, with a new session and the batch's current environment."""
    global _connection
    _connection = theirs
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.environ.clear()
    os.environ.update(environment)
    _idle.set()
    threading.Thread(target=_end_with_batch, name="end with batch", daemon=True).start()


def _end_with_batch() -> None:
    """End this process if the batch was killed; its job may end first."""
    batch = multiprocessing.parent_process()
    assert batch is not None
    batch.join()
    _idle.wait()
    os._exit(1)


def _work(job: Job) -> JobResult:
    from runbook_lib.execute.batch.work import work

    assert _connection is not None
    _idle.clear()
    try:
        return work(job, _connection)
    finally:
        _idle.set()
