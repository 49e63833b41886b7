"""A short overview of a cluster, for the start page of JupyterLab."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import RunbookError
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Timeouts
from runbook_lib.session.questions import preconditions
from runbook_lib.session.views.display import Picture
from runbook_lib.session.views.pictures import picture

# Each precondition, and the notebook that creates it.
_THINGS = {
    "fixed addresses": "01_fix_node_ips",
    "cluster store": "02_autostart_etcd",
    "overlay": "03_create_overlay",
    "containers": "04_run_containers",
}
# The user waits for the page to open.
_TIMEOUTS = Timeouts(connect=3, command=10, reboot=10)
_LONGEST = 100


@dataclass(frozen=True)
class NodeOverview:
    """A node: its address on the cluster's network and who assigned it, its engine, its running containers.

    ``containers`` are those in the parameters, ``others`` all other ones, including the control plane's members.
    ``trouble`` says why the node could not be read; it is empty otherwise.
    """

    name: str
    address: str = ""
    assigned_by: str = ""
    engine: str = ""
    containers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class NotebookResultState:
    """Whether the result of a notebook exists on the cluster; ``found`` is what was found, or the first fault."""

    notebook: str
    what: str
    there: bool
    found: str


@dataclass(frozen=True)
class Overview:
    """The state of a cluster at one moment."""

    cluster: str
    nodes: Sequence[NodeOverview]
    notebook_results: Sequence[NotebookResultState]
    picture: Picture


def overview(run: Run) -> Overview:
    """Read every node. A node that does not answer is part of the result, not an error.

    Raises:
        InputError: a key that others may read, a refused host key.
    """
    # Plan mode does not wait.
    parameters = run.parameters.model_copy(update={"plan": True, "timeouts": _TIMEOUTS})
    with Cluster(run.inventory, _TIMEOUTS) as cluster:
        return Overview(
            cluster=parameters.name,
            nodes=[
                outcome.value or NodeOverview(outcome.node, trouble=outcome.error.message if outcome.error else "")
                for outcome in cluster.each(lambda node: _look_at(node, run))
            ],
            notebook_results=[_notebook_result(cluster, run, thing) for thing in _THINGS],
            picture=picture(cluster, parameters),
        )


def _look_at(node: Node, run: Run) -> NodeOverview:
    address = read_cluster_address(node, run.inventory.network)
    version = str(node.engine.info()["ServerVersion"])
    running = [item.name for item in read_containers(node, every=False)]
    wanted = {container.name for container in run.parameters.containers}
    ours, others = (tuple(name for name in running if (name in wanted) is mine) for mine in (True, False))
    return NodeOverview(node.name, address.address or "", address.assigned_by, version, ours, others)


def _notebook_result(cluster: Cluster, run: Run, thing: str) -> NotebookResultState:
    try:
        (row,) = preconditions.check_preconditions(cluster, run.parameters.model_copy(update={"plan": True}), [thing])
    except RunbookError as error:
        return NotebookResultState(_THINGS[thing], thing, False, textwrap.shorten(error.message, _LONGEST))
    if row.there:
        return NotebookResultState(row.notebook, row.needed, True, row.good)
    more = f" (and {len(row.faults) - 1} more)" if len(row.faults) > 1 else ""
    return NotebookResultState(row.notebook, row.needed, False, textwrap.shorten(row.faults[0], _LONGEST) + more)
