"""An SQLite index of the records, so that a list of ten thousand records does not read ten thousand files.

The index is a cache: it is updated whenever it is opened, by comparing the file status of each ``record.json`` with the
stored one, and rebuilt if it is missing, damaged or of another version. If it cannot be written, it is built in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from runbook_lib.errors import InputError
from runbook_lib.model.results import with_warnings
from runbook_lib.records.store.archive import RECORD_FILE, Archive, id_of, is_record_name

INDEX_FILE = "index.sqlite"
#: Increased whenever a table changes; an index of another version is rebuilt.
INDEX_VERSION = 2

#: The listed verdict of a record that cannot be read.
UNREADABLE = "unreadable"
#: The verdict in ``record.json`` while its runner lives, and its meaning after the runner has died.
RUNNING, INTERRUPTED = "running", "interrupted"

_NEWEST_FORMAT = 1
_WAIT_FOR_ANOTHER_WRITER = 2.0
_LARGEST_WHOLE_BITS = 63
_TABLES = """
CREATE TABLE record (
    folder TEXT PRIMARY KEY, changed_ns INTEGER, size INTEGER, inode INTEGER, id TEXT, run TEXT, notebook TEXT,
    cluster TEXT, verdict TEXT, started TEXT, seconds REAL, changed INTEGER, plan INTEGER, fault TEXT, warnings INTEGER
) WITHOUT ROWID;
CREATE TABLE metric (folder TEXT, name TEXT, unit TEXT, value REAL);
CREATE INDEX metric_of_record ON metric (folder);
"""


class Row(NamedTuple):
    """One record in a list. ``started`` is UTC in ISO 8601, ``seconds`` the duration, ``folder`` its name.

    A record that cannot be read has the verdict ``unreadable`` and the reason in ``fault``; only the id and the time in
    its folder's name are then known.
    """

    folder: str
    id: str
    run: str
    notebook: str
    cluster: str
    verdict: str
    started: str
    seconds: float | None
    changed: int
    plan: bool
    fault: str
    warnings: int = 0

    @property
    def verdict_text(self) -> str:
        """The verdict as it is shown, with the warnings: ``pass, 3 warnings``."""
        return with_warnings(self.verdict, self.warnings)


class Reading(NamedTuple):
    """A metric of a record: its name, unit and value."""

    folder: str
    name: str
    unit: str
    value: float


# A file's status: its change time (ctime), which cannot be set, its size and its inode. It differs after any change.
_Stamp = tuple[int, int, int]
_STAMP_COLUMNS = ("changed_ns", "size", "inode")
_ABSENT: _Stamp = (0, 0, 0)


class _OtherVersion(sqlite3.DatabaseError):
    """The index has another version."""


def open_index(archive: Archive) -> closing[sqlite3.Connection]:
    """The updated index of an archive; closed at the end of a ``with``.

    Raises:
        InputError: the archive is not a folder that can be read.
    """
    return closing(_open(archive.root, _stamps(archive.root)))


def rows(connection: sqlite3.Connection) -> list[Row]:
    """Every record, newest first."""
    fields = ", ".join(Row._fields)
    # Rows come in key order, which is almost the wanted one: this is much faster than sorting in SQLite.
    found = map(Row._make, connection.execute(f"SELECT {fields} FROM record ORDER BY folder DESC"))
    return sorted(found, key=attrgetter("started"), reverse=True)


def readings(connection: sqlite3.Connection, name: str) -> Iterator[Reading]:
    """Every metric of that name; a record may have several."""
    query = "SELECT folder, name, unit, value FROM metric WHERE name = ? ORDER BY rowid"
    return map(Reading._make, connection.execute(query, (name,)))


def reading_names(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """The folder of each record with the name of each of its metrics."""
    yield from connection.execute("SELECT DISTINCT folder, name FROM metric")


def _open(root: Path, found: dict[str, _Stamp]) -> sqlite3.Connection:
    path = root / INDEX_FILE
    for _ in ("as it is", "made anew"):
        try:
            return _refreshed(_connect(str(path)), root, found)
        except sqlite3.OperationalError:
            break  # it cannot be written, or another process locks it: build it in memory
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                path.unlink()
    return _refreshed(_connect(":memory:"), root, found)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_FOR_ANOTHER_WRITER, isolation_level=None)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != INDEX_VERSION:
            if version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise _OtherVersion(f"version {version}")
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {INDEX_VERSION}; COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _refreshed(connection: sqlite3.Connection, root: Path, found: dict[str, _Stamp]) -> sqlite3.Connection:
    try:
        query = connection.execute("SELECT folder, changed_ns, size, inode FROM record")
        known: dict[str, _Stamp] = {row[0]: row[1:] for row in query}
        if known != found:
            _update(connection, root, known, found)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _update(connection: sqlite3.Connection, root: Path, known: dict[str, _Stamp], found: dict[str, _Stamp]) -> None:
    new = {folder: stamp for folder, stamp in found.items() if known.get(folder) != stamp}
    outdated = [(folder,) for folder in {*new, *(known.keys() - found.keys())}]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("DELETE FROM record WHERE folder = ?", outdated)
    connection.executemany("DELETE FROM metric WHERE folder = ?", outdated)
    fields = (*_STAMP_COLUMNS, *Row._fields)
    insert = f"INSERT INTO record ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"
    for folder, stamp in new.items():
        row, numbers = _read(root / folder)
        connection.execute(insert, (*stamp, *row))
        connection.executemany("INSERT INTO metric VALUES (?, ?, ?, ?)", numbers)
    connection.execute("COMMIT")


def _stamps(root: Path) -> dict[str, _Stamp]:
    """The file status of every record's ``record.json``, by the record's folder."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if is_record_name(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(
            f"the archive cannot be read ({error.strerror})",
            place=str(root),
            remedy="name the folder that has the records: --records LOCATION",
        ) from error
    return {name: _stamp(f"{root}/{name}/{RECORD_FILE}") for name in names}


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116 - ten thousand Path objects would double the time
    except OSError:
        return _ABSENT
    return status.st_ctime_ns, status.st_size, status.st_ino


def _read(folder: Path) -> tuple[Row, Iterable[Reading]]:
    """The row and the metrics of one record from its ``record.json``, without full validation."""
    try:
        record = json.loads((folder / RECORD_FILE).read_bytes())
        if record["format"] > _NEWEST_FORMAT:
            return _unreadable(folder, f"its format is {record['format']}, newer than this program"), ()
        row = Row(
            folder=folder.name,
            id=id_of(folder),
            run=_text(record["run"]),
            notebook=_text(record["notebook"]),
            cluster=_text(record["cluster"]),
            verdict=_text(record["verdict"]),
            started=_text(record["started"]),
            seconds=None if record["seconds"] is None else float(record["seconds"]),
            changed=_whole(record["changed"]),
            plan=bool(record["plan"]),
            fault="",
            warnings=sum(check["verdict"] == "warn" for check in record["checks"]),
        )
        return row, [_reading(folder, metric) for metric in record["metrics"]]
    except OSError as error:
        return _unreadable(folder, f"{RECORD_FILE}: {error.strerror}"), ()
    except (ValueError, OverflowError, RecursionError) as error:
        return _unreadable(folder, f"{RECORD_FILE} is cut short or damaged ({error})"), ()
    except (KeyError, TypeError, AttributeError):
        return _unreadable(folder, f"{RECORD_FILE} is not one of this project's"), ()


def _reading(folder: Path, metric: Any) -> Reading:
    return Reading(folder.name, _text(metric["name"]), _text(metric["unit"]), float(metric["value"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair is valid JSON, but cannot be stored or shown
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    if value.bit_length() > _LARGEST_WHOLE_BITS:
        raise OverflowError("a number is too large")
    return value


def _unreadable(folder: Path, fault: str) -> Row:
    name = folder.name
    started = f"{name[:4]}-{name[4:6]}-{name[6:11]}:{name[11:13]}:{name[13:15]}.000Z"
    return Row(folder.name, id_of(folder), "", "", "", UNREADABLE, started, None, 0, False, fault)
