"""Seals records: appends to the chain, copies the entry into the record's folder, and uploads to a remote archive."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runbook_lib.errors import RecordError
from runbook_lib.files import locked, write_whole
from runbook_lib.records import chain
from runbook_lib.records.chain import Head, write_head
from runbook_lib.records.store import remote
from runbook_lib.records.store.archive import RECORD_FILE, SEAL_FILE, Archive, id_of
from runbook_lib.records.store.disk import record_error
from runbook_lib.records.store.keys import PublicKey, SigningKey


class Seal(BaseModel):
    """The content of ``seal.json``: the record's entry in the chain, and the public key (PEM) of its signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: chain.Entry
    public_key: str


def read_seal(folder: Path) -> Seal:
    """The seal of the record in a folder. Raises ``OSError``, or ``ValueError`` for an invalid seal."""
    return Seal.model_validate_json((folder / SEAL_FILE).read_bytes())


def write_seal(folder: Path, entry: chain.Entry, key: PublicKey) -> None:
    """Write the seal into a record's folder. Raises ``OSError``."""
    text = Seal(entry=entry, public_key=key.pem).model_dump_json(indent=1) + "\n"
    write_whole(folder / SEAL_FILE, text.encode(), durable=True)


def seal(archive: Archive, folders: Sequence[Path], key: SigningKey) -> None:
    """Chain and sign finished records in this order, and upload them to a remote archive; all or none.

    Raises:
        RecordError: nothing was sealed; the folders are unchanged, and can be sealed later.
    """
    try:
        remote.upload(archive, folders)
        with locked(archive.lock_file), remote.chain_held(archive) as publish:
            appended = append(archive, [_draft(folder) for folder in folders], key)
            try:
                for folder, entry in zip(folders, appended.entries, strict=True):
                    write_seal(folder, entry, key.public)
                publish(folders)
            except BaseException:
                chain.undo(archive, appended)
                for folder in folders:
                    (folder / SEAL_FILE).unlink(missing_ok=True)
                raise
            note_head(archive, appended)
    except RecordError as error:
        if not archive.is_remote:
            raise
        raise remote.where_it_is(error, folders) from error
    except OSError as error:
        raise record_error(error, archive.root) from error


def note_head(archive: Archive, appended: chain.Appended) -> None:
    """Note the chain's current head. Raises ``OSError``."""
    last = appended.entries[-1]
    start = appended.size - len(last.line())
    write_head(Head(location=archive.location, sequence=last.sequence, hash=last.hash, start=start, end=appended.size))


def append(archive: Archive, drafts: Sequence[chain.Draft], key: SigningKey) -> chain.Appended:
    """Append entries, as ``chain.append`` does. Raises ``RecordError`` when the chain is damaged, and ``OSError``."""
    with _explained(archive):
        return chain.append(archive, drafts, key)


def check_chain(archive: Archive) -> None:
    """Check that entries can be appended, with the lock held. Raises ``RecordError``, ``OSError``."""
    with _explained(archive):
        chain.end_of(archive.chain_file)


@contextlib.contextmanager
def _explained(archive: Archive) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RecordError(
            "the chain's last line is not an entry, so nothing can be appended",
            place=str(archive.chain_file),
            remedy="check it: ./runbook records verify; or name another archive: --records LOCATION",
        ) from error


def _draft(folder: Path) -> chain.Draft:
    digest = hashlib.sha256((folder / RECORD_FILE).read_bytes()).hexdigest()
    return chain.Draft("record", id_of(folder), folder.name, digest)
