"""A node's boot and clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.reading import Section, read_sections, reading


@dataclass(frozen=True)
class HostFacts:
    """A node as a machine.

    ``boot_id`` is the kernel's, new at each boot. ``started_at`` is when the node's process 1 started, in seconds since
    the epoch by the node's own clock, good to some 20 ms; ``start_ticks`` is the same by the kernel's monotonic clock
    and exact. ``clock_offset_ms`` is the node's clock minus this machine's, known to ± ``clock_uncertainty_ms`` (half
    the round trip). ``forwards`` is false where the kernel says that it hands on no IPv4 packets.
    """

    node: str
    boot_id: str
    started_at: float
    clock_offset_ms: float
    clock_uncertainty_ms: float
    kernel: str
    start_ticks: int = 0
    forwards: bool = True

    @property
    def boot(self) -> str:
        """What is the same in two readings exactly if the node did not boot in between, also on a shared kernel."""
        return f"{self.boot_id}/{self.start_ticks}"


_HOST_SCRIPT = """\
section date date +%s.%N
section uptime cat /proc/uptime
section init cat /proc/1/stat
section ticks getconf CLK_TCK
section boot cat /proc/sys/kernel/random/boot_id
section kernel uname -r
section forwarding cat /proc/sys/net/ipv4/ip_forward
"""


def read_host(node: Node) -> HostFacts:
    """Read a node's boot, clock and kernel in one round trip.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: ``/proc`` or a tool answers something unreadable.
    """
    node.ssh.transport()  # opened before the clock runs, so that the round trip is only the reading
    before = time.time()
    sections = read_sections(node, _HOST_SCRIPT)
    after = time.time()
    with reading(node.name, "clock and boot"):
        return parse_host(node.name, sections, before, after)


def parse_host(node: str, sections: dict[str, Section], before: float, after: float) -> HostFacts:
    """Facts from the sections date, uptime, init, ticks, boot and kernel, read between two local times.

    Raises:
        ValueError: a section is unreadable.
    """
    now, resolution = parse_date(sections["date"].text)
    # the fields after the name, which may itself contain spaces and brackets; starttime is field 22
    fields = sections["init"].text.rpartition(")")[2].split()
    ticks = int(sections["ticks"].text) if sections["ticks"].exit_status == 0 else 100
    uptime = float(sections["uptime"].text.split()[0])
    boot_id = sections["boot"].text.strip()
    if sections["boot"].exit_status != 0 or not boot_id:
        raise ValueError(f"no boot id: {boot_id}")
    return HostFacts(
        node=node,
        boot_id=boot_id,
        started_at=round(now - uptime + int(fields[19]) / ticks, 2),
        clock_offset_ms=round((now + resolution / 2 - (before + after) / 2) * 1000, 1),
        clock_uncertainty_ms=round((after - before + resolution) / 2 * 1000, 1),
        kernel=sections["kernel"].text.strip(),
        start_ticks=int(fields[19]),
        forwards="forwarding" not in sections or sections["forwarding"].text.strip() != "0",
    )


def parse_date(text: str) -> tuple[float, float]:
    """Seconds since the epoch from ``date +%s.%N``, and their resolution in seconds.

    A busybox without nanoseconds prints ``1795458252.`` or ``1795458252.%N``; its resolution is one second.

    Raises:
        ValueError: not a time.
    """
    seconds, _, fraction = text.strip().partition(".")
    if fraction.isdigit():
        return int(seconds) + int(fraction) / 10 ** len(fraction), 0.0
    if fraction not in ("", "%N", "N"):
        raise ValueError(f"not a time: {text.strip()!r}")
    return float(int(seconds)), 1.0
