"""The members of the cluster store: their containers, their health, who leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import NodeError
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.etcd_unit import UnitMember, read_own_members
from runbook_lib.facts.fetch import FETCH, fetch_trouble, has_client, http_status, parse_json
from runbook_lib.facts.reading import Section, read_sections, reading
from runbook_lib.model.parameters import Etcd

Health = Literal["healthy", "unhealthy", "down"]


@dataclass(frozen=True)
class EtcdMember:
    """One member of the store.

    ``node`` is where its container is; empty when no node that answered has it. ``container_state`` is Docker's word,
    ``absent`` (every node answered and none has it) or ``unknown`` (it may be on a node that did not answer).
    ``health`` is ``healthy`` (its ``/health`` says so, which needs a leader), ``unhealthy`` (it answers and says no) or
    ``down`` (nothing answers at ``client_url``, or nobody could ask: see ``detail``). ``term`` and ``index`` are
    raft's; members that agree on the term follow the same leader.
    """

    name: str
    node: str
    container_state: str
    restart_policy: str
    health: Health
    leader: bool
    client_url: str
    member_id: str = ""
    term: int | None = None
    index: int | None = None
    version: str = ""
    detail: str = ""


_MEMBER_SCRIPT = (
    FETCH
    + """\
raft() {
    fetch "$1/debug/vars" | grep '"raft.status"'
}
section health fetch "$1/health"
# a member that keeps silent is not worth three more timeouts
case $? in 124|143) exit 0 ;; esac
section self fetch "$1/v2/stats/self"
section version fetch "$1/version"
section raft raft "$1"
"""
)


def read_members(cluster: Cluster, etcd: Etcd) -> tuple[EtcdMember, ...]:
    """Every member of ``etcd.members``, in that order, all nodes asked at once.

    Each member is asked from its own node at that node's cluster address, which is where the engines look for it;
    the runbook's machine need not reach that network. A node that does not answer costs its members their health,
    not the others theirs.

    Raises:
        RunbookError: no node answered at all.
    """
    outcomes = cluster.each(lambda node: _members_of(node, etcd))
    if all(outcome.error is not None for outcome in outcomes):
        raise outcomes[0].error or NodeError(outcomes[0].node, "no node answered")
    found = {member.name: member for outcome in outcomes if outcome.value for member in outcome.value}
    return tuple(found.get(name) or _missing(name, outcomes) for name in etcd.members)


def _members_of(node: Node, etcd: Etcd) -> tuple[EtcdMember, ...]:
    containers = read_own_members(node, etcd.members)
    url = f"http://{node.spec.cluster_address}:{etcd.client_port}"
    members = []
    for container in containers:
        if not container.running:
            members.append(_stopped(container, url))
            continue
        sections = read_sections(node, _MEMBER_SCRIPT, url)
        with reading(node.name, f"answers of etcd member {container.name}"):
            members.append(parse_member(container, url, sections))
    return tuple(members)


def _stopped(container: ContainerFacts, url: str) -> EtcdMember:
    return EtcdMember(
        name=container.name,
        node=container.node,
        container_state=container.state,
        restart_policy=container.restart_policy,
        health="down",
        leader=False,
        client_url=url,
        detail=container.status if isinstance(container, UnitMember) else f"container {container.status}",
    )


def _missing(name: str, outcomes: Sequence[Outcome[tuple[EtcdMember, ...]]]) -> EtcdMember:
    silent = [outcome for outcome in outcomes if outcome.error is not None]
    if silent:
        detail = "; ".join(
            f"{outcome.node} did not answer: {outcome.error.message}" for outcome in silent if outcome.error
        )
    else:
        detail = "no node has this container, or a unit for it"
    state = "unknown" if silent else "absent"
    return EtcdMember(name, "", state, "", "down", False, "", detail=detail)


def parse_member(container: ContainerFacts, url: str, sections: Mapping[str, Section]) -> EtcdMember:
    """A running member from the fetched sections health, self, version and raft.

    Raises:
        ValueError: an answer that is not etcd's.
    """
    asked = sections["health"]
    if not has_client(asked):
        raise ValueError(asked.text.strip())
    member = replace(_stopped(container, url), detail="")
    if http_status(asked) is None:
        return replace(member, detail=fetch_trouble(asked))
    health, trouble = parse_health(asked)
    state, raft = _json(sections["self"]), _raft(sections["raft"])
    if not trouble and http_status(sections["self"]) == 404:
        trouble = "its v2 API is off, so engines cannot use it (etcd needs --enable-v2=true)"
    named = str(state.get("name") or container.name)
    if named != container.name:
        trouble = f"the member at {url} calls itself {named}"
        health = "unhealthy"
    return replace(
        member,
        health=health,
        # /v2/stats/self goes on calling a member leader that has lost its majority; raft's own status does not
        leader=(raft.get("raftState") or state.get("state")) == "StateLeader",
        member_id=str(state.get("id") or raft.get("id") or ""),
        term=_whole(raft.get("term")),
        index=_whole(raft.get("applied", raft.get("commit"))),
        version=str(_json(sections["version"]).get("etcdserver") or ""),
        detail=trouble,
    )


def parse_health(section: Section) -> tuple[Health, str]:
    """``healthy`` or ``unhealthy`` with the reason, from ``/health`` of a member that answered. Raises ``ValueError``.

    etcd 2 and 3 say ``{"health":"true"}`` (3.5 adds a reason); an unhealthy one answers 503 or says ``false``.
    """
    if section.exit_status != 0:
        return "unhealthy", fetch_trouble(section)
    answer = parse_json(section.text)
    if "health" not in answer:
        raise ValueError(f"/health answered {section.text.strip()!r}")
    if str(answer["health"]).lower() == "true":
        return "healthy", ""
    return "unhealthy", str(answer.get("reason") or "it has no leader, or cannot commit")


def _json(section: Section) -> dict[str, Any]:
    return parse_json(section.text) if section.exit_status == 0 else {}


def _raft(section: Section) -> dict[str, Any]:
    """etcd's ``raft.status`` out of one line of ``/debug/vars``; empty where there is none."""
    if section.exit_status != 0:
        return {}
    status = parse_json("{" + section.text.strip().rstrip(",") + "}").get("raft.status")
    return status if isinstance(status, dict) else {}


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
