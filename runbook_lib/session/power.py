"""Restarting every node: through the testbed where the order of the boots matters, over SSH everywhere else."""

from __future__ import annotations

import time

from runbook_lib.cluster import Cluster
from runbook_lib.errors import NodeError
from runbook_lib.facts.host import HostFacts, read_host
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Status, StepResult
from runbook_lib.steps.base import Reporter, run_step
from runbook_lib.steps.reboot import Reboot
from runbook_lib.testbed import Testbed

STEP = "power cycle"


def cycle(cluster: Cluster, parameters: Parameters, *, shuffle: bool, reporter: Reporter) -> tuple[StepResult, ...]:
    """Restart every node and wait until each is back; one row a node.

    Plan mode, and a run without the parameter ``power_cycle``, restart nothing and say so in the rows.
    """
    if parameters.plan or not parameters.power_cycle:
        status = Status.PLANNED if parameters.plan else Status.SKIPPED
        why = "" if parameters.plan else "the parameter power_cycle is false: no node is restarted"
        return tuple(
            StepResult(STEP, node.name, status, before="running", after="restarted", detail=why) for node in cluster
        )
    if shuffle and parameters.testbed_name is not None:
        return _shuffled(cluster, Testbed.load(parameters.testbed_name), reporter)
    return run_step(cluster, Reboot(), reporter=reporter)


def _shuffled(cluster: Cluster, testbed: Testbed, reporter: Reporter) -> tuple[StepResult, ...]:
    """Restart the testbed in another order, and prove by a reading that every node is a new boot."""
    before = {outcome.node: outcome.value for outcome in cluster.each(read_host)}
    started = time.monotonic()
    cluster.close()
    for node in cluster:
        reporter(STEP, node.name, "restarting")
    testbed.reboot(shuffle=True)
    rows = []
    for outcome in cluster.each(read_host):
        seconds = time.monotonic() - started
        old, new = before[outcome.node], outcome.value
        if new is None:
            error = outcome.error or NodeError(outcome.node, "no reading")
            rows.append(StepResult(STEP, outcome.node, Status.UNREACHABLE, _boot(old), "", seconds, error.message))
        elif old is not None and new.started_at <= old.started_at + 0.5:
            rows.append(
                StepResult(STEP, outcome.node, Status.FAILED, _boot(old), _boot(new), seconds, "still the old boot")
            )
        else:
            rows.append(
                StepResult(STEP, outcome.node, Status.CHANGED, _boot(old), _boot(new), seconds, "in another order")
            )
            reporter(STEP, outcome.node, "back")
    return tuple(rows)


def _boot(host: HostFacts | None) -> str:
    if host is None:
        return "did not answer"
    return f"booted {time.strftime('%H:%M:%S', time.gmtime(host.started_at))} UTC"
