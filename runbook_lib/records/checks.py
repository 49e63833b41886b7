"""Finds the faults of a chain and of a record's folder."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from runbook_lib.errors import RecordError
from runbook_lib.model.record import FileRecord, Record
from runbook_lib.records.chain import BEGINNING, Entry, Head, Line
from runbook_lib.records.sealing import read_seal
from runbook_lib.records.store.archive import CHAIN_FILE, RECORD_FILE, SEAL_FILE
from runbook_lib.records.store.disk import files_in, sha256_of
from runbook_lib.records.store.keys import PublicKey
from runbook_lib.records.store.reading import UNLISTED, parse_record


@dataclass(frozen=True)
class Finding:
    """One fault: of which record (its id; empty: of the archive), where, and what.

    A ``leftover`` is not a manipulation but the result of a crash, which the next run repairs.
    """

    record: str
    place: str
    problem: str
    leftover: bool = False

    def __str__(self) -> str:
        record = f"record {self.record}: " if self.record else ""
        return f"{record}{self.place}: {self.problem}"


@dataclass(frozen=True)
class Verification:
    """What was checked, and the faults found.

    ``records`` were compared with their entries, ``running`` are being written now, ``pruned`` were removed by a signed
    entry; ``signed`` has the number of entries by key id, and ``ends_known`` says whether this machine has noted the
    chain's last entry.
    """

    findings: tuple[Finding, ...]
    records: int = 0
    entries: int = 0
    pruned: int = 0
    running: int = 0
    signed: Mapping[str, int] | None = None
    ends_known: bool = False

    @property
    def intact(self) -> bool:
        """Whether nothing was manipulated or lost; leftovers of a crash do not count."""
        return all(finding.leftover for finding in self.findings)


def digest_of(folder: Path) -> str:
    """The SHA-256 of a folder's ``record.json``; empty if it cannot be read."""
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


def check_lines(lines: Sequence[Line], keys: Mapping[str, PublicKey], trusted: PublicKey | None) -> Iterator[Finding]:
    """Check each line by itself: its format, hash, signature and key."""
    for line in lines:
        if line.entry is None:
            yield Finding("", _place(line), line.fault)
            continue
        fault = entry_fault(line.entry, keys, trusted)
        if fault:
            yield Finding(line.entry.record, _place(line), fault)


def entry_fault(entry: Entry, keys: Mapping[str, PublicKey], trusted: PublicKey | None) -> str:
    """The fault of one entry by itself; empty if it has none."""
    what = f"entry {entry.sequence}"
    if not entry.has_its_hash():
        return f"{what} was changed: its hash is not that of its content"
    if trusted is not None and entry.key != trusted.id:
        return f"{what} is signed with the key {entry.key}, not with the trusted key {trusted.id}"
    key = trusted or keys.get(entry.key)
    if key is None:
        return f"{what} is signed with the key {entry.key}, which the archive does not have"
    if not entry.is_signed_by(key):
        return f"{what} was changed or forged: its signature is not made with the key {entry.key}"
    return ""


def check_order(lines: Sequence[Line]) -> Iterator[Finding]:
    """Check the lines against each other: none removed, none moved, each linked to the previous one."""
    present = [(line, line.entry) for line in lines if line.entry is not None]
    for (_, before), (line, entry) in pairwise(present):
        if entry.sequence < before.sequence:
            problem = f"entry {entry.sequence} stands after entry {before.sequence}: the entries were reordered"
            yield Finding(entry.record, _place(line), problem)
    entries: dict[int, Entry] = {}
    for line, entry in present:
        if entry.sequence in entries:
            yield Finding(entry.record, _place(line), f"there is another entry {entry.sequence} before it")
        else:
            entries[entry.sequence] = entry
    yield from _missing(entries, {line.number for line in lines if line.entry is None})
    for number, entry in entries.items():
        if number > 1 and number - 1 not in entries:
            continue
        if entry.previous != (entries[number - 1].hash if number > 1 else BEGINNING):
            before_it = f"entry {number - 1}" if number > 1 else "the beginning of a chain"
            yield Finding(
                entry.record, CHAIN_FILE, f"entry {number} does not follow {before_it}: one of them was exchanged"
            )


def _missing(entries: Mapping[int, Entry], faulty_lines: set[int]) -> Iterator[Finding]:
    """Missing entry numbers; invalid lines have been reported already."""
    for number in range(1, max(entries, default=0)):
        if number not in entries and number not in faulty_lines:
            yield Finding("", CHAIN_FILE, f"entry {number} is missing: it was removed")


def check_end(entries: Sequence[Entry], head: Head | None, cut_short: bool) -> Iterator[Finding]:
    """Check that the chain still has the last entries that this machine and the writers have noted."""
    hashes = {entry.hash for entry in entries}
    for entry in entries:
        if entry.lost and entry.lost not in hashes:
            problem = f"the entry that was the last before entry {entry.sequence} is gone: the end had been cut off"
            yield Finding("", CHAIN_FILE, f"{problem} when entry {entry.sequence} was written")
    if cut_short:
        problem = "the last line is cut short, as by a crash while it was written; the next run removes it"
        yield Finding("", CHAIN_FILE, problem, leftover=True)
    if head is None or head.hash in hashes:
        return
    last = max((entry.sequence for entry in entries), default=0)
    if last < head.sequence:
        now = f"entry {last} is the last there" if last else "the chain is gone"
        problem = f"the end is cut off: this machine knows of entry {head.sequence}, and {now}"
    else:
        problem = f"entry {head.sequence} is not the one that this machine wrote: the chain was exchanged"
    yield Finding("", CHAIN_FILE, problem)


def _place(line: Line) -> str:
    return f"{CHAIN_FILE} line {line.number}"
