"""Every container's connections as toggles; the picture and the ping matrix follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from weakref import WeakSet

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, LockedError, PreconditionError, RunbookError, StepFailed
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.parameters import Probes
from runbook_lib.session import Session
from runbook_lib.session.questions.pings import ping
from runbook_lib.session.views.display import Picture, step_line
from runbook_lib.session.views.pictures import picture
from runbook_lib.steps import require_success, run_step
from runbook_lib.steps.connections import Connect, Disconnect
from runbook_lib.widgets.background import Serial, shared
from runbook_lib.widgets.connection_facts import Connection, Connections, reach_matrix, read_connections
from runbook_lib.widgets.panel import Panel, Part

# One echo request each: the result must be visible within a second. live_matrix shows the round-trip times.
_QUICK = Probes(count=1, timeout_seconds=0.4)
_FOLLOW_SECONDS = 10.0
_FOLLOW_PAUSE = 0.5
# The holder's name in the cluster's lock.
_PART = "its toggles"

_PANELS: WeakSet[ConnectionPanel] = WeakSet()


class ConnectionPanel(Panel):
    """Toggles for one cluster: ``switch`` disconnects or connects, and reads the result again."""

    css = "runbook-connections"

    def __init__(self, run: Session) -> None:
        super().__init__(run)
        self.connections = Connections()
        self.matrix = reach_matrix(())
        self.picture: Picture | str = ""
        self._under_way: dict[tuple[str, str], bool] = {}
        self._last_known: dict[str, str] = {}
        self._switches: dict[str, Serial] = {}
        self._looks, self._draws, self._pings = Serial("look"), Serial("picture"), Serial("matrix")
        self._stopped_at = 0.0
        self._read()
        self._draw_picture()
        self._ping()
        run.kept.keep("connections", self.connections.table)
        run.kept.keep("connections reach", self.matrix)
        _PANELS.add(self)

    def parts(self) -> tuple[Part, ...]:
        """Connections, the picture, and which pairs reach each other."""
        rows = self.connections.table.drop(columns=["driver"])
        return (rows, self.picture, self.matrix, *self.connections.silent)

    def target(self, row: Connection) -> bool:
        """Whether it is connected, or will be after pending switches."""
        return self._under_way.get((row.container, row.network), row.connected)

    def busy(self, row: Connection) -> bool:
        """Whether it is being switched."""
        return (row.container, row.network) in self._under_way

    def switch(self, container: str, network: str, connected: bool) -> None:
        """Connect or disconnect; returns at once, ``wait`` waits.

        One container's switches are done in order. Of several waiting switches of one connection only the last one is
        done.

        Raises:
            InputError: the panel has no such connection.
        """
        if not any((row.container, row.network) == (container, network) for row in self.connections.rows):
            known = ", ".join(row.name for row in self.connections.rows) or "none"
            raise InputError(f"there is no connection {container} on {network}", remedy=f"there are: {known}")
        asked = time.monotonic()
        with self._lock:
            self._under_way[container, network] = connected
            queue = self._switches.setdefault(container, shared(self._where, container))
        queue.put((id(self), network), lambda: self._switch(container, network, connected, asked))
        self.refresh()

    def look(self) -> None:
        """Read everything again, in the background."""
        self._looks.put("look", self._look)

    def stop(self) -> None:
        """Drop switches that have not started, and stop updating."""
        self._stopped_at = time.monotonic()
        under_way = bool(self._under_way)
        for queue in (*self._switches.values(), self._looks, self._draws, self._pings):
            queue.forget()
        self._under_way.clear()
        if under_way:
            self.message = "stopped"
            self.look()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all switches are done, and picture and matrix are updated."""
        deadline = None if timeout is None else time.monotonic() + timeout
        queues = (*self._switches.values(), self._looks, self._draws, self._pings)
        return all(queue.wait(None if deadline is None else max(0.0, deadline - time.monotonic())) for queue in queues)

    def build(self) -> Any:
        """Toggles, picture and matrix."""
        from runbook_lib.widgets.controls import ConnectionControls

        self._view = ConnectionControls(self)
        return self._view.box

    def draw(self) -> None:
        """Update the controls."""
        self._view.draw()

    @property
    def _where(self) -> str:
        return " ".join(f"{node.ssh.host}:{node.ssh.port}" for node in self.run.inventory.nodes)

    @property
    def _nodes(self) -> Cluster:
        return self.cluster if self.shown else self.run.cluster

    def _switch(self, container: str, network: str, connected: bool, asked: float) -> None:
        """Runs in the container's own thread."""
        parameters = self.run.parameters
        step = (Connect if connected else Disconnect)(container, network, control_plane_of(parameters))
        refused = False
        if asked >= self._stopped_at:
            try:
                with nullcontext() if parameters.plan else self.run.claim.held(_PART):
                    rows = run_step(self._nodes, step, plan=parameters.plan)
                self.run.include(rows)
                self.message = step_line(rows) + (" (plan mode: nothing is changed)" if parameters.plan else "")
                require_success(rows)
            except StepFailed as error:
                self.message = self.error_text(error)
            except (LockedError, InputError) as error:  # nothing was started; the holder may be restarting nodes
                self.message, refused = self.error_text(error), True
        if not refused:
            self._look(followed=True)
        with self._lock:
            if self._under_way.get((container, network)) is connected:
                del self._under_way[container, network]
        self.refresh()
        for panel in tuple(_PANELS):
            if not refused and panel is not self and panel._where == self._where:
                panel.look()

    def _look(self, *, followed: bool = False) -> None:
        if self._trying(self._read):
            self._pings.put("ping", self._follow if followed else lambda: self._trying(self._ping))
            self._draws.put("picture", lambda: self._trying(self._draw_picture))

    def _read(self) -> None:
        found = read_connections(self._nodes, self.run.parameters)
        overlay = self.run.parameters.overlay.name
        with self._lock:
            self.connections = found
            for row in found.rows:
                if row.network == overlay and row.address:
                    self._last_known[row.container] = row.address

    def _draw_picture(self) -> None:
        self.picture = picture(self._nodes, self.run.parameters)

    def _follow(self) -> None:
        """Ping until every pair matches the connections: peers notice a change a moment later."""
        began = time.monotonic()
        settled = False
        while not settled and self._stopped_at <= began and time.monotonic() - began < _FOLLOW_SECONDS:
            if not self._trying(self._ping):
                return
            settled = self._settled
            if not settled:
                time.sleep(_FOLLOW_PAUSE)

    def _ping(self) -> None:
        parameters = self.run.parameters
        overlay = parameters.overlay.name
        off = [row.container for row in self.connections.rows if row.network == overlay and not row.connected]
        quick = parameters.model_copy(update={"probes": _QUICK})
        try:
            with self.run.claim.held(_PART):
                pings = ping(self._nodes, quick, by="both", expect_unreachable=off, last_known=self._last_known)
        except (PreconditionError, InputError) as error:
            self.matrix, self.message, self._settled = reach_matrix(()), self.error_text(error), True
            return
        self.matrix = reach_matrix(pings.probes)
        self._settled = all(probe.verdict == "pass" for probe in pings.probes)

    def _trying(self, work: Callable[[], object]) -> bool:
        """Do it, and show the result or the error. Returns whether it succeeded."""
        try:
            work()
        except RunbookError as error:
            self.say(error)
            return False
        self.refresh()
        return True
