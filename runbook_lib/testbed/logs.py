"""The logs that tell why a node is not ready: files of a boot2docker node, the journal of a Debian one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runbook_lib.errors import TestbedError
from runbook_lib.testbed import host
from runbook_lib.testbed.layout import NodeLayout

_LINES = 15
_JOURNAL_TIMEOUT = 10


class Log(Protocol):
    """A log: printed, it says where it is."""

    def tail(self) -> str:
        """Its last lines, or in brackets why there are none."""


@dataclass(frozen=True)
class FileLog:
    """A text file."""

    path: Path

    def tail(self) -> str:
        """Its last lines."""
        return host.tail_of(self.path, _LINES)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class JournalLog:
    """The journal that a node writes on its own disk, read with the host's journalctl; of one unit, or whole."""

    folder: Path
    unit: str = ""

    @property
    def command(self) -> list[str]:
        """What a person types to read it all."""
        return ["journalctl", f"--directory={self.folder}", *([f"--unit={self.unit}"] if self.unit else [])]

    def tail(self) -> str:
        """The last lines of the last boot."""
        options = ["--boot", f"--lines={_LINES}", "--no-pager", "--quiet", "--output=short-monotonic"]
        try:
            done = host.run([*self.command, *options], timeout=_JOURNAL_TIMEOUT, check=False)
        except TestbedError as error:
            return f"({error.message})"
        return host.tail(done.stdout or done.stderr, _LINES) or "(it is empty)"

    def __str__(self) -> str:
        return f"'{' '.join(self.command)}'"


def console_log(node: NodeLayout) -> Log:
    """What the supervisor and the container's console print."""
    return FileLog(node.console_log)


def boot_log(node: NodeLayout) -> Log:
    """What the node's boot says."""
    return JournalLog(node.journal) if node.boots_systemd else FileLog(node.boot_log)


def docker_log(node: NodeLayout) -> Log:
    """What the node's dockerd says."""
    return JournalLog(node.journal, "docker.service") if node.boots_systemd else FileLog(node.docker_log)
