"""Turns Ctrl-C, SIGTERM and SIGHUP into an interrupt of the running cell, so that its ``finally`` runs.

A process that just died of the signal would leave the kernel in the middle of a change and its record saying
"running". The first signal interrupts the cell. A second one, or the end of the grace period, kills the kernel.
The cells that run at the end whatever happened are no cells to be interrupted: the first signal leaves them alone, the
second one ends them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from runbook_lib.errors import InterruptedRun

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How long a cell's ``finally`` may take after an interruption or a timeout, in seconds.
GRACE_SECONDS = 60.0

# One Ctrl-C may arrive twice, from the terminal and from a parent that passes it on.
_SAME_SIGNAL_SECONDS = 0.5


class Interruption:
    """What has been received so far, and the kernel that is to be told.

    Args:
        grace_seconds: how long an interrupted cell may go on before its kernel is killed.
        notify: called with a line for the user, from within a signal handler: it must not lock or buffer.
        clock: tells the seconds by which a signal is told from an echo of the one before.
    """

    def __init__(
        self,
        grace_seconds: float = GRACE_SECONDS,
        notify: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._clock = clock
        self.received: signal.Signals | None = None
        self._notify = notify or (lambda line: None)
        self._received_at = 0.0
        self._kernel: int | None = None
        self._cell_runs = False
        self._cleaning_up = False
        #: Whether the cell that was sent last was interrupted by a signal.
        self.interrupted_cell = False
        #: Whether the user wants no clean-up either.
        self.force_killed = False
        self._deadline: threading.Timer | None = None
        self._depth = 0

    @contextmanager
    def installed(self) -> Iterator[Interruption]:
        """Handle the signals within the block (in the main thread; elsewhere signals are not ours to handle)."""
        if self._depth or threading.current_thread() is not threading.main_thread():
            yield self
            return
        # A program started with nohup ignores SIGHUP, and should go on ignoring it.
        handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in handled}
        self._depth = 1
        try:
            yield self
        finally:
            self._depth = 0
            self.cell_ended()
            for number, handler in before.items():
                signal.signal(number, handler)

    def watch(self, kernel: int | None) -> None:
        """The kernel (its process id) that signals are for from now on; ``None``: there is none."""
        self._kernel = kernel

    def cell_sent(self) -> None:
        """A cell is on its way to the kernel."""
        self.interrupted_cell = False

    def cell_runs(self) -> None:
        """The kernel has begun a cell; a signal that came while it was on its way reaches it now."""
        self._cell_runs = True
        if self.received is not None and not self._cleaning_up:
            self._tell_kernel()

    def clean_up(self) -> None:
        """From now on the cells run that run whatever happened."""
        self._cleaning_up = True

    def reset(self) -> None:
        """The notebook has ended, its clean-up included."""
        self._cleaning_up = self.interrupted_cell = self.force_killed = False

    def cell_ended(self) -> None:
        """The kernel does not run a cell any more."""
        self._cell_runs = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def interrupt_kernel(self) -> None:
        """Send SIGINT to the kernel alone: programs that it started stay, for its ``finally`` may need them."""
        self._send(signal.SIGINT)

    def raise_if_received(self) -> None:
        """End the notebook between two cells, unless these clean up. Raises ``InterruptedRun``."""
        if self.received is not None and (self.force_killed or not self._cleaning_up):
            raise InterruptedRun(f"interrupted by {self.received.name}")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = self._clock()
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), now
            what = "the cells that clean up go on" if self._cleaning_up else "the running cell may clean up"
            self._notify(f"{self.received.name}: {what}; once more ends it at once")
            if self._cell_runs and not self._cleaning_up:
                self._tell_kernel()
        elif now - self._received_at > _SAME_SIGNAL_SECONDS:
            self._received_at = now
            self.interrupted_cell, self.force_killed = self._cell_runs, self._cleaning_up
            self._notify("again: the kernel is killed")
            self._send(signal.SIGKILL)

    def _tell_kernel(self) -> None:
        if not self.interrupted_cell:
            self.interrupted_cell = True
            self.interrupt_kernel()
            self._deadline = threading.Timer(self.grace_seconds, self._send, [signal.SIGKILL])
            self._deadline.daemon = True
            self._deadline.start()

    def _send(self, number: signal.Signals) -> None:
        if self._kernel is not None:
            try:
                os.kill(self._kernel, number)
            except ProcessLookupError:
                self._kernel = None
