"""One notebook's session: reads facts, plans and applies steps, checks expectations, and sums up at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import pandas as pd

from runbook_lib import tables
from runbook_lib.cluster import Cluster
from runbook_lib.errors import DeadlineError, InputError, PreconditionError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.events import FinishEvent, StepEvent
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Check, Status, StepResult, Verdict, with_warnings
from runbook_lib.session import expectations
from runbook_lib.session.catalog import StepCatalog, wanted_container
from runbook_lib.session.claim import Claim, alone
from runbook_lib.session.expectations import Exercise, exercise, publish
from runbook_lib.session.questions import power, preconditions
from runbook_lib.session.questions.external import ExternalAddresses
from runbook_lib.session.questions.inspection import Inspection
from runbook_lib.session.questions.pings import Pings, Ways, ping
from runbook_lib.session.questions.readings import Readings, planned_files
from runbook_lib.session.questions.recorded_tables import Kept, measured
from runbook_lib.session.questions.store_wait import Outage, StoreState, after_power_cycle, wait_for_store
from runbook_lib.session.questions.watching import Watched, wait_for_way_back
from runbook_lib.session.views.display import LiveLines, Picture, step_line
from runbook_lib.session.views.pictures import Drift, picture
from runbook_lib.session.views.tables import SUMMARY, Experiment, summary
from runbook_lib.steps import Step, require_success, run_step
from runbook_lib.tables.frame import document_columns
from runbook_lib.verify.convergence import Watch
from runbook_lib.verify.gateway_bridge import gateway_bridge_experiment
from runbook_lib.verify.preflight import why_lost

_SAMPLES_BEFORE = 5

PLANNED = tables.steps.only("step", "node", "status", "before", "after", "detail")


class Session:
    """The API of a notebook. ``read`` has the readings; everything that changes a node is a step."""

    def __init__(self, notebook: str, run: Run, cluster: Cluster, *, started: float) -> None:
        self.notebook = notebook
        self.parameters = run.parameters
        self.inventory = run.inventory
        self.cluster = cluster
        self.kept = Kept()
        self.claim = Claim(run.inventory, notebook)
        self.read = Readings(cluster, run.parameters, self.kept, self.claim)
        self.inspect = Inspection(cluster, run.parameters, self.kept, self.claim)
        self.steps = StepCatalog(run.inventory, run.parameters)
        self.external = ExternalAddresses(cluster, run.parameters, self.kept, self.claim)
        self.control_plane = control_plane_of(run.parameters)
        self._started = started
        self._missing: tuple[preconditions.Precondition, ...] = ()
        self._restarted = False
        self._last_known: dict[str, str] = {}
        self._results: list[StepResult] = []
        self._checks: list[Check] = []

    def secret(self, name: str) -> str:
        """The value of a secret that the parameter ``secrets`` names; the record shows ``[REDACTED:name]``.

        Raises:
            InputError: the secret is not declared, or cannot be read any more.
        """
        references = self.parameters.secrets
        if name not in references:
            known = f"declared are {', '.join(references)}" if references else "none is declared"
            remedy = f"declare it: secrets: {{{name}: {{env: VARIABLE}}}} or {{file: PATH}}; {known}"
            raise InputError(f"unknown secret {name!r}", place="secrets", remedy=remedy)
        return references[name].resolve(f"secrets.{name}")

    @document_columns(preconditions.TABLE)
    def require(self, *things: str) -> pd.DataFrame:
        """Check that the results of earlier notebooks exist.

        Args:
            things: any of ``"fixed addresses"``, ``"cluster store"``, ``"overlay"``, ``"containers"``.

        Raises:
            PreconditionError: names the notebook to run first (plan mode only shows it).
            UnreachableError: a node that must be asked does not answer.
        """
        found = preconditions.check_preconditions(self.cluster, self.parameters, things)
        if not self.parameters.plan:
            preconditions.raise_if_missing(found, self.notebook)
        self._missing += tuple(row for row in found if not row.there)
        table = preconditions.TABLE(found)
        self.kept.keep("preconditions", table)
        return table

    @document_columns(PLANNED)
    def plan(self, *steps: Step[Any, Any]) -> pd.DataFrame:
        """What the steps would change on each node; nothing is changed.

        For a single step there is no column ``step``.
        """
        table = PLANNED([row for step in steps for row in self._run(step, plan=True)])
        return table if len(steps) > 1 else table.drop(columns="step")

    def planned_files(self, *nodes: str, undo: bool = False) -> str:
        """The files that ``steps.static_addresses`` writes on the named nodes, or the first of each platform.

        Args:
            nodes: whose files.
            undo: what ``steps.release_addresses`` restores instead.

        Returns:
            A unified diff from how each file is without the runbook, whether it is written yet or not; with ``undo``
            from how each is now to how it was.

        Raises:
            InputError: there is no such node.
            UnreachableError: a node that must be asked does not answer.
        """
        step = self.steps.release_addresses() if undo else self.steps.static_addresses()
        return planned_files(self.cluster, step, nodes)

    @document_columns(tables.steps)
    def apply(self, *steps: Step[Any, Any]) -> pd.DataFrame:
        """Apply the steps in order on every node and verify each by a new reading; plan mode only plans them.

        For a single step there is no column ``step``.

        Raises:
            StepFailed: names every node on which a step failed; later steps are not started.
            LockedError: another notebook or command holds the cluster lock; nothing was done.
        """
        rows: list[StepResult] = []
        for step in steps:
            done = self._run(step, plan=self.parameters.plan)
            rows += done
            table = self._done(done)
        return tables.steps(rows) if len(steps) > 1 else table

    @document_columns(tables.one_step)
    def power_cycle(self, *nodes: str, shuffle: bool = False, again: bool = False) -> pd.DataFrame:
        """Restart every node, or the named ones, and wait until the engines answer.

        On the testbed ``shuffle`` restarts the nodes in another order, so that DHCP assigns other addresses; elsewhere
        all nodes restart at once. Nothing is restarted in plan mode, without the parameter ``power_cycle``, or if a
        restart would prove nothing new: the notebook's result exists, was not changed now, and the nodes have booted
        since. ``again`` restarts them in that case too.

        Raises:
            StepFailed: names every node that did not come back.
            TestbedError: the testbed could not restart its nodes.
        """
        idle = self.parameters.plan or not self.parameters.power_cycle
        proves = () if again else self.steps.proved_by_restart(self.notebook)
        work = power.Work(nodes, shuffle, proves, tuple(self._results))
        with nullcontext() if idle else self.claim.held(), LiveLines(power.STEP, self.inventory.names) as live:
            rows = power.cycle(self.cluster, self.parameters, work, reporter=live)
        self.kept.keep(power.STEP, tables.steps(rows))
        table = self._done(rows)
        self._restarted = any(row.status is Status.CHANGED for row in rows)
        if self._restarted:
            measured("power cycle", max(row.seconds for row in rows), "s")
        return table

    def show_drift(self) -> Drift:
        """Restart the testbed's nodes in another order and compare addresses.

        The addresses are only read, without a restart, on other clusters, in plan mode, without the parameters
        ``show_drift`` and ``power_cycle``, and if all addresses are fixed already.
        """
        before = self.read.address_facts()
        wanted = self.parameters.show_drift and self.parameters.power_cycle and not self.parameters.plan
        restarted = False
        if wanted and self.parameters.testbed_name is not None:
            self.power_cycle(shuffle=True)
            restarted = self._restarted
        drift = Drift(before, self.read.address_facts(), restarted)
        self.kept.keep("drift", drift.table)
        return drift

    @alone
    def wait_for_store(self) -> StoreState:
        """Wait until every member is healthy, one leads and every engine is connected."""
        return self._store(wait_for_store(self.cluster, self.parameters))

    @alone
    def after_power_cycle(self, starts: pd.DataFrame) -> Outage:
        """Compare the store after a power cycle with what starts at boot (``read.autostart()`` from before it).

        Waits at most ``timeouts.converge`` seconds for members that start at boot. If no node was restarted, these
        members must run, and every engine must be connected.
        """
        expected = dict(zip(starts["node"], starts["starts at boot"].astype(bool), strict=True))
        outage = after_power_cycle(self.cluster, self.parameters, expected, restarted=self._restarted)
        self.kept.keep("after power cycle", outage.table)
        self._store(outage.store)
        return outage

    @alone
    def ping(self, by: Ways = "both", *, expect_unreachable: str = "", count: int | None = None) -> Pings:
        """Ping between all wanted containers; pairs with the container ``expect_unreachable`` must *not* answer.

        ``count`` overrides the number of pings in the parameter ``probes``; each single ping is then recorded too.

        Raises:
            PreconditionError: a container does not exist (plan mode then has no probes).
            InputError: fewer than two containers are wanted, or ``count`` is invalid.
        """
        off = [expect_unreachable] if expect_unreachable else []
        known = self._last_known
        try:
            pings = ping(self.cluster, self.parameters, by=by, expect_unreachable=off, last_known=known, count=count)
        except PreconditionError:
            if self.parameters.plan:  # the result of an earlier notebook does not exist: nothing to ping
                return Pings(())
            raise
        reasons = why_lost(self.cluster, self.control_plane, self.parameters.overlay, pings.probes)
        if reasons:
            pings = replace(pings, reasons=reasons)
            self.kept.keep("why pings are lost", tables.checks(reasons))
        if count is not None:
            self.kept.keep(f"{count} pings by {by}", pings.each)
            self.kept.keep(f"{count} pings by {by} spread", pings.spread)
            return pings
        self.kept.keep(f"ping by {by}", pings.details)
        measured("ping latency", pings.latency_ms, "ms")
        measured("ping loss", pings.loss_percent, "%")
        return pings

    def watch(self, step: Step[Any, Any], *, reachable: bool) -> Watched:
        """Apply a step to the first container while another one probes it, ten times a second.

        Args:
            step: the step, such as disconnecting the container.
            reachable: whether the other container should reach it afterwards.

        Raises:
            StepFailed: the step did not succeed.
            PreconditionError: one of the two containers does not exist.
        """
        target, peer, limit = self.first, self.peer, self.parameters.timeouts.converge
        if self.parameters.plan:
            rows = self._run(step, plan=True)
            self._done(rows)
            return Watched(rows, None, reachable, limit)
        overlay = self.parameters.overlay.name
        with self.claim.held():
            self._last_known |= self.read.overlay_addresses()
            with Watch(self.cluster, peer, target, overlay, seconds=limit + 10) as watch:
                watch.wait_for_samples(_SAMPLES_BEFORE)
                watch.mark(step.name)
                rows = self._run(step, plan=False)
                self._done(rows)  # do not wait for a step that failed
                with suppress(DeadlineError):  # the time line then has no event, and its checks fail
                    watch.until(reachable=reachable, timeout=limit)
            if reachable:
                wait_for_way_back(self.cluster, target, peer, overlay, limit)
        watched = Watched(rows, watch.convergence, reachable, limit)
        self.kept.keep(f"{step.name} as seen by the peer", watched.table)
        self.kept.keep(f"{step.name} samples", watched.samples)
        self.kept.keep(f"{step.name} phases", watched.phases)
        measured("convergence" if reachable else "disconnection", watch.convergence.answers_after, "s")
        return watched

    @alone
    def gateway_experiment(self) -> Experiment:
        """Test each container's external access; then count packets on overlay and docker_gwbridge while pinging.

        Raises:
            PreconditionError: one of the first two containers does not run on the overlay (not in plan mode).
            InputError: both are on one node, so that no packet would cross the overlay's tunnel.
        """
        try:
            network, names = self.parameters.overlay.name, {item.name for item in self.parameters.containers}
            result = gateway_bridge_experiment(self.cluster, self.first, self.peer, network, others=names)
        except PreconditionError:
            if self.parameters.plan:
                return Experiment(None)
            raise
        experiment = Experiment(result)
        self.kept.keep("gateway experiment", experiment.table)
        return experiment

    def picture(self, before: Picture | None = None) -> Picture:
        """The current cluster; with an earlier picture as ``before``, both side by side."""
        return picture(self.cluster, self.parameters, before)

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
        """The name of the first wanted container. Raises ``InputError`` when none is wanted."""
        return wanted_container(self.parameters, 0)

    @property
    def peer(self) -> str:
        """The name of the second, which watches the first. Raises ``InputError`` when fewer are wanted."""
        return wanted_container(self.parameters, 1)

    def expect(self, claim: str, *, found: object, expected: object = True, node: str = "") -> None:
        """Check one expectation. Raises ``CheckFailed`` with expected, found and node."""
        self.expect_checks(claim, [expectations.compare(claim, found=found, expected=expected, node=node)])

    def expect_each(self, claim: str, table: pd.DataFrame, column: str, expected: object) -> None:
        """Check an expectation for every row of a table that has a ``node`` column.

        ``expected`` is one value for all, or a mapping from node to value (other nodes are skipped). Raises
        ``CheckFailed`` with every row that differs.
        """
        self.expect_checks(claim, expectations.compare_column(claim, table, column, expected))

    def expect_checks(self, claim: str, checks: Sequence[Check]) -> None:
        """Report a list of checks: warnings are shown, failures raise ``CheckFailed``.

        A failure becomes a skipped check if plan mode has skipped a change in this notebook, or if the parameter
        ``power_cycle`` forbids the restart that the check needs.
        """
        self._checks += expectations.report(claim, checks, excuse=self._excuse())

    def exercise(self, name: str, prediction: object = None) -> Exercise:
        """An exercise (``05-a``) with the learner's prediction; skipped for ``None`` and in plan mode.

        Batch runs skip it too, except for solution notebooks.
        """
        made = exercise(name, prediction, plan=self.parameters.plan, notebook=self.notebook)
        self._checks += made.left_alone
        return made

    def include(self, rows: Sequence[StepResult]) -> None:
        """Add the rows of a step that a panel applied to those of this session."""
        self._results += rows

    @document_columns(SUMMARY)
    def finish(self) -> pd.DataFrame:
        """Close the session and sum it up."""
        self.cluster.close()
        seconds = time.monotonic() - self._started
        verdict = "planned" if self.parameters.plan else "pass"
        changed = sum(row.status is Status.CHANGED for row in self._results)
        told = with_warnings(verdict, sum(check.verdict is Verdict.WARN for check in self._checks))
        publish(
            [FinishEvent(notebook=self.notebook, verdict=verdict, seconds=round(seconds, 1))],
            text=f"{self.notebook}: {told}, {changed} changed, {len(self._checks)} checks, {seconds:.1f} s",
        )
        self.kept.keep("checks", tables.checks(self._checks))
        table = summary(self._results, self._checks)
        self.kept.keep("summary", table)
        return table

    def _excuse(self) -> str:
        """Why an expectation may fail now although nothing is wrong; empty if it must hold."""
        if any(row.status is Status.PLANNED for row in self._results):
            return "plan mode changed nothing"
        if self._missing:
            return f"plan mode changed nothing, and {self._missing[0].notebook} has not been run"
        if any(row.step == power.STEP and row.status is Status.SKIPPED for row in self._results):
            return "no node was restarted"
        return ""

    def _run(self, step: Step[Any, Any], *, plan: bool) -> tuple[StepResult, ...]:
        with nullcontext() if plan else self.claim.held(), LiveLines(step.name, self.inventory.names) as live:
            rows = run_step(self.cluster, step, plan=plan, reporter=live)
        self.kept.keep(f"plan {step.name}" if plan else step.name, tables.steps(rows))
        return rows

    def _store(self, state: StoreState) -> StoreState:
        self.kept.keep("members", state.members)
        self.kept.keep("registrations", state.registrations)
        self.kept.keep("store timing", state.timing)
        for name, moment in (("healthy", state.became_healthy), ("connected", state.became_connected)):
            # A state that held at the first reading, long after the boot, gives no comparable metric.
            measured(f"store {name}", moment.seconds if moment.awaited or self._restarted else None, "s")
        return state

    def _done(self, rows: Sequence[StepResult]) -> pd.DataFrame:
        self._results += rows
        publish([StepEvent.of(row) for row in rows], text=step_line(rows))
        require_success(rows)
        return tables.one_step(rows)
