"""Does a host start its Docker engine at boot?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import Section, read_sections

# boot2docker's boot script calls this file; elsewhere an init script counts if a runlevel links to it.
_SCRIPT = """\
if [ -d /run/systemd/system ]; then
    section docker.service systemctl is-enabled docker.service
    section docker.socket systemctl is-enabled docker.socket
elif [ -d /var/lib/boot2docker ]; then
    section boot2docker ls /etc/init.d/docker
else
    section runlevels sh -c 'ls /etc/rc[2-5].d/S*docker'
fi
"""


@dataclass(frozen=True)
class EngineStart:
    """What starts dockerd at boot, in words; empty ``by`` when nothing does, and then ``remedy`` says what would."""

    by: str
    remedy: str = ""


def read_engine_start(node: Node) -> EngineStart:
    """What starts the node's engine at boot.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: the output is unreadable.
    """
    return parse_engine_start(read_sections(node, _SCRIPT))


def parse_engine_start(sections: Mapping[str, Section]) -> EngineStart:
    """From the sections docker.service and docker.socket, or boot2docker, or runlevels."""
    if "docker.service" in sections:
        enabled = [unit for unit, section in sections.items() if section.text.strip() == "enabled"]
        return EngineStart(f"{' and '.join(enabled)} enabled" if enabled else "", "systemctl enable docker")
    if "boot2docker" in sections:
        there = sections["boot2docker"].exit_status == 0
        return EngineStart("boot2docker's boot script" if there else "", "boot a boot2docker that has Docker")
    linked = sections["runlevels"].exit_status == 0
    return EngineStart("the runlevels' init scripts" if linked else "", "update-rc.d docker defaults")
