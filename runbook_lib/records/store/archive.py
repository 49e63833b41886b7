"""An archive: a folder with one subfolder a record, the chain that holds them together, and the public keys.

What a record's folder holds: ``record.json``, and the other files that it vouches for.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import InputError
from runbook_lib.model.locations import mirrors_root, records_location
from runbook_lib.model.record import FileRecord, Record
from runbook_lib.records.store.disk import files_in, safe_name, sha256_of, write_whole

RECORD_FILE = "record.json"
SEAL_FILE = "seal.json"
NOTEBOOK_FILE = "notebook.ipynb"
HTML_FILE = "notebook.html"
LOG_FILE = "log.jsonl"
CHAIN_FILE = "chain.jsonl"
KEYS_FOLDER = "keys"
# Holds a marker for every record that is being written, and the lock of the archive.
RUNNING_FOLDER = ".running"
LOCK_FILE = ".lock"

_FOLDER = re.compile(r"(?P<time>\d{8}T\d{6}Z)_(?P<what>.+)_(?P<id>[0-9a-f]{10})")


@dataclass(frozen=True)
class Archive:
    """``root`` is the folder to read and write; ``location`` what the user named: the same, or the URL it mirrors."""

    root: Path
    location: str

    @property
    def is_remote(self) -> bool:
        """Whether ``root`` only mirrors what is at ``location``."""
        return is_url(self.location)

    @property
    def chain_file(self) -> Path:
        """The chain: one signed entry a line."""
        return self.root / CHAIN_FILE

    @property
    def keys_folder(self) -> Path:
        """The public halves of the keys that signed, ``<key id>.pem``."""
        return self.root / KEYS_FOLDER

    @property
    def lock_file(self) -> Path:
        """Held while the chain is written."""
        return self.root / LOCK_FILE

    def folders(self) -> tuple[Path, ...]:
        """The folders of all records, the oldest first; none when there is no archive yet.

        Raises:
            InputError: it is not a folder that can be read.
        """
        try:
            with os.scandir(self.root) as entries:
                names = sorted(entry.name for entry in entries if is_record_name(entry.name) and entry.is_dir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(
                f"the archive cannot be read ({error.strerror})",
                place=str(self.root),
                remedy="name the folder that has the records: --records LOCATION",
            ) from error
        return tuple(self.root / name for name in names)


def open_archive(location: str | Path, *, refresh: bool = True) -> Archive:
    """The archive at a path or an fsspec URL. A path need not exist yet.

    With ``refresh`` what is new at a URL is fetched first: every ``record.json``, the chain, and the keys.

    Raises:
        InputError: a URL that no installed package can open.
        RecordError: what is at the URL cannot be fetched.
    """
    text = str(location)
    if text.startswith("file://"):
        text = urlsplit(text).path
    if not is_url(text):
        path = Path(text).expanduser().absolute()
        return Archive(path, str(path))
    # Only an archive at a URL needs these, and they need this module.
    from runbook_lib.records.store import place, remote

    place.check_url(text)
    archive = Archive(mirrors_root() / hashlib.sha256(text.encode()).hexdigest()[:16], text)
    if refresh:
        remote.refresh(archive)
    return archive


def default_location() -> str:
    """Where records go when the user names nothing."""
    return records_location()


def is_url(location: str) -> bool:
    """Whether a location is not a path of this machine."""
    return "://" in location


def record_folder_name(started: str, cluster: str, notebook: str, record: str) -> str:
    """The folder of a record; ``started`` in ISO 8601, UTC."""
    time = datetime.fromisoformat(started).astimezone(UTC)
    return f"{time:%Y%m%dT%H%M%SZ}_{safe_name(cluster)}_{safe_name(notebook)}_{record}"


def is_record_name(name: str) -> bool:
    """Whether a folder is called like a record's."""
    return _FOLDER.fullmatch(name) is not None


def started_of(folder: Path) -> datetime:
    """When the record in a folder began, to the second, by the folder's name, which has to be a record's."""
    found = _FOLDER.fullmatch(folder.name)
    assert found is not None, folder
    return datetime.strptime(found["time"], "%Y%m%dT%H%M%S%z")


def id_of(folder: Path) -> str:
    """The id of the record in a folder, by the folder's name; the whole name where it is not called like a record's."""
    found = _FOLDER.fullmatch(folder.name)
    return found["id"] if found else folder.name


#: What ``record.json`` cannot have the hash of.
UNLISTED = frozenset({RECORD_FILE, SEAL_FILE})

# Not free text: an id, a discriminator, and what was hashed.
_NEVER_SECRET = frozenset({"id", "kind", "files"})


def contents_of(folder: Path) -> dict[str, FileRecord]:
    """Every file of a record's folder that ``record.json`` lists, by its path in it. Raises ``OSError``."""
    return {name: _file_record(folder / name) for name in sorted(files_in(folder)) if name not in UNLISTED}


def _file_record(path: Path) -> FileRecord:
    digest, size = sha256_of(path)
    return FileRecord(sha256=digest, size=size)


def record_bytes(record: Record) -> bytes:
    """The text of ``record.json``."""
    return record.model_dump_json(indent=1).encode() + b"\n"


def write_record(folder: Path, record: Record) -> None:
    """Put ``record.json`` into a folder. Raises ``OSError``."""
    write_whole(folder / RECORD_FILE, record_bytes(record), durable=True)


def redacted(record: Record, redact: Callable[[str], str]) -> Record:
    """The record without secrets in any text of it; states, ids and hashes are left as they are."""
    return Record.model_validate(_redacted(record.model_dump(), redact))


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            redact(str(key)): item if key in _NEVER_SECRET else _redacted(item, redact) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(item, redact) for item in value]
    return value
