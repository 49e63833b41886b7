"""A step from plan to verification, with one live row per node."""

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

#: The progress at each state of a node. Other states are a step's own names while it applies.
_PROGRESS = {"checking": 1, "applying": 2, "applied": 3, "verifying": 4}
_DONE = 5
# States in which a node can be skipped; a change that has started continues and is verified.
_MAY_STOP = ("checking", "applying")


class StepPanel(Panel):
    """One step: ``plan`` shows what would change, ``apply`` changes and verifies it, ``stop`` starts no more nodes."""

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
        """One row per node: its result, or its current state."""
        return (f"step: {self.step.name}", self.table)

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    @property
    @document_columns(tables.one_step)
    def table(self) -> pd.DataFrame:
        """The nodes' rows; while the step runs, the status is the node's progress."""
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
        """Show what would change, in the background."""
        self._begin(plan=True)

    def apply(self) -> None:
        """Apply and verify the step on every node in the background; plan mode only plans it."""
        self._begin(plan=self.run.parameters.plan)

    def stop(self) -> None:
        """Start no further node. Changes that have started are finished and verified, so that each row is correct.

        A step that waits for another panel ends in its turn, without a change.
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
        """Update the controls."""
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
        except (LockedError, InputError) as error:  # nothing was started: the rows stay unchanged
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
