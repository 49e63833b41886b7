"""Reads what a kernel tells beside its notebook (``runbook_lib.journal``) while the notebook runs."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from runbook_lib.journal import Entry, decode

_CHUNK = 1 << 16


class JournalReader:
    """Reads one kernel's pipe in a thread of its own, so that the kernel never waits for a full pipe.

    Args:
        path: the named pipe; it exists already.
        take: called with every entry, in the reader's thread. What it raises is kept and raised by ``close``.
        malformed: called with a line that is no entry (a cell may have written into the pipe itself).
    """

    def __init__(self, path: Path, take: Callable[[Entry], None], malformed: Callable[[str], None]) -> None:
        self._take = take
        self._malformed = malformed
        self._error: BaseException | None = None
        # Open for writing too: the pipe then has no end while kernels come and go.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read what is still in the pipe, and end. Raises what ``take`` raised."""
        os.write(self._waker, b".")
        self._thread.join()
        for file in (self._pipe, self._wake, self._waker):
            os.close(file)
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._pipe, self._wake], [], [])
            chunk = b""
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._pipe, _CHUNK)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._pass_on(line.decode(errors="replace"))
            if self._wake in ready and not chunk:
                if rest:
                    self._pass_on(rest.decode(errors="replace"))
                return

    def _pass_on(self, line: str) -> None:
        """Pass a line on; after an error the pipe is still emptied, so that the kernel can go on."""
        if self._error is not None:
            return
        try:
            try:
                entry = decode(line)
            except ValueError:
                self._malformed(line)
            else:
                self._take(entry)
        except BaseException as error:  # noqa: BLE001 - raised by close(), in the thread that can act on it
            self._error = error
