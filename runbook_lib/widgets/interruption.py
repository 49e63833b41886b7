"""A kernel's interrupt (■ in JupyterLab) also stops what panels do beside the cells.

While a cell runs, the interrupt ends the cell, and what runs beside it. While none does, ipykernel ignores SIGINT;
here it is listened to instead. ipykernel puts back, after each request, the handler that it found before: what is set
between two requests stays.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any, Protocol
from weakref import WeakSet

from IPython.core.interactiveshell import InteractiveShell


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
