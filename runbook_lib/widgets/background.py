"""Work beside the cells: one thing after the other, stopped by a kernel's interrupt, never in the way of its end.

A kernel's interrupt (■ in JupyterLab) also stops what panels do beside the cells.

While a cell runs, the interrupt ends the cell, and what runs beside it. While none does, ipykernel ignores SIGINT;
here it is listened to instead. ipykernel puts back, after each request, the handler that it found before: what is set
between two requests stays.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol
from weakref import WeakSet

from IPython.core.interactiveshell import InteractiveShell

Job = Callable[[], object]


class Serial:
    """Does jobs one after the other. Of the jobs with one key that are still waiting only the last is done."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[Hashable, Job] = {}
        self._condition = threading.Condition()
        self._running = False

    def put(self, key: Hashable, job: Job) -> None:
        """Do the job after those that wait already; it takes the place of a waiting one with the same key."""
        with self._condition:
            self._waiting.pop(key, None)
            self._waiting[key] = job
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def forget(self) -> None:
        """Drop what is waiting; a job that has begun goes on to its end."""
        with self._condition:
            self._waiting.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do. Returns whether that is so; after ``timeout`` seconds it may not be."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._running, timeout)

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
        except BaseException:
            # A defect: the thread ends with its traceback, and what waits must not wait for ever.
            with self._condition:
                self._waiting.clear()
                self._stopped()
            raise

    def _next(self) -> Job | None:
        with self._condition:
            if not self._waiting:
                self._stopped()
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def _stopped(self) -> None:
        self._running = False
        self._condition.notify_all()


_SHARED: dict[Hashable, Serial] = {}
_SHARED_LOCK = threading.Lock()


def shared(*key: Any) -> Serial:
    """The one ``Serial`` of this kernel for a key, so that two panels over one container cannot get into a race."""
    with _SHARED_LOCK:
        return _SHARED.setdefault(key, Serial(" ".join(map(str, key))))


class Stoppable(Protocol):
    """What can be stopped from any thread, at once and without waiting."""

    def stop(self) -> None:
        """Begin no more work."""


_RUNNING: WeakSet[Any] = WeakSet()
_LISTENING: WeakSet[InteractiveShell] = WeakSet()


def stop_on_interrupt(thing: Stoppable) -> None:
    """Have ``stop`` called on every interrupt from now on. Called from a cell; elsewhere there is no kernel."""
    _RUNNING.add(thing)
    if not InteractiveShell.initialized():
        return
    shell = InteractiveShell.instance()
    if shell in _LISTENING or threading.current_thread() is not threading.main_thread():
        return
    _LISTENING.add(shell)
    shell.events.register("post_run_cell", _after_cell)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a plain shell, in which SIGINT is the reader's Ctrl-C
        return
    loop.call_soon(_listen)


def stop_all() -> None:
    """Stop everything that runs beside the cells."""
    for thing in tuple(_RUNNING):
        thing.stop()


def _listen() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: stop_all())


def _after_cell(result: Any) -> None:
    if isinstance(result.error_in_exec, KeyboardInterrupt):
        stop_all()
