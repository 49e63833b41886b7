"""Restarts nodes: through the testbed if the order of the boots matters, over SSH otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import NodeError, UnreachableError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.host.host import Boot, read_boot
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Status, StepResult
from runbook_lib.steps.base import Reporter, Step, run_step
from runbook_lib.steps.reboot import Reboot
from runbook_lib.testbed import Progress, Testbed

STEP = Reboot.name
LEFT_UP = "the parameter power_cycle is false: no node is restarted"
PROVED = "not restarted: nothing has changed since this boot"


@dataclass(frozen=True)
class Work:
    """Which nodes to restart (``only`` some, or all), and why.

    ``shuffle`` boots the testbed's nodes in another order. ``proves`` are the steps whose result a restart proves,
    ``done`` the rows of the steps done before it; without ``proves`` the nodes always restart.
    """

    only: Sequence[str] = ()
    shuffle: bool = False
    proves: Sequence[Step[Any, Any]] = ()
    done: Sequence[StepResult] = ()


def cycle(cluster: Cluster, parameters: Parameters, work: Work, *, reporter: Reporter) -> tuple[StepResult, ...]:
    """Restart nodes and wait until each is back; one row per node.

    Nothing is restarted, and the rows say why, in plan mode, without the parameter ``power_cycle``, or if a restart
    would prove nothing new: all steps are satisfied, none has just changed anything, and every node has booted since.
    Such a restart would only stop containers, and engines that start together can lose contact with each other.

    Raises:
        InputError: the order matters, and the testbed does not exist; or the control plane would not come back by
            itself.
        TestbedError: a node of the testbed did not go down, or did not come back.
    """
    only = work.only
    nodes = [cluster.node(name) for name in only] or list(cluster.nodes)
    if not parameters.power_cycle:
        return tuple(StepResult(STEP, node.name, Status.SKIPPED, detail=LEFT_UP) for node in nodes)
    if rows := _proved(cluster, work, nodes):
        for row in rows:
            reporter(STEP, row.node, row.status.value)
        return rows
    if not parameters.plan:
        incompatibility = control_plane_of(parameters).read_restart_blocker(cluster, only)
        if incompatibility is not None:
            raise incompatibility
    if only or parameters.plan or not work.shuffle or parameters.testbed_name is None:
        return run_step(cluster, Reboot(only), plan=parameters.plan, reporter=reporter)

    def tell(event: Progress) -> None:
        if event.node:
            reporter(STEP, event.node, event.step if event.state == "started" else f"{event.step} {event.state}")

    return _shuffled(cluster, Testbed.load(parameters.testbed_name, tell))


def _proved(cluster: Cluster, work: Work, nodes: Sequence[Node]) -> tuple[StepResult, ...]:
    """One row per node if restarting them would prove nothing new; empty if it would, or if that is unknown."""
    steps = work.proves
    names = {step.name for step in steps}
    if not steps or any(row.step in names and row.status is Status.CHANGED for row in work.done):
        return ()
    for step in steps:
        if any(row.status not in (Status.OK, Status.SKIPPED) for row in run_step(cluster, step, plan=True)):
            return ()

    def look(node: Node) -> Boot | None:
        return None if any(step.changed_since_boot(node) for step in steps) else read_boot(node)

    boots = [outcome.value for outcome in cluster.each(look, nodes=nodes)]
    rows = tuple(_left_alone(boot) for boot in boots if boot is not None)
    return rows if len(rows) == len(nodes) else ()


def _left_alone(boot: Boot) -> StepResult:
    up = f"up for {boot.up_seconds:.0f} s"
    return StepResult(STEP, boot.node, Status.OK, up, up, detail=PROVED)


def _shuffled(cluster: Cluster, testbed: Testbed) -> tuple[StepResult, ...]:
    """Restart the testbed in another order, and check that every node has booted again."""
    before = cluster.each(read_boot)
    started = time.monotonic()
    cluster.close()
    testbed.reboot(shuffle=True)
    after = cluster.each(read_boot)
    seconds = time.monotonic() - started
    return tuple(restarted(old, new, seconds) for old, new in zip(before, after, strict=True))


def restarted(old: Outcome[Boot], new: Outcome[Boot], seconds: float) -> StepResult:
    """The row of one node, from its readings before and after; a node that was down before counts as restarted."""
    before = f"up for {old.value.up_seconds:.0f} s" if old.value is not None else "did not answer"
    if new.value is None:
        error = new.error or NodeError(new.node, "no reading")
        status = Status.UNREACHABLE if isinstance(error, UnreachableError) else Status.FAILED
        return StepResult(STEP, new.node, status, before, "", seconds, error.message)
    after = f"up for {new.value.up_seconds:.0f} s"
    if old.value is not None and new.value.same_as(old.value):
        detail = "the node has not booted again"
        return StepResult(STEP, new.node, Status.FAILED, before, after, seconds, detail)
    return StepResult(STEP, new.node, Status.CHANGED, before, after, seconds, "in another order")
