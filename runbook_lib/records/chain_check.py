"""Finds what is wrong with a chain: entries that were changed, forged, removed, moved or cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from runbook_lib.records.archive import CHAIN_FILE
from runbook_lib.records.chain import BEGINNING, Entry, Line
from runbook_lib.records.findings import Finding
from runbook_lib.records.heads import Head
from runbook_lib.records.keys import PublicKey


def check_lines(lines: Sequence[Line], keys: Mapping[str, PublicKey], trusted: PublicKey | None) -> Iterator[Finding]:
    """Check each line for itself: an entry, its hash, its signature, and whose it is."""
    for line in lines:
        if line.entry is None:
            yield Finding("", _place(line), line.fault)
            continue
        fault = entry_fault(line.entry, keys, trusted)
        if fault:
            yield Finding(line.entry.record, _place(line), fault)


def entry_fault(entry: Entry, keys: Mapping[str, PublicKey], trusted: PublicKey | None) -> str:
    """What is wrong with one entry for itself; empty when nothing is."""
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
    """Check the lines with each other: none removed, none moved, each tied to the one before."""
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
    """Numbers that no entry has; a line that is no entry any more was reported as such."""
    for number in range(1, max(entries, default=0)):
        if number not in entries and number not in faulty_lines:
            yield Finding("", CHAIN_FILE, f"entry {number} is missing: it was removed")


def check_end(entries: Sequence[Entry], head: Head | None, cut_short: bool) -> Iterator[Finding]:
    """Check that the chain still has what this machine knows to have been its end, now and when it was written."""
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
