"""What every platform answers: which files fix an address, which files were there before, and how a change is made."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import ClassVar

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import RunbookError
from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.base import Say


class PlatformRefusal(RunbookError):
    """A host's configuration cannot be changed safely; the message says why, the remedy what to do by hand."""


@dataclass(frozen=True)
class Wanted:
    """The fixed address that an interface is to have.

    ``gateway`` is that of the default route, where this leads through the interface; ``name_servers`` are those that
    came with the lease and would go with it.
    """

    interface: str
    address: str
    prefix: IPv4Network
    gateway: str = ""
    name_servers: tuple[str, ...] = ()

    @property
    def cidr(self) -> str:
        """The address with the length of the network's prefix."""
        return f"{self.address}/{self.prefix.prefixlen}"


@dataclass(frozen=True)
class FileChange:
    """One file before and after a change."""

    before: HostFile
    after: HostFile

    @property
    def path(self) -> str:
        """Where the file is."""
        return self.after.path

    @property
    def diff(self) -> str:
        """The change as a unified diff, as ``diff -u`` and ``patch`` have it; a file that is not there is /dev/null."""
        old, new = self.before.text, self.after.text
        lines = difflib.unified_diff(
            (old or "").splitlines(keepends=True),
            (new or "").splitlines(keepends=True),
            self.path if old is not None else "/dev/null",
            self.path if new is not None else "/dev/null",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class Change:
    """The work of one node: its files before and after, and what the node's address must be for it to be confirmed.

    ``wanted`` is ``None`` if the old configuration is restored, whose address is not known beforehand.
    """

    host: HostNetwork
    files: tuple[FileChange, ...]
    wanted: Wanted | None


def changes(host: HostNetwork, after: Iterable[HostFile]) -> tuple[FileChange, ...]:
    """The files that are not yet as they should be."""
    pairs = ((host.file(file.path), file) for file in after)
    return tuple(FileChange(old, new) for old, new in pairs if old.content != new.content)


class Platform(ABC):
    """One way in which hosts boot and get their addresses. Everything but ``apply`` is pure."""

    name: ClassVar[PlatformName]
    live: ClassVar[bool]
    """Whether a change takes effect at once; else it does from the next boot on."""
    ours: ClassVar[str]
    """Our configuration of an address, in a few words."""

    @abstractmethod
    def is_ours(self, host: HostNetwork) -> bool:
        """Whether our configuration sets the address. Raises ``RunbookError`` for unmatched markers."""

    @abstractmethod
    def describe(self, host: HostNetwork, prefix: IPv4Network) -> str:
        """What the files say of the address, in a few words."""

    @abstractmethod
    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """The files that give the interface its fixed address, as they should be.

        Raises ``PlatformRefusal`` when the host's own files stand against it.
        """

    @abstractmethod
    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """The same files without our changes, byte for byte as before."""

    @abstractmethod
    def apply(self, cluster: Cluster, node: Node, change: Change, seconds: float, say: Say) -> None:
        """Make a change on a node; with ``live`` it has taken effect and is confirmed afterwards.

        ``seconds`` is how long the node waits for that before it puts its old configuration back. Raises
        ``RunbookError``.
        """
