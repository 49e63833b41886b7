"""One notebook's session: reads facts, plans and applies steps, holds expectations, sums up at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster
from runbook_lib.errors import DeadlineError, PreconditionError
from runbook_lib.model.events import FinishEvent, StepEvent
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Check, Status, StepResult, Verdict
from runbook_lib.session import expectations, power, preconditions
from runbook_lib.session.catalog import StepCatalog
from runbook_lib.session.display import Picture, step_line
from runbook_lib.session.drift import Drift
from runbook_lib.session.events import publish
from runbook_lib.session.experiment import Experiment
from runbook_lib.session.pictures import picture
from runbook_lib.session.pings import Pings, Ways, ping
from runbook_lib.session.progress import LiveLines
from runbook_lib.session.readings import Readings
from runbook_lib.session.store import Outage, StoreState, read_store, wait_for_store
from runbook_lib.session.watching import Watched
from runbook_lib.steps import Step, require_success, run_step
from runbook_lib.tables.frame import DECIMAL, TEXT, WHOLE, frame
from runbook_lib.verify.convergence import Watch
from runbook_lib.verify.gateway_bridge import gateway_bridge_experiment

_SAMPLES_BEFORE = 5


class Session:
    """What a notebook talks to. ``read`` holds the readings; everything that changes a node is a step."""

    def __init__(self, notebook: str, run: Run, cluster: Cluster, *, started: float) -> None:
        self.notebook = notebook
        self.parameters = run.parameters
        self.inventory = run.inventory
        self.cluster = cluster
        self.read = Readings(cluster, run.parameters)
        self.steps = StepCatalog(run.inventory, run.parameters)
        self._started = started
        self._last_known: dict[str, str] = {}
        self._results: list[StepResult] = []
        self._checks: list[Check] = []

    def require(self, *things: str) -> pd.DataFrame:
        """Make sure that what other notebooks make is there.

        Args:
            things: any of ``"fixed addresses"``, ``"cluster store"``, ``"overlay"``, ``"containers"``.

        Returns:
            Columns: needed, there, found, made by.

        Raises:
            PreconditionError: naming the notebook to run first (not in plan mode, which only shows it).
        """
        return preconditions.require(self.cluster, self.parameters, things)

    def plan(self, step: Step[Any, Any]) -> pd.DataFrame:
        """What the step would change, a row a node; nothing is changed.

        Returns:
            Columns: node, status, before, after, detail.
        """
        rows = self._observed(step.name, lambda live: run_step(self.cluster, step, plan=True, reporter=live))
        return tables.steps(rows)[["node", "status", "before", "after", "detail"]]

    def apply(self, step: Step[Any, Any]) -> pd.DataFrame:
        """Do the step on every node and verify it by a fresh reading; in plan mode only plan it.

        Returns:
            Columns: node, status, before, after, time (s), detail.

        Raises:
            StepFailed: naming every node on which it did not succeed.
        """
        plan = self.parameters.plan
        rows = self._observed(step.name, lambda live: run_step(self.cluster, step, plan=plan, reporter=live))
        return self._done(rows)

    def power_cycle(self, *, shuffle: bool = False) -> pd.DataFrame:
        """Restart every node and wait until its engine answers; ``shuffle``: in another order.

        On the testbed ``shuffle`` makes DHCP hand out other addresses; elsewhere nodes restart all at once.
        Needs the parameter ``power_cycle``; without it, and in plan mode, nothing is restarted.

        Returns:
            Columns: node, status, before, after, time (s), detail.
        """
        rows = self._observed(
            "power cycle", lambda live: power.cycle(self.cluster, self.parameters, shuffle=shuffle, reporter=live)
        )
        return self._done(rows)

    def show_drift(self) -> Drift:
        """Restart the testbed's nodes in another order and compare addresses.

        Elsewhere, in plan mode, and without the parameters ``show_drift`` and ``power_cycle``, nothing is restarted
        and the addresses are only read.
        """
        before = self.read.address_facts()
        wanted = self.parameters.show_drift and self.parameters.power_cycle and not self.parameters.plan
        restart = wanted and self.parameters.testbed_name is not None
        if restart:
            self.power_cycle(shuffle=True)
        return Drift(before, self.read.address_facts(), restart)

    def wait_for_store(self) -> StoreState:
        """Wait until every member is healthy, one leads and every engine is connected; says how long it took."""
        return wait_for_store(self.cluster, self.parameters)

    def after_power_cycle(self, starts: pd.DataFrame) -> Outage:
        """What a power cycle left of the store, against what would start it (``read.autostart()`` from before).

        Where every member starts by itself, it is waited for; where none does, nothing is.
        """
        expected = dict(zip(starts["node"], starts["starts at boot"], strict=True))
        if expected and all(expected.values()):
            return Outage(self.wait_for_store(), expected)
        return Outage(read_store(self.cluster, self.parameters), expected)

    def ping(self, by: Ways = "both", *, expect_unreachable: str = "") -> Pings:
        """Ping between all wanted containers; pairs with ``expect_unreachable`` must *not* answer."""
        off = [expect_unreachable] if expect_unreachable else []
        try:
            return ping(self.cluster, self.parameters, by=by, expect_unreachable=off, last_known=self._last_known)
        except PreconditionError:
            if self.parameters.plan:  # what an earlier notebook would have made is not there: nothing to ping
                return Pings(())
            raise

    def watch(self, step: Step[Any, Any], *, reachable: bool) -> Watched:
        """Do a step on the first container while another one keeps asking for it, ten times a second.

        Args:
            step: what to do, such as disconnecting the container.
            reachable: whether the other container should reach it afterwards.

        Raises:
            StepFailed: the step did not succeed.
        """
        limit = self.parameters.timeouts.converge
        if self.parameters.plan:
            self.apply(step)
            return Watched(tuple(self._results[-1:]), None, reachable, limit)
        target, peer = self.first, self.parameters.containers[1].name
        self._last_known |= self.read.overlay_addresses()
        with Watch(self.cluster, peer, target, self.parameters.overlay.name, seconds=limit + 10) as watch:
            watch.wait_for_samples(_SAMPLES_BEFORE)
            watch.mark(step.name)
            rows = run_step(self.cluster, step)
            with suppress(DeadlineError):  # the time line then lacks the moment, and the checks on it fail
                watch.until(reachable=reachable, timeout=limit)
        self._done(rows)
        return Watched(rows, watch.convergence, reachable, limit)

    def gateway_experiment(self) -> Experiment:
        """Count packets on the overlay and on docker_gwbridge while pinging the peer, then the outside."""
        first, peer = self.first, self.parameters.containers[1].name
        try:
            result = gateway_bridge_experiment(self.cluster, first, peer, self.parameters.overlay.name)
        except PreconditionError:
            if self.parameters.plan:
                return Experiment(None)
            raise
        return Experiment(result)

    def picture(self) -> Picture:
        """The cluster as it is now."""
        return picture(self.cluster, self.parameters)

    @property
    def nodes(self) -> set[str]:
        """The names of all nodes."""
        return set(self.inventory.names)

    @property
    def wanted(self) -> int:
        """How many containers the parameters ask for."""
        return len(self.parameters.containers)

    @property
    def first(self) -> str:
        """The name of the first wanted container."""
        return self.parameters.containers[0].name

    def expect(self, claim: str, *, found: object, expected: object = True, node: str = "") -> None:
        """Hold one expectation. Raises ``CheckFailed`` with expected, found and node."""
        check = expectations.compare(claim, found=found, expected=expected, node=node)
        self._checks += expectations.report(claim, [check], plan=self.parameters.plan)

    def expect_each(self, claim: str, table: pd.DataFrame, column: str, expected: object) -> None:
        """Hold an expectation for every row of a table that has a ``node`` column.

        ``expected`` is one value for all, or a mapping from node to value. Raises ``CheckFailed``.
        """
        checks = expectations.compare_column(claim, table, column, expected)
        self._checks += expectations.report(claim, checks, plan=self.parameters.plan)

    def expect_checks(self, claim: str, checks: Sequence[Check]) -> None:
        """Hold a list of checks: warnings are shown, a failure raises ``CheckFailed``."""
        self._checks += expectations.report(claim, list(checks), plan=self.parameters.plan)

    def finish(self) -> pd.DataFrame:
        """Close the session and sum it up.

        Returns:
            Columns: what, kind (step or check), ok, changed, planned, skipped, time (s).
        """
        self.cluster.close()
        seconds = time.monotonic() - self._started
        verdict = "planned" if self.parameters.plan else "pass"
        changed = sum(row.status is Status.CHANGED for row in self._results)
        publish(
            [FinishEvent(notebook=self.notebook, verdict=verdict, seconds=round(seconds, 1))],
            text=f"{self.notebook}: {verdict}, {changed} changed, {len(self._checks)} checks, {seconds:.1f} s",
        )
        return _summary(self._results, self._checks)

    def _observed(self, name: str, work: Callable[[LiveLines], Sequence[StepResult]]) -> Sequence[StepResult]:
        with LiveLines(name) as live:
            return work(live)

    def _done(self, rows: Sequence[StepResult]) -> pd.DataFrame:
        self._results += rows
        publish([StepEvent.of(row) for row in rows], text=step_line(rows))
        require_success(rows)
        return tables.steps(rows).drop(columns="step")


def _summary(results: Sequence[StepResult], checks: Sequence[Check]) -> pd.DataFrame:
    lines: list[tuple[object, ...]] = []
    for name in dict.fromkeys(row.step for row in results):
        rows = [row for row in results if row.step == name]
        count = {status: sum(row.status is status for row in rows) for status in Status}
        slowest = round(max(row.seconds for row in rows), 1)
        lines.append(
            (
                name,
                "step",
                count[Status.OK],
                count[Status.CHANGED],
                count[Status.PLANNED],
                count[Status.SKIPPED],
                slowest,
            )
        )
    for name in dict.fromkeys(check.check for check in checks):
        verdicts = [check.verdict for check in checks if check.check == name]
        passed = sum(verdict in (Verdict.PASS, Verdict.WARN) for verdict in verdicts)
        lines.append((name, "check", passed, 0, 0, verdicts.count(Verdict.SKIP), None))
    counts = dict.fromkeys(("ok", "changed", "planned", "skipped"), WHOLE)
    return frame(lines, {"what": TEXT, "kind": TEXT, **counts, "time (s)": DECIMAL})
