"""Checks of the control plane: members and quorum, gossip, advertised addresses, the classic Swarm manager."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import RunbookError
from runbook_lib.facts.control_planes.base import Advertised, ControlPlane, Member, read_advertised
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.facts.overlay.gossip import GOSSIP_PORT, Gossip, common_unknown_peer, gossip_faults, unknown_peers
from runbook_lib.model.results import Check, Verdict
from runbook_lib.waiting import Deadline

MEMBER, QUORUM = "control plane member", "quorum of the control plane"
EXPECTED = "healthy, and usable by engines"
_NO_MAJORITY = "start the others (notebook 02_autostart_etcd): the quorum is a majority of the members"
_CUT_OFF = "the other members have a quorum without it: check its node's port and address rows, and its log"
_SILENT = "it runs but its port does not answer: check the rows on that port, and its log"
# members that start together elect a leader within one or two seconds, later on a busy machine
_ELECTION_SECONDS = 10.0
_PAUSE = 0.5
_START = "notebook 02_autostart_etcd starts what is stopped, and waits for them"


def check_members(cluster: Cluster, control_plane: ControlPlane, overlay: str = "") -> Iterator[Check]:
    """A row per running member (notebook 02 starts the others), and one on the quorum.

    ``overlay`` is the name of the cluster's network. A lost quorum fails if something needs it; on a new cluster, whose
    members were never started, it is skipped.
    """
    needs: str | None = None
    deadline = Deadline(_ELECTION_SECONDS)
    while True:
        try:
            members = control_plane.read_members(cluster)
        except RunbookError as error:
            yield Check(MEMBER, "all", Verdict.FAIL, EXPECTED, error.message.splitlines()[0], error.remedy)
            return
        if decides(members):
            break
        needs = needed_by(cluster, control_plane, overlay) if needs is None else needs
        running = sum(member.container_state == "running" and not member.remedy for member in members)
        if not needs or running < majority(members) or deadline.passed:
            break
        time.sleep(_PAUSE)
    yield from (judge_member(member, members) for member in members)
    yield judge_quorum(members, needs or "", control_plane)


def majority(members: Sequence[Member]) -> int:
    """How many members must agree."""
    return len(members) // 2 + 1


def decides(members: Sequence[Member]) -> bool:
    """Whether a majority of the members is healthy."""
    return sum(member.health == "healthy" for member in members) >= majority(members)


def judge_member(member: Member, members: Sequence[Member] = ()) -> Check:
    """The row of one member: a failure if engines cannot use it, a warning if it is only not ready."""
    node, found = member.node or "all", f"{member.name}: {member.detail or member.health}"
    if member.container_state != "running":
        return Check(MEMBER, node, Verdict.SKIP, EXPECTED, found)
    if member.remedy:
        return Check(MEMBER, node, Verdict.FAIL, EXPECTED, found.removesuffix(f": {member.remedy}"), member.remedy)
    if member.advice:
        return Check(MEMBER, node, Verdict.WARN, EXPECTED, found, member.advice)
    if member.health != "healthy":
        remedy = _SILENT if member.health == "down" else _CUT_OFF if decides(members) else _NO_MAJORITY
        return Check(MEMBER, node, Verdict.WARN, EXPECTED, found, remedy)
    version = f", version {member.version}" if member.version else ""
    return Check(MEMBER, node, Verdict.PASS, EXPECTED, f"{found}{version}")


def judge_quorum(members: Sequence[Member], needs: str, control_plane: ControlPlane) -> Check:
    """The row on the quorum: how many of the members are healthy, and ``needs``, what depends on them."""
    healthy = sum(member.health == "healthy" for member in members)
    expected = f"at least {majority(members)} of {len(members)} healthy"
    found = f"{healthy} of {len(members)} healthy"
    if decides(members):
        return Check(QUORUM, "all", Verdict.PASS, expected, found)
    lost = [member for member in members if member.health != "healthy"]
    found += f" (not {', '.join(_named(member) for member in lost)})"
    # a running member without a quorum is not at fault if others are down
    to_blame = [member for member in lost if member.health == "down"] or lost
    nodes = ", ".join(dict.fromkeys(member.node for member in to_blame if member.node)) or "all"
    if not needs:
        return Check(QUORUM, nodes, Verdict.SKIP, expected, f"{found}; not needed yet: notebook 02 starts them")
    remedy = f"nothing can be written to {control_plane.members_title} until enough of them are back: {_START}"
    return Check(QUORUM, nodes, Verdict.FAIL, expected, f"{found}; {needs}", remedy)


def _named(member: Member) -> str:
    state = member.detail or member.health
    return f"{member.name} on {member.node}: {state}" if member.node else f"{member.name}: {state}"


def needed_by(cluster: Cluster, control_plane: ControlPlane, overlay: str) -> str:
    """What depends on the control plane, in words; empty if nothing does.

    A gossiping engine was connected to it since its start. A container keeps its network's name, while no engine lists
    the network without the store.
    """

    def look(node: Node) -> str:
        if control_plane.read_gossip_address(node):
            return f"the engine of {node.name} was connected to it"
        shared = [item.name for item in read_networks(node) if item.scope == control_plane.scope]
        for container in read_containers(node):
            for network in container.networks:
                if network in (overlay, *shared):
                    return f"container {container.full_name} is on {network}"
        return f"network {shared[0]} is there" if shared else ""

    return next((outcome.value for outcome in cluster.each(look) if outcome.value), "")


def judge_gossip(rows: Sequence[Gossip]) -> tuple[Check, ...]:
    """Whether each engine knows every other one; if one node is in every broken pair, only that node fails.

    An engine that does not gossip is skipped: it is not connected yet.
    """
    unknown = unknown_peers(rows)
    common = common_unknown_peer(unknown)
    remedy = f"notebook 00_meet_the_cluster tries tcp and udp {GOSSIP_PORT} of each node"
    checks = []
    for row in rows:
        found, verdict = "knows them", Verdict.PASS
        if row.trouble:
            found, verdict = row.trouble, Verdict.FAIL
        elif not row.address:
            found, verdict = "it does not gossip", Verdict.SKIP
        elif common == row.node:
            found, verdict = gossip_faults(rows)[0].removeprefix(f"{row.node}: "), Verdict.FAIL
        elif unknown[row.node] and not common:
            found, verdict = f"does not know {', '.join(unknown[row.node])}", Verdict.FAIL
        elif unknown[row.node]:
            found = f"knows all but {common}"
        told = "" if verdict in (Verdict.PASS, Verdict.SKIP) else remedy
        checks.append(Check("the engine knows every other one", row.node, verdict, "knows them", found, told))
    return tuple(checks)


ADVERTISED = "advertised address"


def check_advertised(cluster: Cluster, control_plane: ControlPlane) -> Iterator[Check]:
    """A row per node; one that does not answer fails."""
    network = cluster.inventory.network
    for outcome in cluster.each(lambda node: read_advertised(node, network)):
        if outcome.error is not None:
            expected = f"an address of {network.interface}"
            message = outcome.error.message.splitlines()[0]
            yield Check(ADVERTISED, outcome.node, Verdict.FAIL, expected, message, outcome.error.remedy)
        else:
            yield judge_advertised(outcome.result, control_plane)


def judge_advertised(facts: Advertised, control_plane: ControlPlane) -> Check:
    """The row of one node; a warning if the overlay may use another address (--data-path-addr)."""
    expected = f"an address of {facts.network}: {' or '.join(facts.own) or 'it has none'}"
    if not facts.own:
        # nothing to compare with: the address rows report it
        return Check(ADVERTISED, facts.node, Verdict.SKIP, expected, facts.address or "nothing")
    if facts.right:
        return Check(ADVERTISED, facts.node, Verdict.PASS, expected, facts.address)
    holder = f"the address of {facts.interface}" if facts.interface else "which no interface of the node has"
    found = f"{facts.address}, {holder}" if facts.address else "it advertises no address"
    remedy = control_plane.advertise_remedy(facts)
    if facts.address and not control_plane.reports_data_path:
        shown = "the forwarding table in notebook 07_look_inside_the_overlay shows where packets go"
        good = f"nothing to do if its engine joined with --data-path-addr {facts.network} or {facts.own[0]} ({shown})"
        return Check(ADVERTISED, facts.node, Verdict.WARN, expected, found, f"{good}; else {remedy}")
    return Check(ADVERTISED, facts.node, Verdict.FAIL, expected, found, remedy)


SWARM_MANAGER = "Swarm manager"
ALL = "all"
#: The note about a manager that lists no node: not a fault, but it is not used.
ASIDE = "the Swarm manager lists no node yet: each node's own engine is asked instead"
_NOT_YET = (
    "nothing, if it has just started: its agents register once a minute. Where its discovery is the cluster's own etcd,"
    " it knows no node until that runs: notebook 02_autostart_etcd starts it"
)


def check_manager(cluster: Cluster) -> Iterator[Check]:
    """One row (of no node), or none without a manager; a warning while the manager lists no node."""
    manager = cluster.inventory.swarm_manager
    if manager is None:
        return
    expected = f"it answers at {manager.host}:{manager.port} and lists nodes"
    try:
        nodes = cluster.listed_by_manager()
    except RunbookError as error:
        yield Check(SWARM_MANAGER, ALL, Verdict.FAIL, expected, error.message.splitlines()[0], error.remedy)
        return
    if nodes:
        yield Check(SWARM_MANAGER, ALL, Verdict.PASS, expected, ", ".join(map(str, nodes)))
    else:
        yield Check(SWARM_MANAGER, ALL, Verdict.WARN, expected, ASIDE, _NOT_YET)
