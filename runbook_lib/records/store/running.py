"""The markers of records that are being written, each locked by its runner while that lives.

A marker is in the archive's ``.running`` folder. It is signed, so that a foreign folder is never taken for the
remains of a killed runner.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.files import try_lock, write_all
from runbook_lib.records.store.archive import RUNNING_FOLDER
from runbook_lib.records.store.keys import PublicKey, SigningKey, canonical

RESERVE_BYTES = 1 << 20
_RESERVE_SUFFIX = ".reserve"
# The length of an Ed25519 signature (RFC 8032); a marker has it in hexadecimal.
_SIGNATURE_BYTES = 64


@dataclass
class Marker:
    """A record's marker, held by this process. ``descriptor`` has the lock."""

    path: Path
    descriptor: int

    def reserve(self) -> None:
        """Reserve disk space for the record's last files. Raises ``OSError``."""
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)

    def release_reserve(self) -> None:
        """Release the reserved disk space."""
        self._reserve.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the marker of a finished record. Raises ``OSError``."""
        self.release_reserve()
        self.path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Unlock, and leave the marker for the writer that seals the unfinished record."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @property
    def _reserve(self) -> Path:
        return reserve_of(self.path)


def marker_of(folder: Path) -> Path:
    """The marker of the record in a folder."""
    return folder.parent / RUNNING_FOLDER / folder.name


def reserve_of(marker: Path) -> Path:
    """The file beside a marker that reserves disk space."""
    return marker.with_name(f".{marker.name}{_RESERVE_SUFFIX}")


def is_running(folder: Path) -> bool:
    """Whether the runner that writes the record in this folder is alive."""
    try:
        descriptor = os.open(marker_of(folder), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def claim(folder: Path, key: SigningKey) -> Marker:
    """Create and lock the marker of a new record. Raises ``OSError``."""
    path = marker_of(folder)
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        write_all(descriptor, key.sign(_statement(folder.name)).hex().encode())
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return Marker(path, descriptor)


def take_over(folder: Path) -> Marker | None:
    """Lock the marker of a dead runner's record; ``None`` if another process holds it.

    Raises:
        OSError: there is no marker, or it cannot be opened.
    """
    path = marker_of(folder)
    descriptor = os.open(path, os.O_RDWR)
    if not try_lock(descriptor) or os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return Marker(path, descriptor)


def is_begun_by(folder: Path, keys: Iterable[PublicKey]) -> bool:
    """Whether a folder has a marker signed by one of the keys: its record was started, and not finished."""
    path = marker_of(folder)
    try:
        signature = bytes.fromhex(path.read_text(encoding="ascii", errors="replace"))
    except (OSError, ValueError):
        return False
    return any(key.signed(signature, _statement(path.name)) for key in keys)


def is_unsigned(marker: Path) -> bool:
    """Whether a marker lacks its signature: its runner was killed while creating it, before anything else.

    Call this only while holding the archive's lock, under which markers are created.
    """
    return marker.stat().st_size < 2 * _SIGNATURE_BYTES


def _statement(folder: str) -> bytes:
    return canonical({"kind": "begun", "folder": folder})
