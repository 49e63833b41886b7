from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.control_plane import Member
from runbook_lib.model.results import Verdict
from runbook_lib.verify.member_checks import judge_member

MEMBER = Member("etcd1", "node1", "running", "no", "healthy", True, "http://10.0.0.1:2379", version="3.4.23")


@pytest.mark.parametrize(
    ("member", "verdict", "found"),
    [
        (MEMBER, Verdict.PASS, "etcd1: healthy, version 3.4.23"),
        (replace(MEMBER, detail="it is off: put it on", remedy="put it on"), Verdict.FAIL, "etcd1: it is off"),
        (replace(MEMBER, health="unhealthy", detail="no leader"), Verdict.WARN, "etcd1: no leader"),
        (replace(MEMBER, container_state="exited", health="down", detail="exited"), Verdict.SKIP, "etcd1: exited"),
    ],
)
def test_a_member_is_judged_by_what_engines_can_do_with_it(member: Member, verdict: Verdict, found: str) -> None:
    check = judge_member(member)
    assert (check.node, check.verdict, check.found) == ("node1", verdict, found)
    assert bool(check.remedy) == (verdict in (Verdict.FAIL, Verdict.WARN))
