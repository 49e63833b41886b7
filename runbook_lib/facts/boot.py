"""Which boot of a node this is, told without any clock that could be set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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


# Clocks and files tell whole seconds, and what is written right before a reboot is older than the boot after it.
_ROUNDING_SECONDS = 1.0

_SINCE_SCRIPT = (
    _BOOT_SCRIPT
    + """\
section now date +%s
for file in "$@"; do
    if [ -e "$file" ]; then section "file $file" stat -c %Y "$file"; fi
done
"""
)


@dataclass(frozen=True)
class BootClock:
    """When a node booted and what it is now, by its own clock in seconds of the epoch; when files were ``changed``."""

    booted: float
    now: float
    changed: Mapping[str, float]

    def is_since(self, moment: float) -> bool:
        """Whether a moment lies after the boot. One that is yet to come tells nothing: the clock has been set back."""
        return self.booted + _ROUNDING_SECONDS < moment <= self.now + _ROUNDING_SECONDS

    def is_since_text(self, moment: str) -> bool:
        """The same of a moment as Docker writes it (``2026-11-29T07:40:00.123456789Z``); false of an empty one."""
        return bool(moment) and self.is_since(datetime.fromisoformat(moment).timestamp())

    @property
    def files_since(self) -> tuple[str, ...]:
        """The files that were changed after the boot: what they say for the next one, no boot has proved yet."""
        return tuple(path for path, moment in self.changed.items() if self.is_since(moment))


def read_boot_clock(node: Node, files: Sequence[str] = ()) -> BootClock:
    """When a node booted, and when those of the files that are there were changed. Raises ``RunbookError``."""
    sections = read_sections(node, _SINCE_SCRIPT, *files, sudo=bool(files))
    with reading(node.name, "boot"):
        return parse_boot_clock(node.name, sections)


def parse_boot_clock(node: str, sections: Mapping[str, Section]) -> BootClock:
    """From the sections of ``parse_boot``, now, and ``file PATH``. Raises ``ValueError``."""
    now = float(sections["now"].text)
    files = {name.removeprefix("file "): part for name, part in sections.items() if name.startswith("file ")}
    return BootClock(
        now - parse_boot(node, sections).up_seconds, now, {path: float(part.text) for path, part in files.items()}
    )
