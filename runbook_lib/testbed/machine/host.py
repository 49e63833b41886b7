"""The host's programs that the testbed calls, its processes there, and its nodes' cgroups."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.errors import TestbedError
from runbook_lib.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from runbook_lib.testbed.machine.layout import NodeLayout

_TAIL_LINES = 15
_GIVE_UP_SECONDS = 10.0
_PROCESS_POLL = 0.01
# The kernel removes a cgroup a moment after its last process has ended.
_CGROUP_SECONDS = 5.0
_CGROUP_POLL = 0.02


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout: float = 60,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program of the host to its end.

    Raises:
        TestbedError: it is not installed, did not end in time, or (with ``check``) failed; the
            message has the command to paste and the end of its output.
    """
    command = shlex.join(argv)
    try:
        # A separate process group, so that a program that is killed takes its helpers with it.
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
            process_group=0,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"'{argv[0]}' is not installed, so this could not run: {command}") from error
    with child:
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _end_group(child)
            raise TestbedError(f"the command did not end within {timeout:.0f} s: {command}") from error
        except BaseException:
            _end_group(child)
            raise
    done = subprocess.CompletedProcess(argv, child.returncode, stdout, stderr)
    if check and done.returncode != 0:
        raise TestbedError(
            f"the command failed with exit status {done.returncode}: {command}",
            log_tail=tail(done.stderr or done.stdout),
        )
    return done


def _end_group(child: subprocess.Popen[str]) -> None:
    """Terminate a program and its helpers, and kill them if they do not end."""
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(_GIVE_UP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def ip_batch(lines: Sequence[str], *, namespace: str | None = None) -> None:
    """Run several ``ip`` commands in one process; the first that fails ends it with ``TestbedError``."""
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join(lines) + "\n")


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a text."""
    return "\n".join(text.strip().splitlines()[-lines:])


def tail_of(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, each cut to a screen's width; says so when there is no such log."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
    return "\n".join(line[:300] for line in tail(text, lines).splitlines()) or f"({path} is empty)"


@dataclass(frozen=True)
class Process:
    """A process with a permanent identity: its id and its start time in ticks."""

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The current process with this id, or None."""
        start_time = _start_time(pid)
        return None if start_time is None else cls(pid, start_time)

    @classmethod
    def read(cls, path: Path) -> Process | None:
        """The living process that a supervisor wrote into this file as ``PID START``, or None."""
        try:
            pid, start_time = (int(word) for word in path.read_text().split())
        except (OSError, ValueError):
            return None
        process = cls(pid, start_time)
        return process if process.alive else None

    @property
    def alive(self) -> bool:
        """Whether this process still runs (a zombie does not)."""
        return _start_time(self.pid) == self.start_time

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self, timeout: float) -> bool:
        """Wait for the process to end; False when it has not within ``timeout`` seconds."""
        return wait_until(lambda: not self.alive, timeout, pause=_PROCESS_POLL)

    def children(self) -> list[Process]:
        """Its direct child processes."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [process for pid in text.split() if (process := Process.of(int(pid))) is not None]

    def descendants(self) -> list[Process]:
        """Its child processes and theirs."""
        found = []
        for child in self.children():
            found += [child, *child.descendants()]
        return found


def _start_time(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def spawn(argv: Sequence[str], log: Path) -> Process:
    """Start a program that outlives this process: in a new session, without input, its output appended to ``log``.

    Raises:
        TestbedError: it could not be started.
    """
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, close_fds=True
            )
        except OSError as error:
            raise TestbedError(f"could not start {shlex.join(argv)}: {error}") from error
    _children.append(child)
    process = Process.of(child.pid)
    if process is None:
        raise TestbedError(f"it ended at once: {shlex.join(argv)}", log_tail=tail_of(log))
    return process


# Kept so that the interpreter reaps them when they end, without a warning.
_children: list[subprocess.Popen[bytes]] = []


def groups(node: NodeLayout) -> list[Path]:
    """The node's cgroup in each hierarchy, from its supervisor's file."""
    try:
        lines = (node.folder / "cgroups").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [group for line in lines if (group := Path(line)).name == node.cgroup and group.is_dir()]


def processes(node: NodeLayout) -> list[Process]:
    """The processes in the node's cgroups."""
    found: dict[Process, None] = {}
    for group in groups(node):
        for path, _folders, _files in os.walk(group):
            for pid in _members(Path(path)):
                process = Process.of(pid)
                if process is not None:
                    found[process] = None
    return list(found)


def _members(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []  # it was removed in the meantime


def remove(node: NodeLayout) -> None:
    """Remove the node's cgroups; the kernel may need a moment after the end of the last process.

    Raises:
        TestbedError: something still runs in one.
    """
    for group in groups(node):
        for path, _folders, _files in os.walk(group, topdown=False):
            _remove(Path(path), node)


def _remove(group: Path, node: NodeLayout) -> None:
    deadline = Deadline(_CGROUP_SECONDS)
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if deadline.passed:
                members = " ".join(map(str, _members(group))) or "none"
                raise TestbedError(
                    f"the cgroup {group} cannot be removed ({error.strerror}); processes in it: {members}",
                    place=node.name,
                    remedy=f"end the processes, then: rmdir {group}",
                ) from error
            time.sleep(_CGROUP_POLL)
        else:
            return
