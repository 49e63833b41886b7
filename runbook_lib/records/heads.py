"""The last entry of every archive that this machine wrote to, so that it notices when a chain's end is cut off.

The notes lie beside the signing key, outside every archive.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runbook_lib.errors import RecordError
from runbook_lib.model.locations import signing_key_file
from runbook_lib.records.archive import is_url
from runbook_lib.records.disk import write_whole


class Head(BaseModel):
    """The last entry known: its number, its hash, and where its line is in the chain, in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    location: str
    sequence: int
    hash: str
    start: int
    end: int


def head_file(location: str) -> Path:
    """Where the head of the archive at a location is noted."""
    name = location if is_url(location) else str(Path(location).resolve())
    return signing_key_file().parent / "heads" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def read_head(location: str) -> Head | None:
    """The head noted for an archive; ``None`` when this machine never wrote to it.

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
            remedy="restore it, or remove it if you accept that a cut off end of the chain is not found",
        ) from error


def write_head(head: Head) -> None:
    """Note an archive's head. Raises ``OSError``."""
    path = head_file(head.location)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, head.model_dump_json().encode() + b"\n", durable=True, mode=0o600)
