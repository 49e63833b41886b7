"""A node's boot and clock, and what its kernel can do.

Whether the kernel can create a macvlan or encrypt an overlay is tested in a temporary network namespace, not assumed.
The encryption test does what an engine does for an encrypted network (moby,
``libnetwork/drivers/overlay/encryption.go``): an IPsec state with AES-GCM, and an iptables rule that matches the
packets of one VNI, by ``bpf`` or else by ``u32``.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.sections import Section, read_sections, reading


@dataclass(frozen=True)
class Boot:
    """One boot of one node.

    ``boot_id`` is the kernel's. A node that shares its host's kernel keeps it over a reboot; there the start time of
    process 1, in clock ticks since the kernel's start, is what differs. Both together identify a boot.
    """

    node: str
    boot_id: str
    init_ticks: int
    up_seconds: float

    def same_as(self, other: Boot) -> bool:
        """Whether both readings are of the same boot."""
        return (self.boot_id, self.init_ticks) == (other.boot_id, other.init_ticks)


# The uptime comes first: where a script reads the clock before it, the two are of one moment.
_BOOT_SCRIPT = """\
section uptime cat /proc/uptime
section init cat /proc/1/stat
section ticks getconf CLK_TCK
section boot cat /proc/sys/kernel/random/boot_id
"""


def read_boot(node: Node) -> Boot:
    """Read which boot a node is in, in one round trip. Raises ``UnreachableError`` or ``NodeError``."""
    sections = read_sections(node, _BOOT_SCRIPT)
    with reading(node.name, "boot"):
        return parse_boot(node.name, sections)


def parse_boot(node: str, sections: Mapping[str, Section]) -> Boot:
    """A boot from the sections boot, init, uptime and ticks. Raises ``ValueError``."""
    boot = sections["boot"]
    if boot.exit_status != 0 or not boot.text.strip():
        raise ValueError(f"no boot id: {boot.text.strip()!r}")
    init = sections["init"].text
    return Boot(node, boot.text.strip(), _start_ticks(init), process_age(init, sections["uptime"], sections["ticks"]))


def process_age(stat: str, uptime: Section, ticks: Section) -> float:
    """Seconds since a process started, by no clock that can be set: to the hundredth, as the kernel counts them.

    Args:
        stat: its ``/proc/PID/stat``.
        uptime: ``/proc/uptime``.
        ticks: ``getconf CLK_TCK``; a busybox without it has 100.

    Raises:
        ValueError: unreadable text.
    """
    a_second = int(ticks.text) if ticks.exit_status == 0 else 100
    age = float(uptime.text.split()[0]) - _start_ticks(stat) / a_second
    if not math.isfinite(age):
        raise ValueError(f"not an uptime: {uptime.text.strip()!r}")
    return round(age, 2)


def _start_ticks(stat: str) -> int:
    # the fields after the name, which may itself contain spaces and brackets; starttime is field 22
    return int(stat.rpartition(")")[2].split()[19])


# Clocks and files have whole seconds; what is written right before a reboot must count as older than the new boot.
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
    """A node's boot time and current time by its own clock (epoch seconds), and when files ``changed``."""

    booted: float
    now: float
    changed: Mapping[str, float]

    def is_after_boot(self, moment: float) -> bool:
        """Whether a moment is after the boot; false for one in the future (the clock was set back)."""
        return self.booted + _ROUNDING_SECONDS < moment <= self.now + _ROUNDING_SECONDS

    def is_text_after_boot(self, moment: str) -> bool:
        """``is_after_boot`` for a moment as Docker writes it (``2026-11-29T07:40:00.123456789Z``); false if empty."""
        return bool(moment) and self.is_after_boot(datetime.fromisoformat(moment).timestamp())

    @property
    def files_changed_since_boot(self) -> tuple[str, ...]:
        """The files changed after the boot: no boot has used them yet."""
        return tuple(path for path, moment in self.changed.items() if self.is_after_boot(moment))


def read_boot_clock(node: Node, files: Sequence[str] = ()) -> BootClock:
    """A node's boot time, and when each existing file was changed. Raises ``RunbookError``."""
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


@dataclass(frozen=True)
class HostFacts:
    """A node as a machine.

    ``boot_id`` is the kernel's, new at each boot. ``started_at`` is when the node's process 1 started, in seconds since
    the epoch by the node's own clock, good to some 20 ms; ``start_ticks`` is the same by the kernel's monotonic clock
    and exact. ``clock_offset_ms`` is the node's clock minus this machine's, ± ``clock_uncertainty_ms`` (half
    the round trip). ``forwards`` is false where IPv4 forwarding is off.
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
        """Identifies the boot, also on a shared kernel."""
        return f"{self.boot_id}/{self.start_ticks}"


_HOST_SCRIPT = f"""\
section date date +%s.%N
{_BOOT_SCRIPT}
section kernel uname -r
section forwarding cat /proc/sys/net/ipv4/ip_forward
"""


def read_host(node: Node) -> HostFacts:
    """Read a node's boot, clock and kernel in one round trip.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: the content of ``/proc`` or the output of a tool is not understood.
    """
    node.ssh.transport()  # connect first, so that only the reading is timed
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
    boot = parse_boot(node, sections)
    return HostFacts(
        node=node,
        boot_id=boot.boot_id,
        started_at=round(now - boot.up_seconds, 2),
        clock_offset_ms=round((now + resolution / 2 - (before + after) / 2) * 1000, 1),
        clock_uncertainty_ms=round((after - before + resolution) / 2 * 1000, 1),
        kernel=sections["kernel"].text.strip(),
        start_ticks=boot.init_ticks,
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


_ERROR_PREFIX = re.compile(r"^(Error|RTNETLINK answers|ip): ")

# In a temporary network namespace, so that the devices vanish when the command ends, however it ends.
_SCRIPT = """\
for kind in "$@"; do
    section "$kind" unshare --net sh -c "ip link add parent0 type veth peer name parent1 && ip link add link parent0 \
name probe0 type $kind"
done
"""


def read_link_types(node: Node, *kinds: str) -> dict[str, str]:
    """Per kind of link (``macvlan``, ``ipvlan``), why the kernel cannot create one; empty where it can.

    The kernel loads a needed module by itself, as it would for Docker.

    Raises:
        UnreachableError, NodeError: the node does not answer, or its output is not understood.
    """
    sections = read_sections(node, _SCRIPT, *kinds, sudo=True)
    return {kind: link_failure(sections[kind]) for kind in kinds}


def link_failure(section: Section) -> str:
    """The last error line of ``ip link add`` without its prefix; empty when it succeeded."""
    if section.exit_status == 0:
        return ""
    lines = section.text.strip().splitlines()
    return _ERROR_PREFIX.sub("", lines[-1]) if lines else f"ip link add ended with {section.exit_status}"


REMEDY = "modprobe esp4 xfrm_user xt_u32 xt_bpf; a kernel that has them; or overlay.encrypted: false"

_NO_ESP, _NO_MATCH = 81, 82
# A documentation key, used nowhere else.
_PROBE = f"""\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
exec unshare --net sh -c '
ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport \\
    aead "rfc4106(gcm(aes))" 0x0102030405060708090a0b0c0d0e0f1011121314 64 || exit {_NO_ESP}
rule="iptables -t mangle -A OUTPUT -p udp --dport 4789"
$rule -m bpf --bytecode "1,6 0 0 65536" -j MARK --set-mark 1 ||
    $rule -m u32 --u32 "0>>22&0x3C@12&0xFFFFFF00=1048576" -j MARK --set-mark 1 || exit {_NO_MATCH}'
"""


def read_encryption(node: Node) -> str:
    """Why a node's kernel cannot encrypt an overlay; empty if it can.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: the test could not run (no root, no ``unshare``).
    """
    result = node.ssh.run(["sh", "-c", _PROBE], sudo=True, check=False)
    return parse_encryption(node.name, result.exit_status, result.stderr)


def parse_encryption(node: str, exit_status: int, stderr: str) -> str:
    """The same from the probe's exit status and errors. Raises ``NodeError`` when the test could not run."""
    words = (stderr.strip().splitlines() or [f"exit status {exit_status}"])[-1]
    if exit_status == 0:
        return ""
    if exit_status == _NO_ESP:
        return f"the kernel has no ESP with AES-GCM ({words})"
    if exit_status == _NO_MATCH:
        return f"the kernel's iptables match neither by bpf nor by u32 ({words})"
    message = f"cannot test whether the kernel encrypts: {words}"
    raise NodeError(node, message, remedy="the test needs root over SSH, and unshare on the node")
