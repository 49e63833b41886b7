"""What a notebook needs from the ones before it, read from the live cluster and never from memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from runbook_lib.cluster import Cluster
from runbook_lib.errors import EngineError, InputError, PreconditionError
from runbook_lib.facts.addresses import read_cluster_address
from runbook_lib.facts.containers import read_containers
from runbook_lib.facts.gossip import read_gossip
from runbook_lib.facts.networks import read_network
from runbook_lib.facts.registrations import read_registrations
from runbook_lib.model.parameters import Parameters
from runbook_lib.tables.frame import FLAG, TEXT, frame

COLUMNS = {"needed": TEXT, "there": FLAG, "found": TEXT, "made by": TEXT}


@dataclass(frozen=True)
class Precondition:
    """Something needed: whether it is there, what was found, and the notebook that makes it."""

    needed: str
    there: bool
    found: str
    notebook: str


def require(cluster: Cluster, parameters: Parameters, things: Sequence[str]) -> pd.DataFrame:
    """Look for each thing; columns: needed, there, found, made by.

    Raises:
        InputError: a thing that nobody knows.
        PreconditionError: the first thing that is missing, with the notebook to run (not in plan mode).
        UnreachableError: a node that must be asked does not answer.
    """
    rows = [_look(thing)(cluster, parameters) for thing in things]
    if not parameters.plan:
        for row in rows:
            if not row.there:
                raise PreconditionError(
                    f"this notebook needs: {row.needed}",
                    expected=row.needed,
                    found=row.found,
                    remedy=f"run the notebook {row.notebook} first: ./runbook run {row.notebook}",
                )
    table = [(row.needed, row.there, row.found, row.notebook) for row in rows]
    return frame(table, COLUMNS)


def _look(thing: str) -> Callable[[Cluster, Parameters], Precondition]:
    looks = {
        "fixed addresses": _fixed_addresses,
        "cluster store": _cluster_store,
        "overlay": _overlay,
        "containers": _containers,
    }
    if thing not in looks:
        raise InputError(f"nobody knows how to look for {thing!r}", remedy=f"one of {', '.join(looks)}")
    return looks[thing]


def _fixed_addresses(cluster: Cluster, parameters: Parameters) -> Precondition:
    network = cluster.inventory.network
    found = [outcome.result for outcome in cluster.each(lambda node: read_cluster_address(node, network))]
    wrong = [
        f"{item.node} has {item.address or 'none'} by {item.assigned_by}, not {item.expected}"
        for item in found
        if not item.as_expected or item.assigned_by != "static"
    ]
    text = "; ".join(wrong) or f"{len(found)} nodes at their fixed addresses"
    return Precondition("a fixed address on every node", not wrong, text, "01_fix_node_ips")


def _cluster_store(cluster: Cluster, parameters: Parameters) -> Precondition:
    rows = read_registrations(cluster, parameters.etcd)
    gossip = {outcome.node for outcome in cluster.each(read_gossip) if outcome.value}
    lost = [f"{row.node}: {row.detail}" for row in rows if not row.connected]
    lost += [f"{row.node}: not in the engines' gossip yet" for row in rows if row.connected and row.node not in gossip]
    text = "; ".join(lost) or f"{len(rows)} engines connected"
    return Precondition("a cluster store that every engine is connected to", not lost, text, "02_autostart_etcd")


def _overlay(cluster: Cluster, parameters: Parameters) -> Precondition:
    name = parameters.overlay.name
    try:
        found = read_network(cluster.nodes[0], name)
    except EngineError as error:
        return Precondition(f"the network {name}", False, error.explanation, "03_create_overlay")
    text = f"{found.driver} {found.id[:12]}, {found.subnet}" if found else "no network of that name"
    return Precondition(f"the network {name}", found is not None, text, "03_create_overlay")


def _containers(cluster: Cluster, parameters: Parameters) -> Precondition:
    overlay = parameters.overlay.name
    running = {
        item.name: item
        for outcome in cluster.each(lambda node: read_containers(node, every=True))
        for item in outcome.result
    }
    wanted = [container.name for container in parameters.containers]
    wrong = []
    for name in wanted:
        item = running.get(name)
        if item is None:
            wrong.append(f"{name}: no such container")
        elif not item.running:
            wrong.append(f"{item.full_name}: {item.status}")
        elif overlay not in item.networks:
            wrong.append(f"{item.full_name}: not on {overlay}")
    text = "; ".join(wrong) or ", ".join(running[name].full_name for name in wanted)
    return Precondition(f"{', '.join(wanted)} running on {overlay}", not wrong, text, "04_run_containers")
