"""Whether each member of the control plane is one that engines can use (of a store: reached their way, its API on)."""

from __future__ import annotations

from collections.abc import Iterator

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError
from runbook_lib.facts.control_plane import ControlPlane, Member
from runbook_lib.model.results import Check, Verdict

CHECK = "control plane member"
EXPECTED = "healthy, and of use to engines"
_NO_MAJORITY = "start the others (notebook 02_autostart_etcd): a majority of the members decides"


def check_members(cluster: Cluster, control_plane: ControlPlane) -> Iterator[Check]:
    """A row a member; one that does not run is not judged, since notebook 02 starts it."""
    try:
        members = control_plane.read_members(cluster)
    except RunbookError as error:
        yield Check(CHECK, "all", Verdict.FAIL, EXPECTED, error.message.splitlines()[0], error.remedy)
        return
    yield from (judge_member(member) for member in members)


def judge_member(member: Member) -> Check:
    """The row of one member: a failure where engines cannot use it, a warning where it is merely not ready."""
    node, found = member.node or "all", f"{member.name}: {member.detail or member.health}"
    if member.container_state != "running":
        return Check(CHECK, node, Verdict.SKIP, EXPECTED, found)
    if member.remedy:
        return Check(CHECK, node, Verdict.FAIL, EXPECTED, found.removesuffix(f": {member.remedy}"), member.remedy)
    if member.health != "healthy":
        return Check(CHECK, node, Verdict.WARN, EXPECTED, found, _NO_MAJORITY)
    version = f", version {member.version}" if member.version else ""
    return Check(CHECK, node, Verdict.PASS, EXPECTED, f"{found}{version}")
