"""The objects on the live nodes that notebooks created, and those of others beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import Member
from runbook_lib.facts.docker.networks import GATEWAY_BRIDGE
from runbook_lib.facts.host.addresses import BOOTLOCAL, BOOTSYNC, read_bootlocal
from runbook_lib.facts.host.platform import read_platform
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Status, Verdict
from runbook_lib.session.claim import answers
from runbook_lib.steps import OWNER_LABEL, has_autostart_block
from runbook_lib.steps.containers import RemoveContainers
from runbook_lib.steps.leftovers import RemoveGatewayBridges, read_bridge
from runbook_lib.steps.networks import RemoveNetworks
from runbook_lib.steps.platforms import changes, platform_of
from runbook_lib.tables.frame import FLAG, Column, Table, document_columns, grouped

Kind = Literal["container", "network", "block in bootlocal.sh", "block in bootsync.sh", "fixed address"]

_CONTAINERS: tuple[Kind, ...] = ("container", "network")
_BOOT_SCRIPTS: tuple[Kind, ...] = ("block in bootlocal.sh", "block in bootsync.sh")
_ON_SYSTEMD: tuple[Kind, ...] = ("fixed address",)
_KINDS = _CONTAINERS + _BOOT_SCRIPTS + _ON_SYSTEMD
# The kind of object that each removing step names.
_REMOVERS: dict[str, Kind] = {RemoveContainers.name: "container", RemoveNetworks.name: "network"}
_BUILT_IN = ("bridge", "host", "none")


@dataclass(frozen=True)
class NodeObject:
    """One object on a node; ``ours`` if a notebook of this cluster created it, or Docker only for our containers."""

    node: str
    kind: Kind
    name: str
    ours: bool
    detail: str = ""


TABLE = Table[Sequence[NodeObject]](
    "One row per object; the same object on several nodes is one row.",
    Column("kind", lambda alike: alike[0].kind, meaning="container, network, block in a boot script, fixed address"),
    Column("name", lambda alike: alike[0].name),
    Column("ours", lambda alike: alike[0].ours, FLAG, meaning="whether a notebook of this cluster made it"),
    Column("nodes", lambda alike: ", ".join(item.node for item in alike), meaning="where it is"),
    Column("detail", lambda alike: alike[0].detail),
)


def read_objects(cluster: Cluster, parameters: Parameters) -> tuple[NodeObject, ...]:
    """Every container, every network except Docker's three built-in ones, and our boot configuration, by node.

    Boot configuration is a block in a boot script, or on a systemd host the file that fixes its address.

    Raises:
        UnreachableError, NodeError: naming every node that gave no answer.
    """
    interface = cluster.inventory.network.interface

    def ask(node: Node) -> tuple[NodeObject, ...]:
        return tuple(_on(node, parameters, interface))

    return tuple(item for items in answers(cluster.each(ask)) for item in items)


@document_columns(TABLE)
def table(objects: Sequence[NodeObject]) -> pd.DataFrame:
    """The objects on all nodes, ours first."""
    ordered = sorted(objects, key=lambda item: (not item.ours, _KINDS.index(item.kind)))
    return TABLE(grouped(ordered, lambda item: (item.kind, item.name, item.ours, item.detail)).values())


def foreign_objects(before: pd.DataFrame, after: pd.DataFrame, done: pd.DataFrame) -> tuple[Check, ...]:
    """One check per foreign object that has disappeared; it fails if our steps removed the object.

    An object that ended, or that its owner removed in the meantime, is a warning. So is docker_gwbridge, which is
    removed only after its last foreign container has left.

    Args:
        before: the table of ``read.belongings()`` from before the steps.
        after: the same table from after the steps.
        done: the steps' rows, with the columns step, node, status and before (what was removed).
    """

    def places(rows: pd.DataFrame) -> set[tuple[str, str, str]]:
        return {
            (kind, name, node)
            for kind, name, nodes in zip(rows["kind"], rows["name"], rows["nodes"], strict=True)
            for node in nodes.split(", ")
        }

    rows = done[done["status"] == Status.CHANGED]
    removed = {
        (_REMOVERS[step], name, node)
        for step, node, names in zip(rows["step"], rows["node"], rows["before"], strict=True)
        for name in names.split(", ")
        if step in _REMOVERS
    }
    foreign = places(before[~before["ours"]])
    missing = sorted(foreign - places(after), key=lambda place: place[1:])
    claim, expected = "no foreign object was removed by our steps", "untouched"
    if not missing:
        return (Check(claim, "", Verdict.PASS, expected, f"all {len(foreign)} are there"),)
    unbridged = set(rows.loc[rows["step"] == RemoveGatewayBridges.name, "node"])
    checks = []
    for kind, name, node in missing:
        if name == GATEWAY_BRIDGE and node in unbridged:
            found = f"{name} was removed: it came with our overlay, and no foreign container used it any more"
            checks.append(Check(claim, node, Verdict.WARN, expected, found))
        elif (kind, name, node) in removed:
            remedy = "report this as a bug: the step must only remove objects with our label"
            checks.append(Check(claim, node, Verdict.FAIL, expected, f"our steps removed the {kind} {name}", remedy))
        else:
            found = f"the {kind} {name} disappeared, but not by these steps: it ended, or its owner removed it"
            checks.append(Check(claim, node, Verdict.WARN, expected, found))
    return tuple(checks)


def leftovers(cluster: Cluster, parameters: Parameters, *, boot_scripts: bool) -> tuple[Check, ...]:
    """Whether any of our objects is left, read from the nodes: see ``judge``.

    Raises:
        UnreachableError, NodeError: naming every node that gave no answer.
    """
    objects = read_objects(cluster, parameters)
    members = control_plane_of(parameters).read_members(cluster)
    return judge(objects, cluster.inventory.names, members, boot_scripts=boot_scripts)


def judge(
    objects: Sequence[NodeObject],
    nodes: Sequence[str],
    members: Sequence[Member],
    *,
    boot_scripts: bool = False,
) -> tuple[Check, ...]:
    """One check per kind and node, and one of the store.

    Global networks are kept in the store: without quorum the engines list none of them, so their absence is not proven,
    unless the members never ran.

    Args:
        objects: what was found.
        nodes: the nodes that were asked.
        members: the store's members.
        boot_scripts: whether the blocks in boot scripts were to go too.
    """
    ours = [item for item in objects if item.ours]
    kinds = _CONTAINERS
    if boot_scripts:
        kinds += _BOOT_SCRIPTS + tuple(kind for kind in _ON_SYSTEMD if any(item.kind == kind for item in ours))
    checks = [
        _nothing_left(kind, node, [item.name for item in ours if (item.kind, item.node) == (kind, node)])
        for kind in kinds
        for node in nodes
    ]
    return (*checks, _store_was_asked(members))


def _on(node: Node, parameters: Parameters, interface: str) -> Iterator[NodeObject]:
    owner = parameters.name
    gateway = read_bridge(node, owner)
    for container in gateway.found.containers:
        ours = container.labels.get(OWNER_LABEL) == owner
        yield NodeObject(node.name, "container", container.name, ours, container.state)
    for network in gateway.found.networks:
        if network.name in _BUILT_IN:
            continue
        detail = f"{network.driver}, {network.scope}"
        if network.name == GATEWAY_BRIDGE and not control_plane_of(parameters).bridges_every_node:
            ours = gateway.removable
            detail += ", made by Docker for our containers" if ours else ""
        else:
            ours = network.labels.get(OWNER_LABEL) == owner
        yield NodeObject(node.name, "network", network.name, ours, detail)
    if has_autostart_block(read_bootlocal(node)):
        yield NodeObject(node.name, "block in bootlocal.sh", BOOTLOCAL, True, "starts etcd at boot")
    host = read_platform(node, interface)
    if host.platform is None or not platform_of(host).is_ours(host):
        return
    if host.platform == "boot2docker":
        yield NodeObject(node.name, "block in bootsync.sh", BOOTSYNC, True, "sets the fixed address at boot")
    else:
        for file in changes(host, platform_of(host).original(host)):
            yield NodeObject(node.name, "fixed address", file.path, True, f"for {host.platform}")


def _nothing_left(kind: Kind, node: str, names: Sequence[str]) -> Check:
    verdict = Verdict.FAIL if names else Verdict.PASS
    found = ", ".join(names) or "none of ours"
    return Check(f"no {kind} of ours is left", node, verdict, "none of ours", found, "run this notebook again")


def _store_was_asked(members: Sequence[Member]) -> Check:
    claim, expected = "the cluster store was asked for networks", "a leader, or members that never ran"
    if any(member.leader for member in members):
        return Check(claim, "", Verdict.PASS, expected, "a leader")
    if all(member.container_state == "created" for member in members):
        return Check(claim, "", Verdict.PASS, expected, "members that never ran")
    states = ", ".join(f"{member.name} {member.container_state}" for member in members)
    remedy = "start the members (notebook 02_autostart_etcd), then run this notebook again"
    return Check(claim, "", Verdict.WARN, expected, f"not proven, because the store has no quorum: {states}", remedy)
