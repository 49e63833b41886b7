"""Finds what is wrong with one record's folder: files that were changed, removed or added."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import RecordError
from runbook_lib.model.record import FileRecord, Record
from runbook_lib.records.archive import RECORD_FILE, SEAL_FILE
from runbook_lib.records.chain import Entry
from runbook_lib.records.contents import UNLISTED
from runbook_lib.records.disk import files_in, sha256_of
from runbook_lib.records.findings import Finding
from runbook_lib.records.keys import PublicKey
from runbook_lib.records.reading import parse_record
from runbook_lib.records.sealing import read_seal


def digest_of(folder: Path) -> str:
    """The SHA-256 of a folder's ``record.json``; empty when that cannot be read."""
    try:
        return hashlib.sha256((folder / RECORD_FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def check_folder(folder: Path, entry: Entry) -> tuple[Finding, ...]:
    """Check a record's files against its entry: ``record.json`` by the entry, all others by ``record.json``."""
    return tuple(_check(folder, entry))


def _check(folder: Path, entry: Entry) -> Iterator[Finding]:
    path = folder / RECORD_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        yield Finding(entry.record, _in(folder, RECORD_FILE), _unreadable(error))
        return
    changed = hashlib.sha256(data).hexdigest() != entry.sha256
    try:
        record = parse_record(data, path)
    except RecordError as error:
        how = "was changed and" if changed else "is as it was sealed but"
        yield Finding(entry.record, _in(folder, RECORD_FILE), f"{how} cannot be read: {error.message}")
        return
    if changed:
        whose = f": it says that it is of the record {record.id}" if record.id != entry.record else ""
        yield Finding(entry.record, _in(folder, RECORD_FILE), f"was changed{whose}")
    yield from _check_files(folder, record, entry.record)


def _check_files(folder: Path, record: Record, id_: str) -> Iterator[Finding]:
    there = set(files_in(folder)) - UNLISTED
    for name in sorted(there - record.files.keys()):
        yield Finding(id_, _in(folder, name), "was added: record.json does not list it")
    for name, listed in sorted(record.files.items()):
        if name not in there:
            yield Finding(id_, _in(folder, name), "is missing")
        elif fault := _file_fault(folder / name, listed):
            yield Finding(id_, _in(folder, name), fault)


def _file_fault(path: Path, listed: FileRecord) -> str:
    try:
        digest, size = sha256_of(path)
    except OSError as error:
        return _unreadable(error)
    if digest == listed.sha256:
        return ""
    sizes = f" ({listed.size} bytes before, {size} now)" if size != listed.size else ""
    return f"was changed{sizes}"


def check_seal(folder: Path, entry: Entry, key: PublicKey | None) -> tuple[Finding, ...]:
    """Check that a folder's seal is the copy of its entry in the chain."""
    place = _in(folder, SEAL_FILE)
    try:
        seal = read_seal(folder)
    except OSError as error:
        return (Finding(entry.record, place, _unreadable(error)),)
    except ValueError:
        return (Finding(entry.record, place, "was changed: it is not a seal"),)
    if seal.entry != entry:
        return (Finding(entry.record, place, f"was changed: it is not entry {entry.sequence} of the chain"),)
    if key is not None and seal.public_key != key.pem:
        return (Finding(entry.record, place, f"was changed: its public key is not {key.id}"),)
    return ()


def _unreadable(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "is missing"
    if error.errno == errno.ELOOP:
        return "was exchanged for a symbolic link"
    return f"cannot be read ({error.strerror})"


def _in(folder: Path, name: str) -> str:
    return f"{folder.name}/{name}"
