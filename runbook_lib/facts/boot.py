"""Which boot of a node this is, told without any clock that could be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import Section, read_sections, reading


@dataclass(frozen=True)
class Boot:
    """One boot of one node.

    ``boot_id`` is the kernel's. A node that shares its host's kernel keeps it over a reboot; there the start of process
    1, in clock ticks since the kernel's own start, is what tells. Both together name a boot exactly.
    """

    node: str
    boot_id: str
    init_ticks: int
    up_seconds: float

    def same_as(self, other: Boot) -> bool:
        """True when both readings are of one and the same boot."""
        return (self.boot_id, self.init_ticks) == (other.boot_id, other.init_ticks)


_BOOT_SCRIPT = """\
section boot cat /proc/sys/kernel/random/boot_id
section init cat /proc/1/stat
section uptime cat /proc/uptime
section ticks getconf CLK_TCK
"""


def read_boot(node: Node) -> Boot:
    """Read which boot a node is in, in one round trip. Raises ``UnreachableError`` or ``NodeError``."""
    sections = read_sections(node, _BOOT_SCRIPT)
    with reading(node.name, "boot"):
        return parse_boot(node.name, sections)


def parse_boot(node: str, sections: Mapping[str, Section]) -> Boot:
    """A boot from the sections boot, init, uptime and ticks. Raises ``ValueError`` for an unreadable one."""
    boot = sections["boot"]
    if boot.exit_status != 0 or not boot.text.strip():
        raise ValueError(f"no boot id: {boot.text.strip()!r}")
    # the fields after the name, which may itself contain spaces and brackets; starttime is field 22
    init_ticks = int(sections["init"].text.rpartition(")")[2].split()[19])
    a_second = int(sections["ticks"].text) if sections["ticks"].exit_status == 0 else 100
    up_seconds = float(sections["uptime"].text.split()[0]) - init_ticks / a_second
    return Boot(node, boot.text.strip(), init_ticks, round(up_seconds, 1))
