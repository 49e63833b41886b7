"""What a record's folder holds: ``record.json``, and the other files that it vouches for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from runbook_lib.model.record import FileRecord, Record
from runbook_lib.records.archive import RECORD_FILE, SEAL_FILE
from runbook_lib.records.disk import files_in, sha256_of, write_whole

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
