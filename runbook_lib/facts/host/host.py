"""A node's boot and clock, and what its kernel can do.

Can a node's kernel encrypt an overlay? Tried rather than assumed, in a network namespace that is gone at once.

What is tried is what an engine does for an encrypted network (moby, ``libnetwork/drivers/overlay/encryption.go``): a
state of IPsec with AES-GCM, and an iptables rule that tells the packets of one VNI from others', by the match ``bpf``
or, where there is none, ``u32``.
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
    """A boot from the sections boot, init, uptime and ticks. Raises ``ValueError`` for an unreadable one."""
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


_SPEAKER = re.compile(r"^(Error|RTNETLINK answers|ip): ")

# In a network namespace of its own, so that the devices are gone when the command ends, however it ends.
_SCRIPT = """\
for kind in "$@"; do
    section "$kind" unshare --net sh -c "ip link add parent0 type veth peer name parent1 && ip link add link parent0 \
name probe0 type $kind"
done
"""


def read_link_types(node: Node, *kinds: str) -> dict[str, str]:
    """Why the kernel cannot make a device of each kind (``macvlan``, ``ipvlan``); an empty text where it can.

    A module that is needed for it is loaded by the kernel itself, as it would be for Docker.

    Raises:
        UnreachableError, NodeError: the node does not answer, or answers nonsense.
    """
    sections = read_sections(node, _SCRIPT, *kinds, sudo=True)
    return {kind: why_not(sections[kind]) for kind in kinds}


def why_not(section: Section) -> str:
    """The last line of what ``ip link add`` complained about, without who says it; empty when it did not."""
    if section.exit_status == 0:
        return ""
    lines = section.text.strip().splitlines()
    return _SPEAKER.sub("", lines[-1]) if lines else f"ip link add ended with {section.exit_status}"


REMEDY = "modprobe esp4 xfrm_user xt_u32 xt_bpf; a kernel that has them; or overlay.encrypted: false"

_NO_ESP, _NO_MATCH = 81, 82
# The key is nobody's.
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
    """Why a node's kernel cannot encrypt an overlay; empty when it can.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: it could not be tried (no root, no ``unshare``).
    """
    result = node.ssh.run(["sh", "-c", _PROBE], sudo=True, check=False)
    return parse_encryption(node.name, result.exit_status, result.stderr)


def parse_encryption(node: str, exit_status: int, stderr: str) -> str:
    """From what the probe ended with. Raises ``NodeError`` when it did not get so far."""
    words = (stderr.strip().splitlines() or [f"exit status {exit_status}"])[-1]
    if exit_status == 0:
        return ""
    if exit_status == _NO_ESP:
        return f"the kernel has no ESP with AES-GCM ({words})"
    if exit_status == _NO_MATCH:
        return f"the kernel's iptables match neither by bpf nor by u32 ({words})"
    message = f"cannot try whether the kernel encrypts: {words}"
    raise NodeError(node, message, remedy="it needs root over SSH and unshare")
