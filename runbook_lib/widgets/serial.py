"""Work beside the cells: one thing after the other, in a thread that never keeps the kernel from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

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
