"""The sources of a record: the kernel's journal, and project, packages, machine and operator."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import os
import platform
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from runbook_lib import __version__
from runbook_lib.journal import Entry, decode
from runbook_lib.model.record import Provenance

_CHUNK = 1 << 16


class JournalReader:
    """Reads one kernel's pipe in a thread, so that the kernel never waits for a full pipe.

    Args:
        path: the named pipe, which must exist.
        take: called with every entry, in the reader's thread. Its exception is raised by ``close``.
        malformed: called with an invalid line (a cell may have written into the pipe itself).
    """

    def __init__(self, path: Path, take: Callable[[Entry], None], malformed: Callable[[str], None]) -> None:
        self._take = take
        self._malformed = malformed
        self._error: BaseException | None = None
        # Open for writing too: the pipe then does not end with a kernel.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read the rest of the pipe, and end. Raises the exception of ``take``."""
        os.write(self._waker, b".")
        self._thread.join()
        for file in (self._pipe, self._wake, self._waker):
            os.close(file)
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._pipe, self._wake], [], [])
            chunk = b""
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._pipe, _CHUNK)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._pass_on(line.decode(errors="replace"))
            if self._wake in ready and not chunk:
                if rest:
                    self._pass_on(rest.decode(errors="replace"))
                return

    def _pass_on(self, line: str) -> None:
        """Process a line; after an error the pipe is still emptied, so that the kernel can continue."""
        if self._error is not None:
            return
        try:
            try:
                entry = decode(line)
            except ValueError:
                self._malformed(line)
            else:
                self._take(entry)
        except BaseException as error:  # noqa: BLE001 - raised by close(), in the thread that can act on it
            self._error = error


_GIT_SECONDS = 10


def provenance(source: bytes) -> Provenance:
    """The provenance of a notebook with this file content, before its first cell."""
    return Provenance(
        notebook_sha256=hashlib.sha256(source).hexdigest(),
        project_version=__version__,
        project_commit=_commit(),
        packages=_packages(),
        python=platform.python_version(),
        operator=operator(),
        host=socket.gethostname(),
    )


def operator() -> str:
    """The user who runs this; under sudo the user who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"uid {os.getuid()}"


@functools.cache
def _commit() -> str:
    """The commit of this package's checkout, with ``+changes`` if it differs; empty outside a checkout."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / ".git").exists():
        return ""
    # Under sudo the checkout belongs to another user, which git refuses by default; it is only read here.
    git = ["git", "-c", f"safe.directory={folder}", "-C", str(folder)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True, timeout=_GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


@functools.cache
def _packages() -> Mapping[str, str]:
    """Name -> version of every installed package, sorted by name.

    Read from the folder names ``NAME-VERSION.dist-info``: opening all of them would take a quarter of a second.
    """
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        for entry in folder.glob("*.dist-info") if folder.is_dir() else ():
            name, _, version = entry.name.removesuffix(".dist-info").rpartition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))
