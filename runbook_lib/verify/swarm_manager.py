"""Whether the classic Swarm manager of an inventory can be worked with: asked once, since its faults are no node's."""

from __future__ import annotations

from collections.abc import Iterator

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError
from runbook_lib.model.results import Check, Verdict

CHECK = "Swarm manager"
ALL = "all"
#: What is said of a manager that lists no node: nothing is wrong with it, and it is not used.
ASIDE = "the Swarm manager lists no node yet: each node's own engine is asked instead"
_NOT_YET = (
    "nothing, if it has just started: its agents register once a minute. Where its discovery is the cluster's own etcd,"
    " it knows no node until that runs: notebook 02_autostart_etcd starts it"
)


def check_manager(cluster: Cluster) -> Iterator[Check]:
    """One row, of no node, or none for a cluster without a manager: a warning while the manager lists nobody."""
    manager = cluster.inventory.swarm_manager
    if manager is None:
        return
    expected = f"it answers at {manager.host}:{manager.port} and lists nodes"
    try:
        nodes = cluster.listed_by_manager()
    except RunbookError as error:
        yield Check(CHECK, ALL, Verdict.FAIL, expected, error.message.splitlines()[0], error.remedy)
        return
    if nodes:
        yield Check(CHECK, ALL, Verdict.PASS, expected, ", ".join(map(str, nodes)))
    else:
        yield Check(CHECK, ALL, Verdict.WARN, expected, ASIDE, _NOT_YET)
