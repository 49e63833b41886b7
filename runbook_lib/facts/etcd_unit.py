"""The members of the cluster store that a node runs: its etcd containers, or etcd as a unit of the host's systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.containers import ContainerFacts, read_container
from runbook_lib.facts.reading import Section, read_sections, reading

ETCD_UNIT = "etcd.service"
DROP_IN = f"/etc/systemd/system/{ETCD_UNIT}.d/overlay-runbook.conf"
_RESTARTING = ("always", "unless-stopped")
_UP = ("active", "activating", "reloading")


@dataclass(frozen=True)
class UnitMember(ContainerFacts):
    """A member that is no container but a unit of the host's systemd, told in a container's terms.

    ``state`` is ``running`` or ``exited``, ``status`` systemd's own words, ``restart_policy`` whether the unit is
    enabled (``etcd.service enabled``). ``after_engine`` is true when it starts only once the node's engine has, and
    ``drop_in`` when a file of ours says so.
    """

    after_engine: bool = False
    drop_in: bool = False

    @property
    def enabled(self) -> bool:
        """Whether systemd starts it at boot."""
        return starts_at_boot(self.restart_policy)


def starts_at_boot(restart_policy: str) -> bool:
    """Whether a member with this restart policy, or this state of its unit, is started without any script."""
    return restart_policy in _RESTARTING or restart_policy.endswith(" enabled")


def read_own_members(node: Node, members: Sequence[str]) -> tuple[ContainerFacts, ...]:
    """The members that a node has; only one without any of the containers is asked for a unit.

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
    """A unit from the sections systemd, unit and settings; its member's name is the one that etcd itself would take.

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
