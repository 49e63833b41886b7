"""Which records are being written now: a marker each, locked by its runner for as long as that lives.

A marker lies in the archive's ``.running`` folder. It is signed, so that no stranger's folder is ever taken for what a
killed runner left behind.
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
# Of Ed25519 (RFC 8032); a marker holds it in hexadecimal.
_SIGNATURE_BYTES = 64


@dataclass
class Marker:
    """A record's marker, held by this process. ``descriptor`` has the lock."""

    path: Path
    descriptor: int

    def reserve(self) -> None:
        """Keep room on the disk for the last that has to be written. Raises ``OSError``."""
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)

    def release_reserve(self) -> None:
        """Give the room back, to be used at once."""
        self._reserve.unlink(missing_ok=True)

    def remove(self) -> None:
        """The record is finished: nothing is left of the marker. Raises ``OSError``."""
        self.release_reserve()
        self.path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Unlock, and leave the marker to whoever seals what was left."""
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
    """The file that keeps room on the disk beside a marker."""
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
    """Make and lock the marker of a record that begins. Raises ``OSError``."""
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
    """The marker of a record whose runner is gone, now held by this process; ``None`` while anybody holds it.

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
    """Whether there is a marker for a folder that one of the keys signed: its record was begun, and not finished."""
    path = marker_of(folder)
    try:
        signature = bytes.fromhex(path.read_text(encoding="ascii", errors="replace"))
    except (OSError, ValueError):
        return False
    return any(key.signed(signature, _statement(path.name)) for key in keys)


def is_unsigned(marker: Path) -> bool:
    """Whether a marker lacks its signature: its runner was killed while it made it, and nothing else was begun.

    Ask only while the archive is locked, under which markers are made.
    """
    return marker.stat().st_size < 2 * _SIGNATURE_BYTES


def _statement(folder: str) -> bytes:
    return canonical({"kind": "begun", "folder": folder})
