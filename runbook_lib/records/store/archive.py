"""An archive: a folder with one subfolder per record, the chain, and the public keys.

A record's folder has ``record.json``, which lists the record's other files with their hashes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.records.store.disk import safe_name

RECORD_FILE = "record.json"
SEAL_FILE = "seal.json"
NOTEBOOK_FILE = "notebook.ipynb"
HTML_FILE = "notebook.html"
LOG_FILE = "log.jsonl"
CHAIN_FILE = "chain.jsonl"
KEYS_FOLDER = "keys"
# The folder of the markers of records that are being written, and of the archive's lock.
RUNNING_FOLDER = ".running"
LOCK_FILE = ".lock"

_FOLDER = re.compile(r"(?P<time>\d{8}T\d{6}Z)_(?P<what>.+)_(?P<id>[0-9a-f]{10})")


@dataclass(frozen=True)
class Archive:
    """``root`` is the folder to read and write; ``location`` is the same, or the URL that ``root`` mirrors."""

    root: Path
    location: str

    @property
    def is_remote(self) -> bool:
        """Whether ``root`` is only a mirror of ``location``."""
        return is_url(self.location)

    @property
    def chain_file(self) -> Path:
        """The chain: one signed entry per line."""
        return self.root / CHAIN_FILE

    @property
    def keys_folder(self) -> Path:
        """The public keys of the signers, ``<key id>.pem``."""
        return self.root / KEYS_FOLDER

    @property
    def lock_file(self) -> Path:
        """The lock for writing the chain."""
        return self.root / LOCK_FILE

    def folders(self) -> tuple[Path, ...]:
        """The folders of all records, the oldest first; empty if the archive does not exist yet.

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


def is_url(location: str) -> bool:
    """Whether a location is a URL, not a local path."""
    return "://" in location


def record_folder_name(started: str, cluster: str, notebook: str, record: str) -> str:
    """The folder of a record; ``started`` in ISO 8601, UTC."""
    time = datetime.fromisoformat(started).astimezone(UTC)
    return f"{time:%Y%m%dT%H%M%SZ}_{safe_name(cluster)}_{safe_name(notebook)}_{record}"


def is_record_name(name: str) -> bool:
    """Whether a folder's name is that of a record."""
    return _FOLDER.fullmatch(name) is not None


def started_of(folder: Path) -> datetime:
    """When the record in a folder was started, to the second, by the folder's name, which must be a record's."""
    found = _FOLDER.fullmatch(folder.name)
    assert found is not None, folder
    return datetime.strptime(found["time"], "%Y%m%dT%H%M%S%z")


def id_of(folder: Path) -> str:
    """The id of the record in a folder, by the folder's name; the whole name if that is not a record's."""
    found = _FOLDER.fullmatch(folder.name)
    return found["id"] if found else folder.name
