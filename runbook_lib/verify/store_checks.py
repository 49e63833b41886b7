"""Whether each member of the cluster store is one that engines can use: reachable the way they ask, with the v2 API."""

from __future__ import annotations

from collections.abc import Iterator

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError
from runbook_lib.facts.etcd import EtcdMember, read_members
from runbook_lib.model.parameters import Etcd
from runbook_lib.model.results import Check, Verdict

CHECK = "etcd member"
EXPECTED = "answers the engines' way, with the v2 API on"
_NO_MAJORITY = "start the other members (notebook 02_autostart_etcd): a majority of them decides"


def check_members(cluster: Cluster, etcd: Etcd) -> Iterator[Check]:
    """A row a member; one that does not run is not judged, since notebook 02 starts it."""
    try:
        members = read_members(cluster, etcd)
    except RunbookError as error:
        yield Check(CHECK, "all", Verdict.FAIL, EXPECTED, error.message.splitlines()[0], error.remedy)
        return
    yield from (judge_member(member) for member in members)


def judge_member(member: EtcdMember) -> Check:
    """The row of one member: a failure where engines cannot use it, a warning where it is merely not ready."""
    node, found = member.node or "all", f"{member.name}: {member.detail or member.health}"
    if member.container_state != "running":
        return Check(CHECK, node, Verdict.SKIP, EXPECTED, found)
    if member.remedy:
        return Check(CHECK, node, Verdict.FAIL, EXPECTED, found.removesuffix(f": {member.remedy}"), member.remedy)
    if member.health != "healthy":
        return Check(CHECK, node, Verdict.WARN, EXPECTED, found, _NO_MAJORITY)
    return Check(CHECK, node, Verdict.PASS, EXPECTED, f"{found}, etcd {member.version}")
