"""Synchronises the mirror of a remote archive; for a local archive all of this does nothing."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.errors import RecordError
from runbook_lib.files import locked
from runbook_lib.records.store.archive import CHAIN_FILE, KEYS_FOLDER, RECORD_FILE, SEAL_FILE, Archive
from runbook_lib.records.store.disk import record_error
from runbook_lib.records.store.running import marker_of

if TYPE_CHECKING:
    from runbook_lib.records.store.place import Place

Publish = Callable[[Sequence[Path]], None]


@contextlib.contextmanager
def chain_held(archive: Archive) -> Iterator[Publish]:
    """Lock an archive's chain; at a URL, fetch it first.

    Yields the function that publishes the records and the chain there. The caller also holds the archive's local lock.

    Raises:
        RecordError: the URL cannot be reached or written.
    """
    if not archive.is_remote:
        yield lambda _folders: None
        return
    with _place(archive) as place, place.held():
        place.pull_chain(archive.root)

        def publish(sealed: Sequence[Path]) -> None:
            for folder in sealed:
                place.upload(folder, last=True)
            place.push_chain(archive.root)

        yield publish


def prepare(archive: Archive) -> None:
    """Check that records can be written to a URL. Raises ``InputError``, ``RecordError``."""
    if archive.is_remote:
        with _place(archive) as place:
            place.prepare()


def upload(archive: Archive, folders: Sequence[Path]) -> None:
    """Upload records without the files that publish them. Raises ``RecordError``."""
    if archive.is_remote:
        with _place(archive) as place:
            for folder in folders:
                place.upload(folder, last=False)


def remove_there(archive: Archive, names: Sequence[str]) -> None:
    """Remove records at a URL. Raises ``RecordError``."""
    if archive.is_remote:
        with _place(archive) as place:
            for name in names:
                place.remove(name)


def refresh(archive: Archive) -> None:
    """Update the mirror of a remote archive to its current records.

    Raises:
        InputError: no installed package can open the URL.
        RecordError: the URL cannot be reached, or the mirror cannot be written.
    """
    if not archive.is_remote:
        return
    try:
        archive.root.mkdir(parents=True, exist_ok=True)
        with _place(archive) as place, locked(archive.lock_file):
            there = set(place.record_names())
            for folder in archive.folders():
                if folder.name not in there and not marker_of(folder).exists():
                    shutil.rmtree(folder)
            for name in sorted(there - {folder.name for folder in archive.folders()}):
                _mirror(archive, place, name)
    except OSError as error:
        raise record_error(error, archive.root) from error


def complete(archive: Archive, folder: Path) -> None:
    """Fetch all files of one record, of which the mirror has only ``record.json``. Raises ``RecordError``."""
    if not archive.is_remote or marker_of(folder).exists() or (folder / SEAL_FILE).exists():
        return
    try:
        with _place(archive) as place, tempfile.TemporaryDirectory(dir=archive.root, prefix=".fetched-") as temporary:
            fetched = Path(temporary) / folder.name
            place.fetch_folder(folder.name, fetched)
            with locked(archive.lock_file):
                shutil.rmtree(folder)
                fetched.rename(folder)
    except OSError as error:
        raise record_error(error, archive.root) from error


@contextlib.contextmanager
def fetched(archive: Archive) -> Iterator[Archive]:
    """The archive itself; for a URL a complete new copy, because the mirror proves nothing."""
    if not archive.is_remote:
        yield archive
        return
    with tempfile.TemporaryDirectory(prefix="overlay-runbook-verify-") as temporary:
        copy = replace(archive, root=Path(temporary))
        try:
            with _place(archive) as place:
                place.fetch(CHAIN_FILE, copy.chain_file, missing_ok=True)
                place.fetch_folder(KEYS_FOLDER, copy.keys_folder)
                for name in place.record_names():
                    place.fetch_folder(name, copy.root / name)
        except OSError as error:
            raise record_error(error, copy.root) from error
        yield copy


def _mirror(archive: Archive, place: Place, name: str) -> None:
    """Fetch a record's ``record.json``; a folder without one is a record that is being uploaded."""
    with tempfile.TemporaryDirectory(dir=archive.root, prefix=".fetched-") as temporary:
        fetched_folder = Path(temporary) / name
        fetched_folder.mkdir()
        if place.fetch(f"{name}/{RECORD_FILE}", fetched_folder / RECORD_FILE, missing_ok=True):
            fetched_folder.rename(archive.root / name)


def _place(archive: Archive) -> contextlib.AbstractContextManager[Place]:
    # fsspec and its dependencies take a tenth of a second, which a local archive does not need.
    from runbook_lib.records.store.place import open_place

    return open_place(archive.location)


def where_it_is(error: RecordError, folders: Sequence[Path]) -> RecordError:
    """The error of a failed upload, with the local copies of the records."""
    copies = "".join(f"\n  - {folder}" for folder in folders)
    return RecordError(
        f"{error.message}; what is finished is kept here, and uploaded by the next run:{copies}",
        place=error.place,
        remedy=error.remedy,
    )
