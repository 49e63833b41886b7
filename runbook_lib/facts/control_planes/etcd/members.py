"""The members of the cluster store: etcd containers or the host's systemd unit, their health, the leader."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import NodeError
from runbook_lib.facts.control_planes.base import Health, Member
from runbook_lib.facts.control_planes.etcd.access import (
    PLAIN,
    SPEAKS_TLS,
    StoreAccess,
    StoreTrouble,
    access_trouble,
    fetch_trouble,
    has_client,
    http_status,
    no_answer,
    parse_json,
    read_access,
    v2_trouble,
    without_tls,
)
from runbook_lib.facts.docker.containers import RESTARTING, ContainerFacts, read_container
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.parameters import Etcd

ETCD_UNIT = "etcd.service"
DROP_IN = f"/etc/systemd/system/{ETCD_UNIT}.d/overlay-runbook.conf"
_UP = ("active", "activating", "reloading")


@dataclass(frozen=True)
class UnitMember(ContainerFacts):
    """A member that is a systemd unit of the host, described by a container's fields.

    ``state`` is ``running`` or ``exited``, ``status`` systemd's states, ``restart_policy`` whether the unit is
    enabled (``etcd.service enabled``). ``after_engine``: it starts after the node's engine; ``drop_in``: a drop-in file
    of the runbook says so.
    """

    after_engine: bool = False
    drop_in: bool = False

    @property
    def enabled(self) -> bool:
        """Whether systemd starts it at boot."""
        return starts_at_boot(self.restart_policy)


def starts_at_boot(restart_policy: str) -> bool:
    """Whether a member with this restart policy, or this state of its unit, is started without any script."""
    return restart_policy in RESTARTING or restart_policy.endswith(" enabled")


def read_own_members(node: Node, members: Sequence[str]) -> tuple[ContainerFacts, ...]:
    """The members on a node: containers, else the unit.

    Raises ``UnreachableError``, ``EngineError`` or ``NodeError``.
    """
    found = (read_container(node, name) for name in members)
    containers = tuple(container for container in found if container is not None)
    if containers:
        return containers
    unit = read_unit(node)
    return (unit,) if unit is not None and unit.name in members else ()


_UNIT_SCRIPT = f"""\
if ! section systemd test -d /run/systemd/system; then exit 0; fi
section unit systemctl show {ETCD_UNIT} \\
    -p LoadState,ActiveState,SubState,UnitFileState,ExecStart,Environment,After,DropInPaths
files() {{
    systemctl show {ETCD_UNIT} --value -p EnvironmentFiles | while read -r file ignored; do cat "$file"; done
}}
section settings files
"""


def read_unit(node: Node) -> UnitMember | None:
    """The unit ``etcd.service`` of a node, or ``None`` when there is none. Raises ``RunbookError``."""
    sections = read_sections(node, _UNIT_SCRIPT, sudo=True)
    with reading(node.name, f"state of {ETCD_UNIT}"):
        return parse_unit(node.name, sections)


def parse_unit(node: str, sections: Mapping[str, Section]) -> UnitMember | None:
    """A unit from the sections systemd, unit and settings; the member's name is the one that etcd uses.

    A flag (``--name``) wins over the environment's ``ETCD_NAME``, and a file of it over the unit's own lines.

    Raises:
        ValueError: ``systemctl show`` answered something else.
    """
    if sections["systemd"].exit_status != 0:
        return None
    unit = dict(line.split("=", 1) for line in sections["unit"].text.splitlines() if "=" in line)
    if unit["LoadState"] != "loaded":
        return None
    words = shlex.split(unit.get("Environment", ""))
    words += [word for line in sections["settings"].text.splitlines() for word in shlex.split(line, comments=True)]
    names = [word.partition("=")[2] for word in words if word.startswith("ETCD_NAME=")]
    flag = re.search(r"\s--?name[= ](\S+)", unit.get("ExecStart", ""))
    name = flag[1] if flag else names[-1] if names else "default"
    active = unit["ActiveState"]
    return UnitMember(
        node=node,
        id="",
        name=name,
        image="",
        image_id="",
        command=ETCD_UNIT,
        state="running" if active in _UP else "exited",
        status=f"unit {ETCD_UNIT} {active} ({unit.get('SubState', '')})",
        restart_policy=f"{ETCD_UNIT} {unit.get('UnitFileState') or 'without a file'}",
        after_engine="docker.service" in unit.get("After", "").split(),
        drop_in=DROP_IN in unit.get("DropInPaths", "").split(),
    )


_CANNOT_DECIDE = "it has no leader, or cannot commit"
_DISARM = (
    "'ETCDCTL_API=3 etcdctl alarm list' shows the member; free space (etcdctl compact REVISION, etcdctl defrag), then"
    " etcdctl alarm disarm"
)
# After what defines `fetch`.
_MEMBER_SCRIPT = (
    SPEAKS_TLS
    + """\
raft() {
    fetch "$1/debug/vars" | grep '"raft.status"'
}
# etcd accepts this request by POST only
ask_alarms() {
    question='{"action":"GET"}'
    case $1,$client in
    https:*,curl) secure_curl -d "$question" "$1" ;;
    https:*,wget) secure_wget -qO- --post-data "$question" "$1" ;;
    *,curl) $limit curl -q -sSf --noproxy '*' -d "$question" "$1" ;;
    *) $limit $client -qO- --post-data "$question" "$1" ;;
    esac
}
# 3.4 has v3 and v3beta, 3.3 v3beta and v3alpha, 3.2 only v3alpha
alarms() {
    for api in v3 v3beta v3alpha; do
        answer=$(ask_alarms "$1/$api/maintenance/alarm" 2>&1)
        asked_alarms=$?
        # after a timeout the other paths would time out too
        case $asked_alarms in 0|124|143) break ;; esac
    done
    printf '%s\\n' "$answer"
    return "$asked_alarms"
}
section health fetch "$1/health"
asked=$?
# etcd does not answer a plain request at a TLS port
case $asked/$1 in 0/*|6/*|8/*|22/*|*/https:*) ;; *) section tls speaks_tls "https${1#http}/health" ;; esac
# avoid three more timeouts
case $asked in 124|143) exit 0 ;; esac
section self fetch "$1/v2/stats/self"
section version fetch "$1/version"
section raft raft "$1"
section keys fetch "$1/v2/keys"
# 3.4 gives no reason for being unhealthy
case $asked in 0) ;; *) section alarms alarms "$1" ;; esac
"""
)


def read_members(cluster: Cluster, etcd: Etcd) -> tuple[Member, ...]:
    """Every member of ``etcd.members``, in that order, all nodes asked at once.

    Each member is asked from its own node at that node's cluster address, as the engines do;
    the runbook's machine need not reach that network. A node that does not answer affects only its own members.

    Raises:
        RunbookError: no node answered at all.
    """
    outcomes = cluster.each(lambda node: _members_of(node, etcd))
    if all(outcome.error is not None for outcome in outcomes):
        raise outcomes[0].error or NodeError(outcomes[0].node, "no node answered")
    found = {member.name: member for outcome in outcomes if outcome.value for member in outcome.value}
    return tuple(found.get(name) or _missing(name, outcomes) for name in etcd.members)


def _members_of(node: Node, etcd: Etcd) -> tuple[Member, ...]:
    containers = read_own_members(node, etcd.members)
    access = read_access(node) if containers else PLAIN
    url = f"{access.scheme}://{node.spec.cluster_address}:{etcd.client_port}"
    members = []
    for container in containers:
        if not container.running:
            members.append(_stopped(container, url))
            continue
        sections = read_sections(node, access.fetch + _MEMBER_SCRIPT, url, sudo=access.secure)
        with reading(node.name, f"answers of etcd member {container.name}"):
            members.append(parse_member(container, url, sections, access))
    return tuple(members)


def _stopped(container: ContainerFacts, url: str) -> Member:
    return Member(
        name=container.name,
        node=container.node,
        container_state=container.state,
        restart_policy=container.restart_policy,
        health="down",
        leader=False,
        client_url=url,
        detail=container.status if isinstance(container, UnitMember) else f"container {container.status}",
    )


def _missing(name: str, outcomes: Sequence[Outcome[tuple[Member, ...]]]) -> Member:
    silent = [outcome for outcome in outcomes if outcome.error is not None]
    if silent:
        detail = "; ".join(
            f"{outcome.node} did not answer: {outcome.error.message}" for outcome in silent if outcome.error
        )
    else:
        detail = "no node has this container, or a unit for it"
    state = "unknown" if silent else "absent"
    return Member(name, "", state, "", "down", False, "", detail=detail)


def parse_member(
    container: ContainerFacts, url: str, sections: Mapping[str, Section], access: StoreAccess = PLAIN
) -> Member:
    """A running member from the fetched sections health, self, version, raft and keys.

    Raises:
        ValueError: the answer is not etcd's.
    """
    asked = sections["health"]
    if not has_client(asked):
        raise ValueError(asked.text.strip())
    member = replace(_stopped(container, url), detail="")
    if http_status(asked) is None or access_trouble(asked, access):
        tls = sections.get("tls")
        spoken = tls is not None and tls.exit_status == 0
        return _troubled(member, without_tls(access) if spoken else no_answer(asked, access))
    state, raft = _json(sections["self"]), _raft(sections["raft"])
    health, trouble = parse_health(asked)
    alarms = parse_alarms(sections["alarms"]) if health == "unhealthy" and "alarms" in sections else ()
    alarm = ""
    if alarms:
        trouble, alarm = f"alarm {', '.join(alarms)}", _DISARM
    if alarms == ("NOSPACE",) and raft.get("lead") != "0":
        # seen on 3.4: it refuses writes by the v3 API but accepts the engines' by v2
        health, trouble = "healthy", f"{trouble}: the v3 database has reached its quota, which engines do not use"
    version = str(_json(sections["version"]).get("etcdserver") or "")
    barred = v2_trouble(version) if http_status(sections["self"]) == 404 else _barred(sections, access)
    if barred and not trouble:
        member, trouble = _troubled(member, barred), str(barred)
    named = str(state.get("name") or container.name)
    if named != container.name:
        trouble = f"the member at {url} reports the name {named}"
        health = "unhealthy"
    return replace(
        member,
        health=health,
        # /v2/stats/self still calls a member leader that has lost its quorum; raft's status does not
        leader=(raft.get("raftState") or state.get("state")) == "StateLeader",
        member_id=str(state.get("id") or raft.get("id") or ""),
        term=_whole(raft.get("term")),
        index=_whole(raft.get("applied", raft.get("commit"))),
        version=version,
        detail=trouble,
        advice=alarm,
    )


def _troubled(member: Member, trouble: StoreTrouble) -> Member:
    return replace(member, detail=str(trouble), remedy=trouble.remedy)


def _barred(sections: Mapping[str, Section], access: StoreAccess) -> StoreTrouble | None:
    return access_trouble(sections["keys"], access) if "keys" in sections else None


def parse_health(section: Section) -> tuple[Health, str]:
    """``healthy`` or ``unhealthy`` with the reason, from ``/health`` of a member that answered. Raises ``ValueError``.

    etcd 2 and 3 answer ``{"health":"true"}`` (3.5 adds a reason); an unhealthy one answers 503 or ``false``.
    """
    if http_status(section) == 503:
        return "unhealthy", _CANNOT_DECIDE
    if section.exit_status != 0:
        return "unhealthy", fetch_trouble(section)
    answer = parse_json(section.text)
    if "health" not in answer:
        raise ValueError(f"/health answered {section.text.strip()!r}")
    if str(answer["health"]).lower() == "true":
        return "healthy", ""
    return "unhealthy", str(answer.get("reason") or _CANNOT_DECIDE)


def parse_alarms(section: Section) -> tuple[str, ...]:
    """The kinds of alarm that are raised (``NOSPACE``, ``CORRUPT``); none without an answer."""
    if section.exit_status != 0:
        return ()
    return tuple(sorted({str(item["alarm"]) for item in parse_json(section.text).get("alarms") or ()}))


def _json(section: Section) -> dict[str, Any]:
    return parse_json(section.text) if section.exit_status == 0 else {}


def _raft(section: Section) -> dict[str, Any]:
    """etcd's ``raft.status`` from ``/debug/vars``; empty if there is none."""
    if section.exit_status != 0:
        return {}
    status = parse_json("{" + section.text.strip().rstrip(",") + "}").get("raft.status")
    return status if isinstance(status, dict) else {}


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
