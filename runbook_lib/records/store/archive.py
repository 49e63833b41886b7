"""An archive: a folder with one subfolder a record, the chain that holds them together, and the public keys.

What a record's folder holds: ``record.json``, and the other files that it vouches for.
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
