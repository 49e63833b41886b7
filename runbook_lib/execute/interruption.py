"""Turns Ctrl-C, SIGTERM and SIGHUP into an interrupt of the running cell, so that its ``finally`` runs.

A process that died of the signal would leave the kernel in the middle of a change, and the record in the state
"running". The first signal interrupts the cell. A second one, or the end of the grace period, kills the kernel.
Clean-up cells, which always run at the end, are not interrupted by the first signal; the second one ends them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from runbook_lib.errors import InterruptedRun

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How long a cell's ``finally`` may take after an interruption or a timeout, in seconds.
GRACE_SECONDS = 60.0

# One Ctrl-C may arrive twice, from the terminal and from a parent process that forwards it.
_SAME_SIGNAL_SECONDS = 0.5


class EndSignals:
    """Counts Ctrl-C, SIGTERM and SIGHUP; a signal that is delivered twice counts once.

    Args:
        heard: called from the signal handler with the signal and the number of signals so far.
        clock: the time in seconds, to recognise a signal that is delivered twice.
    """

    def __init__(
        self, heard: Callable[[signal.Signals, int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._heard = heard
        self._clock = clock
        self._heard_at = 0.0
        self.times = 0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal, as ``signal.signal`` wants it."""
        now = self._clock()
        if not self.times or now - self._heard_at > _SAME_SIGNAL_SECONDS:
            self.times, self._heard_at = self.times + 1, now
            self._heard(signal.Signals(number), self.times)


def install(handler: Callable[[int, FrameType | None], None], numbers: Iterable[int] = SIGNALS) -> dict[int, Any]:
    """Handle signals from now on; ignored ones stay ignored, such as SIGHUP under nohup.

    Returns:
        The previous handler of each.
    """
    unignored = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in unignored}


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None], numbers: Iterable[int] = SIGNALS) -> Iterator[None]:
    """Handle signals within the block, as ``install`` does."""
    before = install(handler, numbers)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


@contextmanager
def signals_unwind(numbers: Iterable[int] = SIGNALS) -> Iterator[None]:
    """Raise ``InterruptedRun`` for a signal within the block, so that resources are closed."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise InterruptedRun(f"interrupted by {signal.Signals(number).name}")

    with handled(end, numbers):
        yield


class Interruption:
    """The signals received so far, and the kernel to interrupt.

    Args:
        grace_seconds: how long an interrupted cell may go on before its kernel is killed.
        notify: called with a line for the user from the signal handler: it must not lock or buffer.
        clock: the time in seconds, to recognise a signal that is delivered twice.
    """

    def __init__(
        self,
        grace_seconds: float = GRACE_SECONDS,
        notify: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._signals = EndSignals(self._heard, clock)
        self.received: signal.Signals | None = None
        self._notify = notify or (lambda line: None)
        self._kernel: int | None = None
        self._cell_runs = False
        self._cleaning_up = False
        #: Whether the last cell was interrupted by a signal.
        self.interrupted_cell = False
        #: Whether a second signal has ended the clean-up too.
        self.force_killed = False
        self._deadline: threading.Timer | None = None
        self._depth = 0

    @contextmanager
    def installed(self) -> Iterator[Interruption]:
        """Handle the signals within the block; in the main thread only."""
        if self._depth or threading.current_thread() is not threading.main_thread():
            yield self
            return
        with handled(self._signals.handle):
            self._depth = 1
            try:
                yield self
            finally:
                self._depth = 0
                self.cell_ended()

    def watch(self, kernel: int | None) -> None:
        """Set the kernel (its process id) that signals are forwarded to; ``None`` for no kernel."""
        self._kernel = kernel

    def cell_sent(self) -> None:
        """A cell was sent to the kernel."""
        self.interrupted_cell = False

    def cell_runs(self) -> None:
        """The kernel has started a cell; a signal received since it was sent is forwarded now."""
        self._cell_runs = True
        if self.received is not None and not self._cleaning_up:
            self._tell_kernel()

    def clean_up(self) -> None:
        """The clean-up cells start."""
        self._cleaning_up = True

    def reset(self) -> None:
        """The notebook has ended, its clean-up included."""
        self._cleaning_up = self.interrupted_cell = self.force_killed = False

    def cell_ended(self) -> None:
        """The cell has ended."""
        self._cell_runs = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def interrupt_kernel(self) -> None:
        """Send SIGINT only to the kernel: its ``finally`` may need the programs that it started."""
        self._send(signal.SIGINT)

    def raise_if_received(self) -> None:
        """End the notebook between two cells, except clean-up cells. Raises ``InterruptedRun``."""
        if self.received is not None and (self.force_killed or not self._cleaning_up):
            raise InterruptedRun(f"interrupted by {self.received.name}")

    def _heard(self, number: signal.Signals, times: int) -> None:
        if times == 1:
            self.received = number
            what = "the clean-up cells continue" if self._cleaning_up else "the running cell may clean up"
            self._notify(f"{self.received.name}: {what}; a second signal ends it at once")
            if self._cell_runs and not self._cleaning_up:
                self._tell_kernel()
        else:
            self.interrupted_cell, self.force_killed = self._cell_runs, self._cleaning_up
            self._notify("second signal: the kernel is killed")
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
