"""Finishes what killed runners left behind: their records are sealed as interrupted, half-made ones are removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from runbook_lib.errors import RecordError
from runbook_lib.model.record import Record, RecordVerdict
from runbook_lib.records import chain, remote
from runbook_lib.records.archive import RECORD_FILE, RUNNING_FOLDER, SEAL_FILE, Archive
from runbook_lib.records.contents import contents_of, write_record
from runbook_lib.records.disk import locked, remove_temporaries
from runbook_lib.records.keys import SigningKey
from runbook_lib.records.leftover import as_left
from runbook_lib.records.reading import parse_record
from runbook_lib.records.running import Marker, is_begun_by, is_unsigned, take_over
from runbook_lib.records.sealing import seal, write_seal


def recover(archive: Archive, key: SigningKey) -> tuple[Path, ...]:
    """Seal every record that a runner of this key's holder began and did not live to finish; return their folders.

    Raises:
        OSError: the archive cannot be written.
        RecordError: the records cannot be sealed.
    """
    markers = _ours(archive, key)
    try:
        waiting = [marker for marker in markers if _has_record(archive, marker)]
        folders = [archive.root / marker.path.name for marker in waiting]
        for folder in folders:
            remove_temporaries(folder)
        unsealed = _unsealed(archive, folders, key) if folders else []
        ready = [folder for folder in unsealed if _finish(folder)]
        if ready:
            for marker in waiting:
                marker.release_reserve()
            seal(archive, ready, key)
        for marker in waiting:
            marker.remove()
        return tuple(ready)
    finally:
        for marker in markers:
            marker.let_go()


def _ours(archive: Archive, key: SigningKey) -> list[Marker]:
    """The markers of this key's holder that nobody holds, now held here."""
    found = []
    # A record that begins has its marker locked before this lock is free.
    with locked(archive.lock_file):
        for path in sorted((archive.root / RUNNING_FOLDER).iterdir()):
            if path.name.startswith("."):
                continue
            try:
                marker = take_over(archive.root / path.name)
            except FileNotFoundError:
                continue  # its runner has finished since the folder was listed
            if marker is None:
                continue
            if is_begun_by(archive.root / path.name, [key.public]):
                found.append(marker)
            elif is_unsigned(path):
                marker.remove()
            else:
                marker.let_go()
    return found


def _has_record(archive: Archive, marker: Marker) -> bool:
    """Whether a record was begun; what a runner left that did not come so far is removed with its marker."""
    name = marker.path.name
    if (archive.root / name).is_dir():
        return True
    shutil.rmtree(archive.root / f".{name}", ignore_errors=True)
    marker.remove()
    return False


def _unsealed(archive: Archive, folders: list[Path], key: SigningKey) -> list[Path]:
    """Those that the chain has no entry of. A record that was chained and lacks no more than its seal gets it."""
    with locked(archive.lock_file), remote.chain_held(archive):
        lines, _ = chain.read_chain(archive.chain_file.read_bytes()) if archive.chain_file.exists() else ((), False)
    entries = {line.entry.folder: line.entry for line in lines if line.entry and line.entry.kind == "record"}
    for folder in folders:
        entry = entries.get(folder.name)
        if entry and entry.key == key.public.id and not (folder / SEAL_FILE).exists():
            write_seal(folder, entry, key.public)
    return [folder for folder in folders if folder.name not in entries]


def _finish(folder: Path) -> bool:
    """Make the record say that it was interrupted, if it still says running; ``False`` when it cannot be read."""
    path = folder / RECORD_FILE
    try:
        record = parse_record(path.read_bytes(), path)
    except (RecordError, FileNotFoundError):
        return False
    if record.verdict is RecordVerdict.RUNNING:
        write_record(folder, _complete(record, folder))
    return True


def _complete(record: Record, folder: Path) -> Record:
    return as_left(record, folder).model_copy(update={"files": contents_of(folder)})
