"""Atomic file writes, and file locks that end with the process that holds them.

Every function raises ``OSError`` as the operating system tells it; what that means to a user is the caller's to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
_LONGEST_NOTE = 4096
# The holder takes the lock first and writes who it is then.
_NOTE_ATTEMPTS, _NOTE_PAUSE = 20, 0.01


def write_whole(
    path: Path,
    data: bytes | str,
    *,
    durable: bool = False,
    mode: int = 0o644,
    exact: bool = False,
    overwrite: bool = True,
    owner: tuple[int, int] | None = None,
) -> None:
    """Put a file in place whole, or leave what was there; a reader never sees half of one.

    Args:
        data: a text is written in UTF-8.
        durable: it outlives a power cut.
        mode: its permissions, less the process's umask unless they are to be ``exact``.
        overwrite: ``False``: a file that is there already stays as it is; of several writers one is first.
        owner: its user's and group's id, if they are not this process's.
    """
    with temporary_beside(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            if exact:
                os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, *owner)
            write_all(descriptor, data.encode() if isinstance(data, str) else data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if overwrite:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
    if durable:
        sync_folder(path.parent)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A hidden name beside a file, under which nothing is left after the block."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        # What went wrong in the block is what the caller should hear of.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a path is one that ``temporary_beside`` gave: a process was killed before its file was in place."""
    return _TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None


def append_whole(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Append all of it, or none of it; ``durable`` outlives a power cut."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, in as many parts as it takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a file's lock (flock), waiting for it. The file is made if there is none, unless the lock is ``shared``."""
    flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; ``False`` while another process, or another opening of it, has the lock."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_lock_as(descriptor: int, holder: str) -> str | None:
    """Lock a file that is open for reading and writing, and write into it who holds it.

    Returns:
        ``None`` when this process holds it now; else what its holder wrote, empty if it has not written yet.
    """
    if not try_lock(descriptor):
        for _ in range(_NOTE_ATTEMPTS):
            if note := os.pread(descriptor, _LONGEST_NOTE, 0):
                return note.decode(errors="replace").strip()
            time.sleep(_NOTE_PAUSE)
        return ""
    os.ftruncate(descriptor, 0)
    write_all(descriptor, holder.encode())
    return None
