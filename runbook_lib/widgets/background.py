"""Background work of panels, in order, which a kernel's interrupt (■ in JupyterLab) stops.

While a cell runs, the interrupt ends the cell and the background work. Between cells ipykernel ignores SIGINT; here it
is handled. After each request ipykernel restores the handler that it found before, so a handler that is set between
two requests stays.
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
    """Runs jobs in order. Of several waiting jobs with the same key only the last one runs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[Hashable, Job] = {}
        self._condition = threading.Condition()
        self._running = False

    def put(self, key: Hashable, job: Job) -> None:
        """Queue the job; it replaces a waiting one with the same key."""
        with self._condition:
            self._waiting.pop(key, None)
            self._waiting[key] = job
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def forget(self) -> None:
        """Drop waiting jobs; a running one continues to its end."""
        with self._condition:
            self._waiting.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all jobs are done, at most ``timeout`` seconds. Returns whether they are."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._running, timeout)

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
        except BaseException:
            # A bug: the thread ends with its traceback, and waiting callers must be released.
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
    """This kernel's only ``Serial`` for a key, so that two panels on one container do not race."""
    with _SHARED_LOCK:
        return _SHARED.setdefault(key, Serial(" ".join(map(str, key))))


class Stoppable(Protocol):
    """An object that any thread can stop, without waiting."""

    def stop(self) -> None:
        """Start no more work."""


_RUNNING: WeakSet[Any] = WeakSet()
_LISTENING: WeakSet[InteractiveShell] = WeakSet()


def stop_on_interrupt(thing: Stoppable) -> None:
    """Call ``stop`` on every interrupt from now on. Must be called from a cell."""
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
    """Stop all background work."""
    for thing in tuple(_RUNNING):
        thing.stop()


def _listen() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: stop_all())


def _after_cell(result: Any) -> None:
    if isinstance(result.error_in_exec, KeyboardInterrupt):
        stop_all()
