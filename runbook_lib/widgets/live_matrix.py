"""The ping matrix, updated until it is stopped."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

from runbook_lib.errors import RunbookError
from runbook_lib.session import Session
from runbook_lib.session.questions.pings import Pings, ping
from runbook_lib.widgets.connection_facts import reach_matrix, read_connections
from runbook_lib.widgets.panel import Panel, Part

_PAUSE = 1.0


class LiveMatrix(Panel):
    """Which pairs reach each other now. ``start`` updates it in the background, ``stop`` ends that."""

    css = "runbook-live-matrix"

    def __init__(self, run: Session) -> None:
        super().__init__(run)
        self.pings = Pings(())
        self.readings = 0
        self._last_known: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._read()
        run.kept.keep("live matrix", self.pings.details)

    def parts(self) -> tuple[Part, ...]:
        """The heat map, and the same as text."""
        if not self.pings.probes:
            return (reach_matrix(()),)
        return (self.pings.picture(), reach_matrix(self.pings.probes))

    @property
    def running(self) -> bool:
        """Whether it is reading."""
        return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Read repeatedly in the background; does nothing if it is running."""
        with self._lock:
            if self.running:
                return
            before, self._stopping = self._thread, threading.Event()
            self._thread = threading.Thread(
                target=self._go_on, args=(self._stopping, before), name="live matrix", daemon=True
            )
            self._thread.start()
        self.refresh()

    def stop(self) -> None:
        """Stop reading; the current reading is the last."""
        self._stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def build(self) -> Any:
        """Start, stop and the matrix."""
        from runbook_lib.widgets.controls import MatrixControls

        self._view = MatrixControls(self)
        return self._view.box

    def draw(self) -> None:
        """Update the controls."""
        self._view.draw()

    def _go_on(self, stopping: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        try:
            # The name in the lock: another user sees who reads the cluster, and what to stop.
            with self.run.claim.held("its live matrix, until somebody stops it"):
                while not stopping.is_set():
                    began = time.monotonic()
                    self._read()
                    self.say(f"reading {self.readings}, at {datetime.now():%H:%M:%S}")
                    stopping.wait(max(0.2, _PAUSE - (time.monotonic() - began)))
        except RunbookError as error:
            stopping.set()
            self.say(f"stopped after {self.readings} readings: {self.error_text(error)}")
        else:
            self.say(f"stopped after {self.readings} readings, the last at {datetime.now():%H:%M:%S}")

    def _read(self) -> None:
        """One reading. In plan mode, and before there are containers, it may have no pair."""
        parameters = self.run.parameters
        nodes = self.cluster if self.shown else self.run.cluster
        overlay = parameters.overlay.name
        rows = [row for row in read_connections(nodes, parameters).rows if row.network == overlay]
        self._last_known |= {row.container: row.address for row in rows if row.address}
        off = [row.container for row in rows if not row.connected]
        names = {row.container for row in rows}
        if not {item.name for item in parameters.containers} <= names:
            self.pings, self.message = Pings(()), "no containers yet: notebook 04_run_containers makes them"
            return
        quick = parameters.probes.model_copy(update={"count": 2, "timeout_seconds": 0.5})
        wanted = parameters.model_copy(update={"probes": quick})
        with self.run.claim.held():
            self.pings = ping(nodes, wanted, by="both", expect_unreachable=off, last_known=self._last_known)
        self.readings += 1
