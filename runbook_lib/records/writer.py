"""Writes one record so that it is readable, or absent, whatever ends its writer.

``recover`` finishes the records of killed runners: they are sealed as interrupted, incomplete ones are removed.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from runbook_lib.errors import RecordError
from runbook_lib.files import append_whole, locked, sync_folder, write_whole
from runbook_lib.model.record import FailureRecord, Record, RecordVerdict
from runbook_lib.records import chain
from runbook_lib.records.sealing import check_chain, seal, write_seal
from runbook_lib.records.store import remote
from runbook_lib.records.store.archive import (
    HTML_FILE,
    LOG_FILE,
    NOTEBOOK_FILE,
    RECORD_FILE,
    RUNNING_FOLDER,
    SEAL_FILE,
    Archive,
    record_folder_name,
)
from runbook_lib.records.store.disk import archive_error, record_error, remove_temporaries, safe_name
from runbook_lib.records.store.keys import SigningKey, signing_key
from runbook_lib.records.store.reading import as_left, contents_of, parse_record, redacted, write_record
from runbook_lib.records.store.running import Marker, claim, is_begun_by, is_unsigned, take_over


def recover(archive: Archive, key: SigningKey) -> tuple[Path, ...]:
    """Seal every unfinished record of this key's killed runners; return their folders.

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
    """The markers of this key without a living runner, now locked by this process."""
    found = []
    # A new record locks its marker before it releases this lock.
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
    """Whether a record was started; else the remains of its runner are removed with the marker."""
    name = marker.path.name
    if (archive.root / name).is_dir():
        return True
    shutil.rmtree(archive.root / f".{name}", ignore_errors=True)
    marker.remove()
    return False


def _unsealed(archive: Archive, folders: list[Path], key: SigningKey) -> list[Path]:
    """The records without an entry in the chain. A chained record that only lacks its seal gets it."""
    with locked(archive.lock_file), remote.chain_held(archive):
        lines, _ = chain.read_chain(archive.chain_file.read_bytes()) if archive.chain_file.exists() else ((), False)
    entries = {line.entry.folder: line.entry for line in lines if line.entry and line.entry.kind == "record"}
    for folder in folders:
        entry = entries.get(folder.name)
        if entry and entry.key == key.public.id and not (folder / SEAL_FILE).exists():
            write_seal(folder, entry, key.public)
    return [folder for folder in folders if folder.name not in entries]


def _finish(folder: Path) -> bool:
    """Change the record from running to interrupted; ``False`` if it cannot be read."""
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


_UNSPOILT = frozenset({RecordVerdict.PASS, RecordVerdict.PLANNED})


class RecordWriter:
    """One record that is being written. Its methods may be called from several threads.

    Every method raises ``RecordError`` if the archive cannot be written; the record can still be finished then, and
    lists what it lacks.
    """

    def __init__(
        self, archive: Archive, folder: Path, record: Record, redact: Callable[[str], str], marker: Marker
    ) -> None:
        self.folder = folder
        self.id = record.id
        self._archive = archive
        self._redact = redact
        self._marker = marker
        self._writing = threading.RLock()
        self._names: set[str] = set()
        self._missing: dict[str, str] = {}

    @classmethod
    def create(cls, archive: Archive, record: Record, notebook: str, redact: Callable[[str], str]) -> RecordWriter:
        """Start a record: its complete folder exists at once, and is ``running`` while this process lives.

        Records of killed runners are sealed first. ``notebook`` is the text of the notebook before it runs.

        Raises:
            InputError: the archive is not a folder that can be written.
            KeyFileError: the signing key cannot be used.
            RecordError: the disk is full, or a remote archive cannot be reached.
        """
        key = signing_key()
        try:
            (archive.root / RUNNING_FOLDER).mkdir(parents=True, exist_ok=True)
            remote.prepare(archive)
            recover(archive, key)
            record = redacted(record, redact)
            name = record_folder_name(record.started, record.cluster, record.notebook.removesuffix(".ipynb"), record.id)
            folder = archive.root / name
            with locked(archive.lock_file):
                check_chain(archive)
                marker = claim(folder, key)
            _begin(folder, record, redact(notebook), marker)
        except OSError as error:
            raise archive_error(error, archive.root) from error
        return cls(archive, folder, record, redact, marker)

    def save_notebook(self, text: str) -> None:
        """Replace ``notebook.ipynb``."""
        self._write(NOTEBOOK_FILE, text)

    def log(self, line: str) -> None:
        """Append a line, given without its newline, to ``log.jsonl``."""
        self._append(LOG_FILE, line + "\n")

    def table(self, name: str, csv: str) -> str:
        """Store a table; return its path in the record's folder. A repeated name gets a number."""
        with self._writing:
            stem, number = f"tables/{safe_name(self._redact(name))}", 1
            path = f"{stem}.csv"
            while path in self._names:
                number += 1
                path = f"{stem}_{number}.csv"
            self._names.add(path)
            self._write(path, csv)
        return path

    def overflow(self, cell: str, text: str) -> str:
        """Append output above the notebook's limit; return the file's path in the record's folder."""
        path = f"outputs/{safe_name(self._redact(cell))}.log"
        self._append(path, text)
        return path

    def finish(self, record: Record, html: str | None) -> Record:
        """Write the page and ``record.json``, seal the record and release it; return it as written.

        If something could not be written, now or before, the record is sealed without it and says so: a ``pass``
        becomes ``error``; then the error is raised.

        Raises:
            RecordError: the record is incomplete, or not sealed (then the next writer seals it).
        """
        with self._writing:
            try:
                if html is not None:
                    self._keep(HTML_FILE, html)
                self._marker.release_reserve()
                record = self._completed(record)
                write_record(self.folder, record)
                seal(self._archive, [self.folder], signing_key())
                self._marker.remove()
            except OSError as error:
                raise record_error(error, self.folder) from error
            finally:
                self._marker.let_go()
        if self._missing:
            raise self._incomplete()
        return record

    def abandon(self) -> None:
        """Release the record unfinished: it becomes ``interrupted``, and the next writer seals it."""
        self._marker.let_go()

    def _completed(self, record: Record) -> Record:
        record = redacted(record, self._redact).model_copy(update={"id": self.id, "files": contents_of(self.folder)})
        if not self._missing:
            return record
        error = self._incomplete()
        update: dict[str, object] = {
            "failure": record.failure or FailureRecord(name="RecordError", message=error.message)
        }
        if record.verdict in _UNSPOILT:
            update |= {"verdict": RecordVerdict.ERROR, "exit_code": int(error.exit_code)}
        return record.model_copy(update=update)

    def _incomplete(self) -> RecordError:
        reasons = "; ".join(dict.fromkeys(self._missing.values()))
        return RecordError(
            f"the record is not whole, {reasons}: {', '.join(sorted(self._missing))}",
            place=str(self.folder),
            remedy="free space there, or name another archive (--records LOCATION), and run again",
        )

    def _keep(self, path: str, text: str) -> None:
        try:
            self._write(path, text)
        except RecordError:
            # It is raised after the record is sealed without the missing part.
            return

    def _write(self, path: str, text: str) -> None:
        self._do(path, text, write_whole)

    def _append(self, path: str, text: str) -> None:
        self._do(path, text, append_whole)

    def _do(self, path: str, text: str, action: Callable[[Path, bytes], None]) -> None:
        data = self._redact(text).encode("utf-8", "backslashreplace")
        target = self.folder / path
        with self._writing:
            try:
                target.parent.mkdir(exist_ok=True)
                action(target, data)
            except OSError as error:
                failed = record_error(error, target)
                self._missing[path] = failed.message
                raise failed from error
            if action is write_whole:
                self._missing.pop(path, None)


def new_record_id() -> str:
    """A new record's id: ten random hexadecimal characters."""
    return secrets.token_hex(5)


def _begin(folder: Path, record: Record, notebook: str, marker: Marker) -> None:
    """Create the folder under a hidden name, then rename it. Raises ``OSError`` and then leaves nothing."""
    hidden = folder.with_name(f".{folder.name}")
    try:
        marker.reserve()
        hidden.mkdir()
        write_whole(hidden / NOTEBOOK_FILE, notebook.encode("utf-8", "backslashreplace"), durable=True)
        write_record(hidden, record)
        hidden.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        marker.remove()
        raise
