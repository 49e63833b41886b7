"""A record as one file for somebody who does not have the archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from runbook_lib.errors import InputError, RecordError
from runbook_lib.records.archive import HTML_FILE, NOTEBOOK_FILE, Archive
from runbook_lib.records.disk import files_in, write_whole
from runbook_lib.records.reading import read_record

# The clock of a file in an archive says nothing here, and without it the same record gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def export(archive: Archive, folder: Path, form: str, output: Path | None = None) -> Path:
    """Write a record as ``html``, ``junit`` or ``zip``, and return the file: ``output``, else one in this folder.

    ``html`` is the record's own page, rendered anew where it has none. ``junit`` has a case for every step and check.
    ``zip`` has all files of the record as they are, and beside it the public keys of its archive.

    Raises:
        InputError: there is no such form, or the file cannot be written.
        RecordError: the record, or what of it is wanted, cannot be read.
    """
    if form not in FORMS:
        raise InputError(f"a record cannot be exported to {form!r}", place="--to", remedy=f"one of: {', '.join(FORMS)}")
    suffix, make = FORMS[form]
    target = output or Path(f"{folder.name}.{suffix}")
    data = make(archive, folder)
    try:
        write_whole(target, data)
    except OSError as error:
        raise InputError(
            f"it cannot be written ({error.strerror})", place=str(target), remedy="name another file: --output FILE"
        ) from error
    return target


def _html(_archive: Archive, folder: Path) -> bytes:
    page = folder / HTML_FILE
    if page.is_file():
        return _bytes(page)
    from runbook_lib.records.html import render

    return render(_bytes(folder / NOTEBOOK_FILE).decode("utf-8"), read_record(folder)).encode()


def _junit(_archive: Archive, folder: Path) -> bytes:
    from runbook_lib.records.junit import junit

    return junit([read_record(folder)]).encode()


def _zip(archive: Archive, folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(files_in(folder)):
            _add(bundle, f"{folder.name}/{name}", _bytes(folder / name))
        for key in sorted(archive.keys_folder.glob("*.pem")):
            _add(bundle, f"{archive.keys_folder.name}/{key.name}", _bytes(key))
    return buffer.getvalue()


def _add(bundle: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    bundle.writestr(entry, data)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"it cannot be read ({error.strerror})", place=str(path), remedy="see: ./runbook records verify"
        ) from error


#: What a record can be exported to: the file's suffix, and what makes its contents.
FORMS: dict[str, tuple[str, Callable[[Archive, Path], bytes]]] = {
    "html": ("html", _html),
    "junit": ("xml", _junit),
    "zip": ("zip", _zip),
}
