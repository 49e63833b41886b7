"""The chain: one signed entry for every record and every removal, linked to the previous entry by its hash.

An entry is a line of canonical JSON. Its ``hash`` is the SHA-256 of all its other fields except the signature, and the
next entry has it as ``previous``; the signature covers the same bytes. So no entry can be changed, removed or moved
without breaking the next one or a signature.

This machine also notes the last entry (head) of every archive that it wrote to, beside the signing key and outside the
archive, to detect a truncated chain.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from runbook_lib import journal
from runbook_lib.errors import RecordError
from runbook_lib.files import append_whole, write_whole
from runbook_lib.model.locations import signing_key_file
from runbook_lib.records.store.archive import Archive, is_url
from runbook_lib.records.store.keys import PublicKey, SigningKey, canonical

#: The ``previous`` of the first entry.
BEGINNING = "0" * 64
_BLOCK = 64 * 1024


class Head(BaseModel):
    """The last known entry: its number, its hash, and the byte offset of its line in the chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    location: str
    sequence: int
    hash: str
    start: int
    end: int


def head_file(location: str) -> Path:
    """The file with the noted head of the archive at a location."""
    name = location if is_url(location) else str(Path(location).resolve())
    return signing_key_file().parent / "heads" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def read_head(location: str) -> Head | None:
    """The noted head of an archive; ``None`` if this machine never wrote to it.

    Raises:
        RecordError: the note cannot be read.
    """
    path = head_file(location)
    try:
        return Head.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RecordError(
            "the note of the archive's last entry cannot be read",
            place=str(path),
            remedy="restore it, or remove it if you accept that a truncated chain is not detected",
        ) from error


def write_head(head: Head) -> None:
    """Note an archive's head. Raises ``OSError``."""
    path = head_file(head.location)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, head.model_dump_json().encode() + b"\n", durable=True, mode=0o600)


class Entry(BaseModel):
    """One entry. ``sha256`` is that of the record's ``record.json`` (empty: it had none); ``time`` UTC, ISO 8601.

    ``lost`` is empty, or the hash of the last entry that the writer knew but did not find in the chain any more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    sequence: int
    kind: Literal["record", "prune"]
    record: str
    folder: str
    sha256: str
    time: str
    previous: str
    lost: str = ""
    key: str
    hash: str = ""
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """The bytes to hash and sign: every field except hash and signature, as canonical JSON."""
        return canonical(self.model_dump(exclude={"hash", "signature"}))

    def line(self) -> bytes:
        """The entry's line in the chain, with its newline."""
        return canonical(self.model_dump()) + b"\n"

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the entry is signed by the key."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except binascii.Error:
            return False
        return key.signed(signature, self.signed_bytes())

    def has_its_hash(self) -> bool:
        """Whether the hash is that of the entry's own content."""
        return hashlib.sha256(self.signed_bytes()).hexdigest() == self.hash


@dataclass(frozen=True)
class Draft:
    """The content of an entry before it is appended to the chain."""

    kind: Literal["record", "prune"]
    record: str
    folder: str
    sha256: str


@dataclass(frozen=True)
class Line:
    """One line of the chain, ``number`` from 1: its entry, or its ``fault``."""

    number: int
    entry: Entry | None
    fault: str = ""


@dataclass(frozen=True)
class Appended:
    """The appended entries, and the chain's length before, to undo this."""

    entries: tuple[Entry, ...]
    size_before: int
    size: int


def read_chain(data: bytes) -> tuple[tuple[Line, ...], bool]:
    """The lines of a chain, and whether its last one was incomplete, as after a crash (it is left out)."""
    *whole, rest = data.split(b"\n")
    lines = tuple(_read_line(number, text) for number, text in enumerate(whole, start=1))
    return lines, bool(rest)


def _read_line(number: int, text: bytes) -> Line:
    try:
        entry = Entry.model_validate_json(text)
    except ValidationError as error:
        return Line(number, None, f"it is not an entry ({error.errors(include_url=False)[0]['msg']})")
    if entry.line() != text + b"\n":
        return Line(number, None, "it is not written as canonical JSON")
    return Line(number, entry)


def append(archive: Archive, drafts: Sequence[Draft], key: SigningKey) -> Appended:
    """Append entries for the drafts, in one write. The caller holds the archive's lock.

    Raises:
        OSError: nothing was appended.
        ValueError: the chain's last line is not an entry.
    """
    size, last = end_of(archive.chain_file)
    lost = _lost(archive, read_head(archive.location))
    entries = []
    for draft in drafts:
        last = _sign(draft, last, lost, key)
        entries.append(last)
        lost = ""
    _store_public_key(archive, key.public)
    data = b"".join(entry.line() for entry in entries)
    append_whole(archive.chain_file, data, durable=True)
    return Appended(tuple(entries), size, size + len(data))


def undo(archive: Archive, appended: Appended) -> None:
    """Undo ``append``, with the lock still held. Raises ``OSError``."""
    os.truncate(archive.chain_file, appended.size_before)


def _sign(draft: Draft, last: Entry | None, lost: str, key: SigningKey) -> Entry:
    unsigned = Entry(
        sequence=last.sequence + 1 if last else 1,
        kind=draft.kind,
        record=draft.record,
        folder=draft.folder,
        sha256=draft.sha256,
        time=journal.now(),
        previous=last.hash if last else BEGINNING,
        lost=lost,
        key=key.public.id,
    )
    content = unsigned.signed_bytes()
    signature = base64.b64encode(key.sign(content)).decode()
    return unsigned.model_copy(update={"hash": hashlib.sha256(content).hexdigest(), "signature": signature})


def end_of(path: Path) -> tuple[int, Entry | None]:
    """Remove an incomplete last line, and return the chain's length and its last entry; the lock is held.

    Raises:
        OSError: it cannot be read or cut.
        ValueError: the last line is not an entry.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0, None
    whole, text = _last_line(path, size)
    if whole < size:
        os.truncate(path, whole)
    if not text:
        return whole, None
    return whole, Entry.model_validate_json(text)


def _last_line(path: Path, size: int) -> tuple[int, bytes]:
    """The end of the last complete line, and its text without the newline."""
    with path.open("rb") as file:
        begin, tail = size, b""
        while begin > 0 and tail.count(b"\n") < 2:
            step = min(_BLOCK, begin)
            begin -= step
            file.seek(begin)
            tail = file.read(step) + tail
    end = tail.rfind(b"\n")
    if end < 0:
        return begin, b""
    return begin + end + 1, tail[tail.rfind(b"\n", 0, end) + 1 : end]


def _lost(archive: Archive, head: Head | None) -> str:
    """The hash of the head that this machine noted, if the chain does not have it any more.

    A new archive (no chain, and only records being written) has lost nothing.
    """
    if head is None or has_head(archive, head):
        return ""
    if not archive.chain_file.exists() and not archive.keys_folder.exists():
        return ""
    return head.hash


def has_head(archive: Archive, head: Head) -> bool:
    """Whether the chain still has the noted head. Raises ``OSError``."""
    try:
        with archive.chain_file.open("rb") as file:
            file.seek(head.start)
            text = file.read(head.end - head.start)
    except FileNotFoundError:
        return False
    try:
        return bool(json.loads(text)["hash"] == head.hash) and text.endswith(b"\n")
    except (ValueError, KeyError, TypeError):
        return False


def _store_public_key(archive: Archive, key: PublicKey) -> None:
    path = archive.keys_folder / f"{key.id}.pem"
    if not path.exists():
        archive.keys_folder.mkdir(exist_ok=True)
        write_whole(path, key.pem.encode(), durable=True)
