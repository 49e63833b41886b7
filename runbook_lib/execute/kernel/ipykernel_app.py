"""The kernel that notebooks are executed in: IPython's own, with output that waits for its reader.

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
    # As ipykernel's own launcher does: files beside the notebook must not shadow libraries while these load.
    del sys.path[0]

from ipykernel.iostream import OutStream
from ipykernel.kernelapp import IPKernelApp
from traitlets import DottedObjectName

from runbook_lib.execute.kernel.pacing import PACE_VARIABLE, PIECE, WINDOW, units
from runbook_lib.waiting import wait_until

# A reader that acknowledges nothing for so long does not read at all: better to lose output than to stand still.
_PATIENCE_SECONDS = 60.0

# How long a cell may clean up when the runner is gone.
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Pace:
    """Counts the output that the runner has not read yet, and notices when the runner is gone.

    Args:
        path: the pipe of acknowledgements; the runner has it open for writing as long as it lives.
        orphaned: called, in a thread of its own, when the runner is gone.
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
        """A message of output is on its way."""
        with self._changed:
            self._unread += units(text)

    def wait(self) -> None:
        """Wait while too much is unread. May be interrupted."""
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
    """Standard output or error of the kernel: sent in pieces, and not faster than it is read."""

    pace: Pace | None = None
    _unsent = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[no-untyped-call]  # as all of ipykernel
        # A stream's hooks are those of the thread that sends; a forked process, which sends by itself, has none.
        self.pub_thread.schedule(partial(self.register_hook, self._send_in_pieces))

    def write(self, string: str) -> int:
        """Take text to be shown; waits if much is unread."""
        length = len(string)
        if not string.isascii():
            # Jupyter could not send half of a character, and would lose all that was written with it.
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
        """Send what was written; waits if much is unread."""
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

        IPython would ask each second for its parent's process id. That finds nothing where somebody else than process
        1 adopts orphans and the runner was gone before the first question; and it ends without any ``finally``.
        """
        path = os.environ.get(PACE_VARIABLE)
        if path is None:
            super().init_poller()  # type: ignore[no-untyped-call]
        else:
            PacedOutput.pace = Pace(Path(path), partial(self._end_orphaned, Path(path).parent))

    def _end_orphaned(self, folder: Path) -> None:
        """Interrupt the running cell, and end when it has cleaned up, or after the grace period."""
        if getattr(self, "kernel", None) is not None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            # IPython ignores this signal unless a cell runs.
            wait_until(lambda: signal.getsignal(signal.SIGINT) is signal.SIG_IGN, _GRACE_SECONDS, pause=_POLL_SECONDS)
        # A kernel that is still starting would go on putting things into it.
        gone = folder.with_name(f"{folder.name}.gone")
        with contextlib.suppress(OSError):
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    # By its proper name, for IPython looks for the output's class under that one.
    from runbook_lib.execute.kernel import ipykernel_app

    ipykernel_app.RunbookKernelApp.launch_instance()
