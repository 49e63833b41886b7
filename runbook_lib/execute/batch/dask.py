"""Workers of a Dask cluster. Each job runs in a child process, because a worker's tasks are threads of one process.

Batch and jobs communicate through the scheduler. A topic carries progress messages. A variable carries the batch's
requests: a heartbeat counter, and how often and by which signal it cancelled the jobs. One event per job prevents
that Dask, which repeats the tasks of a lost worker, runs a notebook twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from runbook_lib.errors import InputError, RunbookError
from runbook_lib.execute.batch.jobs import Cancel, Job, JobResult, Progress, failed, not_run
from runbook_lib.model.locations import import_path

try:
    from distributed import Client, Event, Variable, get_client, get_worker
except ModuleNotFoundError as error:
    raise InputError(
        f"a Dask scheduler needs the package {error.name}, which is not installed",
        place="--scheduler",
        remedy="in the checkout: pip install '.[dask]' (the environment that ./runbook makes has it)",
    ) from error

_CONNECT_SECONDS = 10
_BEAT_SECONDS = 2.0
#: After this time without a heartbeat the batch counts as dead, and its jobs end.
_SILENCE_SECONDS = 60.0
_POLL_SECONDS = 0.25
_CHILD = "runbook_lib.execute.batch.child"


class DaskWorkers:
    """Runs every job on a worker of a Dask cluster, which needs the same files at the same paths. A context manager.

    Args:
        address: the scheduler's address, such as ``tcp://10.0.0.1:8786``.

    Raises:
        InputError: no scheduler answers at this address, or it has no worker.
    """

    def __init__(self, address: str) -> None:
        self._client = _connected(address)
        self._address = address
        self._executor = self._client.get_executor(pure=False, retries=0)
        self._batch = f"overlay-runbook-{uuid.uuid4().hex}"
        self._cancel_request = Variable(self._batch, client=self._client)
        self._progress: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._futures: dict[int, Future[JobResult]] = {}
        self._count = self._times = self._signal = 0
        self._beaten_at = -_BEAT_SECONDS

    def __enter__(self) -> Self:
        self._client.subscribe_topic(self._batch, lambda event: self._progress.put(Progress(**event[1]["progress"])))
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The scheduler keeps the variable until it is deleted. If the scheduler has ended, it is lost anyway.
        with contextlib.suppress(OSError, TimeoutError):
            if error is not None:
                self.cancel(signal.SIGTERM)
            else:
                self._cancel_request.delete()
                for number in self._futures:
                    _begun(self._batch, number, self._client).clear()
        self._client.close()

    @property
    def limit(self) -> int:
        """As many jobs at once as the workers have threads."""
        return max(1, sum(int(worker["nthreads"]) for worker in self._workers().values()))

    def submit(self, job: Job) -> Future[JobResult]:
        """Submit a job to the Dask cluster."""
        future: Future[JobResult] = self._executor.submit(supervise, job, self._batch)
        self._futures[job.number] = future
        return future

    def progress(self, timeout: float) -> Sequence[Progress]:
        """The progress messages since the last call; waits up to ``timeout`` seconds for the first one."""
        messages = []
        try:
            messages.append(self._progress.get(timeout=timeout) if timeout else self._progress.get_nowait())
            while True:
                messages.append(self._progress.get_nowait())
        except queue.Empty:
            return messages

    def refresh(self) -> None:
        """Send a heartbeat to the jobs.

        Raises:
            RunbookError: the scheduler does not answer any more, or has no worker left.
        """
        if time.monotonic() - self._beaten_at < _BEAT_SECONDS:
            return
        try:
            self._say()
            workers = self._workers()
        except (OSError, TimeoutError) as error:
            raise RunbookError(
                f"the Dask scheduler does not answer any more ({error})",
                place=f"--scheduler {self._address}",
                remedy="the jobs end by themselves: wait a minute, check their records, and run the batch again",
            ) from error
        if not workers:
            raise RunbookError(
                "the Dask scheduler has no worker left",
                place=f"--scheduler {self._address}",
                remedy="start workers, check the records, and run the batch again",
            )

    def cancel(self, number: signal.Signals) -> None:
        """Cancel all jobs; the second call kills their kernels, and does not wait for a free worker any more."""
        self._times += 1
        self._signal = int(number)
        self._say()
        if self._times > 1:
            # No job starts after the first call, so a job without its event does not run.
            for place, future in self._futures.items():
                if not future.done() and not _begun(self._batch, place, self._client).is_set():
                    future.cancel()

    def _say(self) -> None:
        self._count += 1
        self._cancel_request.set([self._count, self._times, self._signal], timeout=_CONNECT_SECONDS)
        self._beaten_at = time.monotonic()

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])


def _connected(address: str) -> Client:
    # Dask's log (lost connections, version differences) is hidden: failures that matter raise an error.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at this address ({error})",
            place=f"--scheduler {address}",
            remedy="give the address that 'dask scheduler' prints, such as tcp://10.0.0.1:8786",
        ) from error
    if not client.scheduler_info(n_workers=-1)["workers"]:
        client.close()
        raise InputError(
            "the Dask scheduler has no worker",
            place=f"--scheduler {address}",
            remedy=f"start some, with this project and these files at the same paths: dask worker {address}",
        )
    return client


def supervise(job: Job, batch: str) -> JobResult:
    """A task on a Dask worker: run the job in a child process, and forward its progress and the batch's requests."""
    started = time.monotonic()
    client, worker = get_client(), get_worker()
    begun = _begun(batch, job.number, client)
    if begun.is_set():
        lost = "the Dask worker that ran this cluster was lost"
        return failed(job, RunbookError(lost, remedy="its record shows how far it came; run it again"))
    requests = _BatchRequests(Variable(batch, client=client))
    if list(requests.pending()):
        return not_run(job)
    begun.set()
    with _child() as (process, connection):
        connection.send(job)
        while process.poll() is None or connection.poll():
            message = _received(connection)
            if isinstance(message, Progress):
                worker.log_event(batch, {"progress": asdict(message)})
            elif isinstance(message, JobResult):
                return message
            for request in requests.pending():
                connection.send(request)
    killed = RunbookError(
        f"the process that ran this cluster ended with exit status {process.returncode}",
        remedy="its record shows how far it came, and the Dask worker's log may show why",
    )
    return failed(job, killed, time.monotonic() - started)


class _BatchRequests:
    """Polls the batch's requests at a limited rate."""

    def __init__(self, variable: Variable) -> None:
        self._variable = variable
        self._asked = 0.0
        self._heard = time.monotonic()
        self._count = self._times = 0

    def pending(self) -> Iterator[Cancel]:
        """The cancellations that must be forwarded to the job now."""
        now = time.monotonic()
        if now - self._asked < _POLL_SECONDS:
            return
        self._asked = now
        count, times, number = self._count, self._times, int(signal.SIGTERM)
        with contextlib.suppress(OSError, TimeoutError):
            # No answer counts as a missing heartbeat.
            count, times, number = self._variable.get(timeout=_CONNECT_SECONDS)
        if count != self._count:
            self._count, self._heard = count, time.monotonic()
        elif not self._times and time.monotonic() - self._heard > _SILENCE_SECONDS:
            times, number = 1, int(signal.SIGTERM)
        for _ in range(self._times, times):
            yield Cancel(signal.Signals(number))
        self._times = max(self._times, times)


def _begun(batch: str, number: int, client: Client) -> Event:
    return Event(f"{batch}-{number}", client=client)


def _received(connection: Connection) -> object:
    """The job's next message; ``None`` if none arrives within a moment, or if the job has died."""
    try:
        return connection.recv() if connection.poll(_POLL_SECONDS) else None
    except (EOFError, OSError):
        time.sleep(_POLL_SECONDS)
        return None


@contextmanager
def _child() -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    """A process that runs a job, and the connection to it. It ends when the connection is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _CHILD, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": import_path()},
            start_new_session=True,
        )
    try:
        with Connection(ours.detach()) as connection:
            yield process, connection
    finally:
        process.wait()
