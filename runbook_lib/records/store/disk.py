"""Files that are there whole or not at all, and what the operating system says when they cannot be."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import InputError, RecordError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR})
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
_BLOCK = 1 << 20


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def record_error(error: OSError, place: Path) -> RecordError:
    """The error that a user sees when a record could not be written."""
    if is_full(error):
        return RecordError(
            "the disk is full", place=str(place), remedy="free space there, or name another archive: --records LOCATION"
        )
    return RecordError(
        f"it cannot be written ({error.strerror or error})",
        place=str(place),
        remedy="mend the cause, or name another archive: --records LOCATION",
    )


def archive_error(error: OSError, root: Path) -> RecordError | InputError:
    """The error for an archive in which nothing was written yet; one that cannot be written at all is bad input."""
    if error.errno in _NOT_WRITABLE:
        return InputError(
            f"records cannot be written there ({error.strerror})",
            place=str(root),
            remedy="name another archive: --records LOCATION",
        )
    return record_error(error, root)


def safe_name(text: str) -> str:
    """The text as a file's name: letters, digits, ``-``, ``_`` and ``.``, never hidden, never empty, not too long."""
    return _UNSAFE.sub("-", text).strip("-._")[:80] or "unnamed"


def write_whole(path: Path, data: bytes, *, durable: bool = False, mode: int = 0o644) -> None:
    """Put a file in place whole, or leave what was there; ``durable`` outlives a power cut. Raises ``OSError``."""
    temporary = temporary_for(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def temporary_for(path: Path) -> Path:
    """A hidden name beside a file, for what is to take its place."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process had not put in place yet, anywhere below a folder. Raises ``OSError``."""
    for name in list(files_in(folder)):
        if is_temporary(name):
            (folder / name).unlink()


def is_temporary(name: str) -> bool:
    """Whether a path is one that ``temporary_for`` gave."""
    return _TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None


def append_whole(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Append all of it, or none of it. Raises ``OSError``."""
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
    """Write all of it. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in a folder outlive a power cut. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file in hexadecimal, and its size in bytes. A symbolic link is refused. Raises ``OSError``."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while block := os.read(descriptor, _BLOCK):
            digest.update(block)
            size += len(block)
    finally:
        os.close(descriptor)
    return digest.hexdigest(), size


def files_in(folder: Path, prefix: str = "") -> Iterator[str]:
    """Every file below a folder, by its path in it, in no particular order. Raises ``OSError``."""
    with os.scandir(folder / prefix if prefix else folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from files_in(folder, f"{name}/")
            else:
                yield name


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a file's lock (flock), waiting for it; it ends with the process that held it. Raises ``OSError``."""
    flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
