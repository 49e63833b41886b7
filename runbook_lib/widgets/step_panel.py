"""A step from plan to verification: a row a node, live."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, InterruptedRun, LockedError, StepFailed
from runbook_lib.model.results import StepResult
from runbook_lib.session import Session
from runbook_lib.session.views.display import step_line
from runbook_lib.steps import Step, require_success, run_step
from runbook_lib.tables.frame import document_columns, frame
from runbook_lib.widgets.background import shared
from runbook_lib.widgets.panel import Panel, Part

#: How far a node is when it reaches a state. Whatever is not named here is a step's own word while it applies.
_PROGRESS = {"checking": 1, "applying": 2, "applied": 3, "verifying": 4}
_DONE = 5
# Where a node can be left as it is; what has begun on it goes on to its end and is verified.
_MAY_STOP = ("checking", "applying")


class StepPanel(Panel):
    """One step: ``plan`` shows what would change, ``apply`` changes it and verifies, ``stop`` begins no more nodes."""

    css = "runbook-step-panel"

    def __init__(self, run: Session, step: Step[Any, Any]) -> None:
        super().__init__(run)
        self.step = step
        self.states: dict[str, str] = {}
        self.rows: tuple[StepResult, ...] = ()
        self._progress: dict[str, int] = {}
        self._work = shared("step", *(f"{node.ssh.host}:{node.ssh.port}" for node in run.inventory.nodes))
        self._stopping = threading.Event()
        self._busy = False
        self._run(run.cluster, plan=True)
        run.kept.keep(f"panel {step.name}", tables.steps(self.rows))

    def parts(self) -> tuple[Part, ...]:
        """A row a node: as it ended, or where it is."""
        return (f"step: {self.step.name}", self.table)

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    @property
    @document_columns(tables.one_step)
    def table(self) -> pd.DataFrame:
        """The nodes' rows; while the step runs, the status is how far the node is."""
        if not self._busy:
            return tables.one_step(self.rows)
        names = self.run.inventory.names
        rows = [(name, self.states.get(name, "waiting"), "", "", None, "") for name in names]
        return frame(rows, tables.one_step.dtypes)

    @property
    def busy(self) -> bool:
        """Whether it runs."""
        return self._busy

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""
        if not self._busy:
            return 1.0
        names = self.run.inventory.names
        return sum(self._progress.get(name, 0) for name in names) / (_DONE * len(names))

    def plan(self) -> None:
        """Show what would change, beside the cells."""
        self._begin(plan=True)

    def apply(self) -> None:
        """Do the step on every node and verify it, beside the cells; in plan mode only plan it."""
        self._begin(plan=self.run.parameters.plan)

    def stop(self) -> None:
        """Begin nothing on any more node. What has begun is ended and verified, so that each row is true.

        A step that waits for another panel's comes to its end in its turn, without having begun anything.
        """
        self._stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended."""
        return self._work.wait(timeout)

    def build(self) -> Any:
        """Plan, apply, stop, a progress bar and the rows."""
        from runbook_lib.widgets.controls import StepControls

        self._view = StepControls(self)
        return self._view.box

    def draw(self) -> None:
        """Bring them up to date."""
        self._view.draw()

    def _begin(self, *, plan: bool) -> None:
        with self._lock:
            if self._busy:
                return
            self._busy = True
            self.states, self._progress = {}, {}
            self._stopping.clear()
        self.say(f"{'planning' if plan else 'applying'} …")
        self._work.put(id(self), lambda: self._run(self.cluster if self.shown else self.run.cluster, plan=plan))

    def _run(self, cluster: Cluster, *, plan: bool) -> None:
        try:
            with nullcontext() if plan else self.run.claim.held("its step panel"):
                rows = run_step(cluster, self.step, plan=plan, reporter=self._heard)
        except (LockedError, InputError) as error:  # nothing was begun: the rows stay as they were
            with self._lock:
                self._busy = False
            self.say(error)
            return
        with self._lock:
            self.rows, self._busy = rows, False
            stopped = "stopped: " if self._stopping.is_set() else ""
            self.message = f"{stopped}{'planned, nothing was changed: ' if plan else ''}{step_line(rows)}"
        if not plan:
            self.run.include(rows)
            try:
                require_success(rows)
            except StepFailed as error:
                self.message = f"{stopped}{self.error_text(error)}"
        self.refresh()

    def _heard(self, step: str, node: str, state: str) -> None:
        """Called from each node's thread."""
        if self._stopping.is_set() and state in _MAY_STOP:
            raise InterruptedRun("stopped before anything was done here")
        with self._lock:
            self.states[node] = state
            done = any(row.node == node and row.status == state for row in self.rows)
            self._progress[node] = _DONE if done else max(self._progress.get(node, 2), _PROGRESS.get(state, 2))
            if self._controls is not None:
                self.draw()
