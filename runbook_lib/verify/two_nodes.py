"""The two containers of an experiment that needs packets to leave a node."""

from __future__ import annotations

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, PreconditionError
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.verify.ping_matrix import find_containers


def on_two_nodes(cluster: Cluster, source: str, target: str, network: str) -> tuple[ContainerFacts, ContainerFacts]:
    """Find two running containers of one network on different nodes.

    Raises:
        PreconditionError: one of them does not run on the network.
        InputError: both are on one node.
    """
    found, silent = find_containers(cluster, {source, target})
    for name in (source, target):
        if name not in found or not found[name].running or network not in found[name].addresses:
            state = f"{name} is {found[name].status}, on {', '.join(found[name].networks)}" if name in found else silent
            raise PreconditionError(
                f"{name} does not run on {network}: {state}",
                remedy="notebook 04_run_containers starts it, 06_disconnect_connect connects it",
            )
    if found[source].node == found[target].node:
        raise InputError(
            f"{source} and {target} are both on {found[target].node}: no packet would leave the node",
            place="containers",
            remedy="name two containers on different nodes",
        )
    return found[source], found[target]
