"""Starts etcd's members now and at boot, and removes the autostart.

Exactly one of three mechanisms is active afterwards; ``auto`` chooses the one that fits a node:

``bootlocal``
    A marked block in ``/var/lib/boot2docker/bootlocal.sh`` (as in the article): after the boot it waits, with a
    deadline, until the engines of this node and of the other members' nodes answer, starts this node's members and
    logs the result. Until the members have a leader their client port refuses connections: a refused engine continues
    its start, a waiting one would hang. It runs once per boot: a member that crashes later stays down, visibly.
``restart-policy``
    Docker's ``--restart always``: one setting, no script, on any host. It acts at every start of dockerd, not only at
    boot; after every crash, so that a broken member restarts for ever (``docker ps`` shows ``Restarting``); and it
    starts a manually stopped member at dockerd's next start (``unless-stopped`` would not, but a member that never ran
    counts as stopped). The only log is dockerd's. When all nodes start at once, the first member has no quorum for a
    while and does not answer: engines that start meanwhile wait half a minute for their store.
``systemd-unit``
    ``systemctl enable etcd.service``, where the member is a unit of the host. systemd starts it at boot, and after a
    crash as the unit says. A drop-in file starts it after the engine: otherwise it listens alone before the members in
    containers can start, and every engine waits for it (measured: a power cycle of four nodes takes 84 s, with the
    drop-in 14 to 27 s).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes.etcd.access import PLAIN, StoreAccess, read_access
from runbook_lib.facts.control_planes.etcd.members import DROP_IN, ETCD_UNIT, UnitMember, read_own_members
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.engine import EngineFacts, read_engine
from runbook_lib.facts.host.addresses import BOOTLOCAL, read_bootlocal
from runbook_lib.facts.host.host import BootClock, read_boot_clock
from runbook_lib.model.base import parse_etcd_url
from runbook_lib.model.parameters import Etcd
from runbook_lib.steps.base import Finding, Say, Step, pending, refused, satisfied
from runbook_lib.steps.platforms.blocks import (
    Restoration,
    check_markers,
    find_block,
    put_block,
    remove_block,
    restore,
    write_boot_script,
)
from runbook_lib.steps.platforms.boot2docker import ETCD_AUTOSTART, etcd_autostart, start_lines
from runbook_lib.waiting import wait_until

_DOCKER_ROOT = "/var/lib/docker"
_CONTAINERS_FIRST_SECONDS = 10.0
_PAUSE_SECONDS = 0.2

_SET_UNIT = """\
set -e
if [ "$1" = enable ]; then
    mkdir -p "${3%/*}"
    printf '# overlay-runbook: a member without a quorum blocks every engine.\\n[Unit]\\nAfter=docker.service\\n' >"$3"
    sync "$3" "${3%/*}/"
else
    rm -f "$3"
    if [ -d "${3%/*}" ]; then rmdir --ignore-fail-on-non-empty "${3%/*}"; fi
fi
systemctl daemon-reload
systemctl "$1" --quiet "$2"
"""


@dataclass(frozen=True)
class AutostartReading:
    """The members that a node has, and the text of its ``bootlocal.sh`` (``None`` without the file).

    ``systemd``: process 1 is systemd, so nothing runs a ``bootlocal.sh``. ``peers`` are the engines
    (``address:port``) of the other members' nodes, ``client`` is the address at which the engines reach this node's
    member, ``access`` how.
    """

    members: tuple[ContainerFacts, ...]
    bootlocal: str | None
    peers: tuple[str, ...] = ()
    client: str = ""
    access: StoreAccess = PLAIN
    systemd: bool = False

    @property
    def block(self) -> str:
        """The block of ``bootlocal.sh`` that starts them."""
        return etcd_autostart(self.names, self.peers, self.client, self.access)

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names in their configured order."""
        return tuple(member.name for member in self.members)

    @property
    def containers(self) -> tuple[ContainerFacts, ...]:
        """The members that are containers."""
        return tuple(member for member in self.members if not isinstance(member, UnitMember))

    @property
    def units(self) -> tuple[UnitMember, ...]:
        """The member that is a systemd unit, if any."""
        return tuple(member for member in self.members if isinstance(member, UnitMember))


@dataclass(frozen=True)
class AutostartWork:
    """What a node needs: the file to write or restore, restart policies by container, the unit's state."""

    write: str | None = None
    restoration: Restoration | None = None
    policies: tuple[tuple[str, str], ...] = ()
    unit: Literal["", "enable", "disable"] = ""


def read_autostart(node: Node, etcd: Etcd) -> AutostartReading:
    """Read a node's members and its ``bootlocal.sh``. Raises ``RunbookError``."""
    bootlocal = read_bootlocal(node)
    check_markers(node.name, BOOTLOCAL, bootlocal, ETCD_AUTOSTART)
    engine = read_engine(node)
    host = engine.cluster_advertise.rpartition(":")[0]
    client = f"{host}:{etcd.client_port}" if host else ""
    members = read_own_members(node, etcd.members)
    access = read_access(node) if members else PLAIN
    systemd = node.ssh.run(["test", "-d", "/run/systemd/system"], check=False).exit_status == 0
    return AutostartReading(members, bootlocal, peer_engines(engine), client, access, systemd)


def peer_engines(engine: EngineFacts) -> tuple[str, ...]:
    """The engines beside the store's other members, as ``address:port``: assuming that all advertise the same port."""
    own, _, port = engine.cluster_advertise.rpartition(":")
    hosts = (host for host, _ in parse_etcd_url(engine.cluster_store).endpoints)
    return tuple(f"{host}:{port}" for host in hosts if port and host != own)


def changed_starts(clock: BootClock, policies: Mapping[str, str]) -> str:
    """What changed since the boot, or may have; ``policies`` describes some files' content."""
    since = [policies.get(path, path) for path in clock.files_changed_since_boot]
    return ", ".join([*since, *(words for path, words in policies.items() if path not in clock.changed)])


def has_autostart_block(bootlocal: str | None) -> bool:
    """Whether our block is in the text of a ``bootlocal.sh``. Raises ``RunbookError`` for unmatched markers."""
    return find_block(bootlocal, ETCD_AUTOSTART) is not None


class _Autostart(Step[AutostartReading, AutostartWork]):
    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def read(self, node: Node) -> AutostartReading:
        """The node's members and its ``bootlocal.sh``."""
        return read_autostart(node, self._etcd)

    def assess(
        self, readings: Mapping[str, AutostartReading], missing: frozenset[str]
    ) -> Mapping[str, Finding[AutostartWork]]:
        """Compare each node's mechanisms with the wanted one."""
        return {name: self.judge(reading) for name, reading in readings.items()}

    @abstractmethod
    def judge(self, reading: AutostartReading) -> Finding[AutostartWork]:
        """Compare one node's mechanisms with the wanted one."""

    def apply(self, cluster: Cluster, node: Node, work: AutostartWork, say: Say) -> None:
        """Add the wanted mechanism before removing the other: a failure in between leaves both, not none."""
        if work.write is not None:
            write_boot_script(node, BOOTLOCAL, work.write)
        for member, policy in work.policies:
            node.engine.set_restart_policy(member, policy)
        if work.unit:
            node.ssh.script(_SET_UNIT, work.unit, ETCD_UNIT, DROP_IN, sudo=True)
        if work.restoration is not None:
            restore(node, work.restoration)

    def detail(self, reading: AutostartReading) -> str:
        """A remark on a node."""
        if not reading.members:
            return "no etcd member here"
        lines = start_lines(reading.bootlocal, self._etcd.members)
        return f"bootlocal.sh also has {'; '.join(lines)}: delete it" if lines else ""


class EtcdAutostart(_Autostart):
    """Makes every node start its etcd members at boot, by the mechanism in ``etcd.autostart``.

    ``auto`` is ``bootlocal`` on boot2docker, elsewhere ``restart-policy`` for a container; a unit is always enabled. A
    mechanism that cannot start a node's member is refused there. On a node without a member an old block is removed.
    """

    name = "etcd autostart"

    def judge(self, reading: AutostartReading) -> Finding[AutostartWork]:
        """Pending unless exactly the wanted mechanism is active."""
        unfit = self._unfit(reading)
        if unfit:
            return refused(
                _describe(reading),
                unfit,
                remedy="set etcd.autostart: auto, which chooses the mechanism that fits a node",
            )
        by_script = self._mechanism(reading) == "bootlocal" and bool(reading.containers)
        work = AutostartWork(
            write=_with_block(reading) if by_script else None,
            restoration=None if by_script else _without_block(reading),
            policies=tuple(
                (member.name, "no" if by_script else "always")
                for member in reading.containers
                if member.restarts == by_script
            ),
            unit="enable" if any(not (unit.enabled and unit.after_engine) for unit in reading.units) else "",
        )
        if work == AutostartWork():
            return satisfied(_describe(reading), self.detail(reading))
        wanted = f"bootlocal.sh starts {', '.join(reading.names)}" if by_script else _by_host(reading)
        return pending(_describe(reading), wanted, work, self.detail(reading))

    def changed_since_boot(self, node: Node) -> str:
        """Block, drop-in or restart policy, if written after the last boot.

        dockerd also writes a container's settings whenever it starts the container, so the age of a policy is unknown:
        the following restart proves it each time.
        """
        found = read_autostart(node, self._etcd)
        files = [BOOTLOCAL] if has_autostart_block(found.bootlocal) else []
        root = str(node.engine.info().get("DockerRootDir") or _DOCKER_ROOT)
        policies = {
            f"{root}/containers/{item.id}/hostconfig.json": f"the restart policy of {item.name}"
            for item in found.containers
            if item.restarts
        }
        return changed_starts(read_boot_clock(node, [*files, DROP_IN, *policies]), policies)

    def _mechanism(self, reading: AutostartReading) -> str:
        if self._etcd.autostart != "auto":
            return self._etcd.autostart
        return "systemd-unit" if reading.units else "restart-policy" if reading.systemd else "bootlocal"

    def _unfit(self, reading: AutostartReading) -> str:
        """Why the wanted mechanism cannot start this node's members; empty if it can, or without members."""
        mechanism, names = self._mechanism(reading), ", ".join(reading.names)
        if mechanism == "systemd-unit" and reading.containers:
            return f"systemd-unit is wanted, but {names} is a container, which has no unit"
        if mechanism != "systemd-unit" and reading.units:
            return f"{mechanism} is wanted, but {names} is the unit {ETCD_UNIT}, not a container"
        if mechanism == "bootlocal" and reading.containers and reading.systemd:
            return "bootlocal is wanted, but this host is not boot2docker: nothing runs bootlocal.sh here"
        return ""


class RemoveAutostart(_Autostart):
    """Removes the autostart: no block, restart policy ``no``, a disabled unit."""

    name = "remove etcd autostart"

    def judge(self, reading: AutostartReading) -> Finding[AutostartWork]:
        """Pending while any mechanism is active."""
        policies = tuple((item.name, "no") for item in reading.containers if item.restarts)
        state: Literal["", "disable"] = "disable" if any(unit.enabled or unit.drop_in for unit in reading.units) else ""
        work = AutostartWork(restoration=_without_block(reading), policies=policies, unit=state)
        if work == AutostartWork():
            return satisfied(_describe(reading), self.detail(reading))
        return pending(_describe(reading), "no autostart", work, self.detail(reading))


class StartMembers(Step[tuple[ContainerFacts, ...], tuple[ContainerFacts, ...]]):
    """Starts the etcd members that every node has, now. A running member is left alone."""

    name = "start etcd members"
    settle_seconds = 5.0

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def read(self, node: Node) -> tuple[ContainerFacts, ...]:
        """The node's members."""
        return read_own_members(node, self._etcd.members)

    def assess(
        self, readings: Mapping[str, tuple[ContainerFacts, ...]], missing: frozenset[str]
    ) -> Mapping[str, Finding[tuple[ContainerFacts, ...]]]:
        """Pending where a member does not run."""
        return {name: self._finding(members) for name, members in readings.items()}

    def apply(self, cluster: Cluster, node: Node, work: tuple[ContainerFacts, ...], say: Say) -> None:
        """Start them. A unit reports to systemd only once it has a quorum; this does not wait for it.

        Containers come before units: while a unit listens alone, an engine takes half a minute to start a container.
        """
        for member in work:
            if isinstance(member, UnitMember):
                self._wait_for_containers(cluster, node)
                node.ssh.run(["systemctl", "start", "--no-block", ETCD_UNIT], sudo=True)
            else:
                node.engine.start(member.name)

    def _wait_for_containers(self, cluster: Cluster, node: Node) -> None:
        """Wait, with a deadline, until the other nodes' members in containers run; ignores nodes that do not answer."""
        others = [other for other in cluster if other is not node]

        def run() -> bool:
            found = cluster.each(lambda other: read_own_members(other, self._etcd.members), nodes=others)
            members = [member for outcome in found if outcome.value for member in outcome.value]
            return all(member.running for member in members if not isinstance(member, UnitMember))

        wait_until(run, _CONTAINERS_FIRST_SECONDS, pause=_PAUSE_SECONDS)

    def _finding(self, members: tuple[ContainerFacts, ...]) -> Finding[tuple[ContainerFacts, ...]]:
        if not members:
            return satisfied("", "no etcd member here")
        stopped = tuple(member for member in members if not member.running)
        before = ", ".join(f"{member.name} {member.state}" for member in members)
        if not stopped:
            return satisfied(before)
        return pending(before, ", ".join(f"{member.name} running" for member in members), stopped)


def _with_block(reading: AutostartReading) -> str | None:
    wanted = put_block(reading.bootlocal, ETCD_AUTOSTART, reading.block)
    return None if wanted == reading.bootlocal else wanted


def _without_block(reading: AutostartReading) -> Restoration | None:
    if find_block(reading.bootlocal, ETCD_AUTOSTART) is None:
        return None
    return Restoration(BOOTLOCAL, remove_block(reading.bootlocal, ETCD_AUTOSTART))


def _by_host(reading: AutostartReading) -> str:
    if reading.units:
        return f"systemd starts {', '.join(reading.names)}"
    return f"Docker restarts {', '.join(reading.names)}" if reading.members else "no autostart"


def _describe(reading: AutostartReading) -> str:
    body = find_block(reading.bootlocal, ETCD_AUTOSTART)
    parts = []
    if body is not None:
        current = body == reading.block
        parts.append(f"bootlocal.sh starts {', '.join(reading.names)}" if current else "another block in bootlocal.sh")
    parts += [f"Docker restarts {item.name} ({item.restart_policy})" for item in reading.containers if item.restarts]
    parts += [f"systemd starts {item.name} ({item.restart_policy})" for item in reading.units if item.enabled]
    return "; ".join(parts) or "no autostart"
