"""A record's files: their names and digests, and what a user is told when the disk does not take them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import InputError, RecordError
from runbook_lib.files import is_temporary

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR})
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
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


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process had not put in place yet, anywhere below a folder. Raises ``OSError``."""
    for name in list(files_in(folder)):
        if is_temporary(name):
            (folder / name).unlink()


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
