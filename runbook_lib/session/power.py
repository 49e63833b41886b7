"""Restarting every node: through the testbed where the order of the boots matters, over SSH everywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence

from runbook_lib.cluster import Cluster, Outcome
from runbook_lib.errors import NodeError, UnreachableError
from runbook_lib.facts.boot import Boot, read_boot
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Status, StepResult
from runbook_lib.steps.base import Reporter, run_step
from runbook_lib.steps.reboot import Reboot
from runbook_lib.testbed import Progress, Testbed

STEP = Reboot.name
LEFT_UP = "the parameter power_cycle is false: no node is restarted"


def cycle(
    cluster: Cluster, parameters: Parameters, only: Sequence[str] = (), *, shuffle: bool, reporter: Reporter
) -> tuple[StepResult, ...]:
    """Restart every node, or ``only`` some, and wait until each is back; one row a node.

    Plan mode, and a run without the parameter ``power_cycle``, restart nothing and say so in the rows.

    Raises:
        InputError: the order matters, and the testbed of the parameters is not there; or the control plane would not
            come back without a person.
        TestbedError: a node of the testbed did not go down, or did not come back.
    """
    if not parameters.power_cycle:
        names = only or cluster.inventory.names
        return tuple(StepResult(STEP, name, Status.SKIPPED, detail=LEFT_UP) for name in names)
    if not parameters.plan:
        objection = control_plane_of(parameters).read_restart_objection(cluster, only)
        if objection is not None:
            raise objection
    if only or parameters.plan or not shuffle or parameters.testbed_name is None:
        return run_step(cluster, Reboot(only), plan=parameters.plan, reporter=reporter)

    def tell(event: Progress) -> None:
        if event.node:
            reporter(STEP, event.node, event.step if event.state == "started" else f"{event.step} {event.state}")

    return _shuffled(cluster, Testbed.load(parameters.testbed_name, tell))


def _shuffled(cluster: Cluster, testbed: Testbed) -> tuple[StepResult, ...]:
    """Restart the testbed in another order, and prove by a reading that every node is in a new boot."""
    before = cluster.each(read_boot)
    started = time.monotonic()
    cluster.close()
    testbed.reboot(shuffle=True)
    after = cluster.each(read_boot)
    seconds = time.monotonic() - started
    return tuple(restarted(old, new, seconds) for old, new in zip(before, after, strict=True))


def restarted(old: Outcome[Boot], new: Outcome[Boot], seconds: float) -> StepResult:
    """The row of one node by its readings before and after; a node that was down before is back all the same."""
    before = f"up for {old.value.up_seconds:.0f} s" if old.value is not None else "did not answer"
    if new.value is None:
        error = new.error or NodeError(new.node, "no reading")
        status = Status.UNREACHABLE if isinstance(error, UnreachableError) else Status.FAILED
        return StepResult(STEP, new.node, status, before, "", seconds, error.message)
    after = f"up for {new.value.up_seconds:.0f} s"
    if old.value is not None and new.value.same_as(old.value):
        detail = "the node is still in the boot of before"
        return StepResult(STEP, new.node, Status.FAILED, before, after, seconds, detail)
    return StepResult(STEP, new.node, Status.CHANGED, before, after, seconds, "in another order")
