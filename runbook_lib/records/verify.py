"""Verifies an archive: says which record was changed, removed, added or moved, and where."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.records import remote
from runbook_lib.records.archive import SEAL_FILE, Archive, id_of
from runbook_lib.records.chain_check import entry_fault
from runbook_lib.records.examination import Examination
from runbook_lib.records.findings import Finding, Verification
from runbook_lib.records.folder_check import check_folder
from runbook_lib.records.keys import parse_public_key, read_public_key
from runbook_lib.records.sealing import read_seal

_ATTEMPTS = 3

__all__ = ["Finding", "Verification", "examine", "verify", "verify_folder"]


def verify(archive: Archive, *, record_id: str | None = None, public_key: Path | None = None) -> tuple[Finding, ...]:
    """What is wrong with an archive, as ``examine`` finds it; nothing when it is intact."""
    return examine(archive, record_id=record_id, public_key=public_key).findings


def examine(archive: Archive, *, record_id: str | None = None, public_key: Path | None = None) -> Verification:
    """Verify an archive: its chain, and each record's files, or those of one record (an id or its beginning).

    With ``public_key`` every entry has to be signed with that key; else with one of those in the archive. A remote
    archive is fetched afresh.

    Raises:
        InputError: there is no archive, no such record, or no key in the file.
        RecordError: a remote archive cannot be fetched.
    """
    trusted = read_public_key(public_key) if public_key else None
    with remote.fetched(archive) as local:
        for _ in range(_ATTEMPTS - 1):
            before = _stamp(local)
            found = Examination(local, trusted, archive.root).result(record_id)
            if not found.findings or before == _stamp(local):
                return found
            # A record was finished or pruned meanwhile: what was found may only have been half of that.
        return Examination(local, trusted, archive.root).result(record_id)


def _stamp(archive: Archive) -> int:
    return archive.chain_file.stat().st_size if archive.chain_file.exists() else 0


def verify_folder(folder: Path, *, public_key: Path | None = None) -> Verification:
    """Verify a record that was taken out of its archive, by the seal in it.

    Without ``public_key`` this proves that the folder is as it was sealed by whoever holds the key that the seal names.

    Raises:
        InputError: no such folder, or no key in the file.
    """
    trusted = read_public_key(public_key) if public_key else None
    if not folder.is_dir():
        raise InputError("there is no such folder", place=str(folder), remedy="name the folder of a record")
    try:
        seal = read_seal(folder)
        key = parse_public_key(seal.public_key.encode())
    except (OSError, ValueError):
        problem = "is missing, or it is not a seal: nothing says what the record was"
        return Verification((Finding(id_of(folder), f"{folder.name}/{SEAL_FILE}", problem),))
    entry = seal.entry
    fault = entry_fault(entry, {key.id: key}, trusted)
    findings = [Finding(entry.record, f"{folder.name}/{SEAL_FILE}", fault)] if fault else []
    findings += check_folder(folder, entry)
    return Verification(tuple(findings), records=1, entries=1, signed={entry.key: 1})
