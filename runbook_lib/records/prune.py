"""Removes old records with a signed entry for each, so that the chain stays verifiable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runbook_lib.errors import InputError, RecordError
from runbook_lib.files import locked
from runbook_lib.records import chain
from runbook_lib.records.checks import digest_of
from runbook_lib.records.sealing import append, note_head
from runbook_lib.records.store import remote
from runbook_lib.records.store.archive import Archive, id_of, started_of
from runbook_lib.records.store.disk import archive_error, record_error
from runbook_lib.records.store.keys import signing_key
from runbook_lib.records.store.running import marker_of

_KEEP = re.compile(r"(?P<number>[0-9]{1,7})(?P<unit>[hdw]?)")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def not_kept(archive: Archive, keep: str, *, now: datetime | None = None) -> tuple[Path, ...]:
    """The records that ``prune --keep`` would remove, the oldest first, without records that are being written.

    ``keep`` is a number (so many of the newest are kept) or an age such as ``12h``, ``30d`` or ``8w`` (newer records
    are kept).

    Raises:
        InputError: ``keep`` is invalid, or there is no archive.
    """
    found = _KEEP.fullmatch(keep)
    if found is None:
        raise InputError(
            f"{keep!r} is neither a number of records nor an age",
            place="--keep",
            remedy="give for example 100 (the newest hundred), or 12h, 30d or 8w (those not older than that)",
        )
    folders = [folder for folder in archive.folders() if not marker_of(folder).exists()]
    number = int(found["number"])
    if not found["unit"]:
        return tuple(folders[: max(0, len(folders) - number)])
    oldest = (now or datetime.now(UTC)) - number * _UNITS[found["unit"]]
    return tuple(folder for folder in folders if started_of(folder) < oldest)


def prune(archive: Archive, folders: Sequence[Path]) -> tuple[chain.Entry, ...]:
    """Remove records, after their signed entries: a crash in between then leaves no unsigned gap.

    Folders that an interrupted prune has left are removed too.

    Raises:
        InputError: the archive cannot be written.
        RecordError: a record is being written, the disk is full, or a remote archive cannot be reached.
    """
    for folder in folders:
        if marker_of(folder).exists():
            raise RecordError(
                "the record is being written", place=str(folder), remedy="wait for its run to end, then prune again"
            )
    key = signing_key()
    try:
        with locked(archive.lock_file), remote.chain_held(archive) as publish:
            drafts = [chain.Draft("prune", id_of(folder), folder.name, digest_of(folder)) for folder in folders]
            appended = append(archive, drafts, key) if drafts else None
            if appended is not None:
                try:
                    publish(())
                except BaseException:
                    chain.undo(archive, appended)
                    raise
                note_head(archive, appended)
    except OSError as error:
        raise archive_error(error, archive.root) from error
    _remove(archive)
    return appended.entries if appended else ()


def _remove(archive: Archive) -> None:
    names = _still_there(archive)
    remote.remove_there(archive, names)
    try:
        for name in names:
            shutil.rmtree(archive.root / name)
    except OSError as error:
        raise record_error(error, archive.root) from error


def _still_there(archive: Archive) -> list[str]:
    """Folders that still exist although their newest entry is a removal."""
    there = {folder.name for folder in archive.folders()}
    lines, _ = chain.read_chain(archive.chain_file.read_bytes()) if archive.chain_file.exists() else ((), False)
    kinds = {line.entry.folder: line.entry.kind for line in lines if line.entry}
    return [name for name, kind in kinds.items() if kind == "prune" and name in there]
