"""The files of an archive, local or at a URL, and the keys that sign them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from runbook_lib.model.locations import mirrors_root, records_location
from runbook_lib.records.store.archive import Archive, is_url


def open_archive(location: str | Path, *, refresh: bool = True) -> Archive:
    """The archive at a path or an fsspec URL. A path need not exist yet.

    ``refresh`` first fetches new data from a URL: every ``record.json``, the chain, and the keys.

    Raises:
        InputError: a URL that no installed package can open.
        RecordError: the data at the URL cannot be fetched.
    """
    text = str(location)
    if text.startswith("file://"):
        text = urlsplit(text).path
    if not is_url(text):
        path = Path(text).expanduser().absolute()
        return Archive(path, str(path))
    # Only a remote archive needs them, and fsspec takes long to import.
    from runbook_lib.records.store import place, remote

    place.check_url(text)
    archive = Archive(mirrors_root() / hashlib.sha256(text.encode()).hexdigest()[:16], text)
    if refresh:
        remote.refresh(archive)
    return archive


def default_location() -> str:
    """The default location of records."""
    return records_location()
