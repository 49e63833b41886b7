"""The kernel of executed notebooks: IPython's own, with flow control for its output.

Runs in the kernel's process: ``python -m runbook_lib.execute.kernel.ipykernel_app -f CONNECTION_FILE``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__" and Path(sys.path[0] or ".").resolve() == Path.cwd():
    # As in ipykernel's own launcher: files beside the notebook must not shadow libraries while these load.
    del sys.path[0]

from ipykernel.iostream import OutStream
from ipykernel.kernelapp import IPKernelApp
from traitlets import DottedObjectName

from runbook_lib.execute.kernel.pacing import PACE_VARIABLE, PIECE, WINDOW, units
from runbook_lib.waiting import wait_until

# A reader without acknowledgements for this time does not read at all: then losing output is better than blocking.
_PATIENCE_SECONDS = 60.0

# How long a cell may clean up after the runner has died.
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Pace:
    """Counts the output that the runner has not read yet, and detects the end of the runner.

    Args:
        path: the pipe of acknowledgements; the runner keeps it open for writing while it lives.
        orphaned: called in a separate thread when the runner has ended.
    """

    def __init__(self, path: Path, orphaned: Callable[[], None]) -> None:
        self._orphaned = orphaned
        self._unpaced = False
        self._unread = 0
        self._changed = threading.Condition()
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(self._pipe, True)
        threading.Thread(target=self._follow, name="pace", daemon=True).start()

    def sent(self, text: str) -> None:
        """An output message was sent."""
        with self._changed:
            self._unread += units(text)

    def wait(self) -> None:
        """Wait while too much output is unread. May be interrupted."""
        with self._changed:
            while self._unread > WINDOW and not self._unpaced:
                if not self._changed.wait(_PATIENCE_SECONDS):
                    self._unread = 0

    def _follow(self) -> None:
        while acknowledged := os.read(self._pipe, WINDOW):
            with self._changed:
                self._unread = max(0, self._unread - len(acknowledged))
                self._changed.notify_all()
        with self._changed:
            self._unpaced = True
            self._changed.notify_all()
        self._orphaned()


class PacedOutput(OutStream):
    """Standard output or error of the kernel: sent in pieces, not faster than it is read."""

    pace: Pace | None = None
    _unsent = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[no-untyped-call]  # as all of ipykernel
        # A stream's hooks are those of the thread that sends; a forked process, which sends by itself, has none.
        self.pub_thread.schedule(partial(self.register_hook, self._send_in_pieces))

    def write(self, string: str) -> int:
        """Write text; waits while too much is unread."""
        length = len(string)
        if not string.isascii():
            # Jupyter cannot send half of a character, and would lose everything that was written with it.
            string = string.encode("utf-8", "backslashreplace").decode()
        if self.pace is None or len(string) < PIECE:
            self._write(string)
        else:
            for start in range(0, len(string), PIECE):
                self._write(string[start : start + PIECE])
        return length

    def _write(self, string: str) -> None:
        super().write(string)
        self._unsent += len(string)
        if self._unsent >= PIECE and self.pace is not None:
            self.flush()

    def flush(self) -> None:
        """Send the written text; waits while too much is unread."""
        self._unsent = 0
        super().flush()  # type: ignore[no-untyped-call]
        if self.pace is not None and threading.current_thread() is not self.pub_thread.thread:
            self.pace.wait()

    def _send_in_pieces(self, message: dict[str, Any]) -> dict[str, Any]:
        """Count a message that is about to be sent; of a long one all is sent but its last piece, which is returned."""
        content = message["content"]
        text = content["text"]
        places = range(0, len(text), PIECE)
        for start in places:
            piece = {**content, "text": text[start : start + PIECE]}
            if self.pace is not None:
                self.pace.sent(piece["text"])
            if start == places[-1]:
                return {**message, "content": piece}
            part = self.session.msg("stream", piece, parent=message["parent_header"])
            self.session.send(self.pub_thread, part, ident=self.topic)
        return message


class RunbookKernelApp(IPKernelApp):
    """IPython's kernel application, which ends with its runner."""

    outstream_class = DottedObjectName("runbook_lib.execute.kernel.ipykernel_app.PacedOutput")

    def init_poller(self) -> None:
        """Watch the runner.

        IPython would poll its parent's process id each second. That fails if another process than 1 adopts orphans and
        the runner ended before the first poll; and it ends without running any ``finally``.
        """
        path = os.environ.get(PACE_VARIABLE)
        if path is None:
            super().init_poller()  # type: ignore[no-untyped-call]
        else:
            PacedOutput.pace = Pace(Path(path), partial(self._end_orphaned, Path(path).parent))

    def _end_orphaned(self, folder: Path) -> None:
        """Interrupt the running cell, and end after its clean-up, or after the grace period."""
        if getattr(self, "kernel", None) is not None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            # IPython ignores this signal unless a cell runs.
            wait_until(lambda: signal.getsignal(signal.SIGINT) is signal.SIG_IGN, _GRACE_SECONDS, pause=_POLL_SECONDS)
        # A kernel that is still starting would continue to create files in it.
        gone = folder.with_name(f"{folder.name}.gone")
        with contextlib.suppress(OSError):
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    # By its full name, under which IPython looks up the output's class.
    from runbook_lib.execute.kernel import ipykernel_app

    ipykernel_app.RunbookKernelApp.launch_instance()
