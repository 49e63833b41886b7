from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.record import RECORD_FORMAT, Record, RecordVerdict
from runbook_lib.records.query import index
from runbook_lib.records.query.index import INDEX_FILE, INDEX_VERSION, UNREADABLE, Row, open_index, rows
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive
from tests.unit.records.samples import metric, put, sample


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "records")


def listed(archive: Archive) -> list[Row]:
    with open_index(archive) as connection:
        return rows(connection)


def verdicts(archive: Archive) -> list[str]:
    return [row.verdict for row in listed(archive)]


def version_on_disk(archive: Archive) -> int:
    connection = sqlite3.connect(archive.root / INDEX_FILE)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_records_are_listed_newest_first_with_what_they_say(archive: Archive) -> None:
    put(archive.root, started="2026-05-01T12:00:00.000Z", id="aaaaaaaaaa")
    folder = put(archive.root, started="2026-05-02T12:00:00.000Z", id="bbbbbbbbbb", changed=3, verdict="failed")
    newest, oldest = listed(archive)
    assert oldest.id == "aaaaaaaaaa"
    assert newest._replace(run="") == Row(
        folder.name, "bbbbbbbbbb", "", "05_ping_tests", "lab", "failed", "2026-05-02T12:00:00.000Z", 12.5, 3, False, ""
    )


def test_an_archive_that_does_not_exist_yet_is_empty_and_stays_absent(archive: Archive) -> None:
    assert listed(archive) == []
    assert not archive.root.exists()


def test_a_file_instead_of_an_archive_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        listed(open_archive(place))


def test_a_record_that_is_added_changed_or_removed_is_noticed(archive: Archive) -> None:
    first = put(archive.root)
    assert verdicts(archive) == ["pass"]
    second = put(archive.root, started="2026-06-01T12:00:00.000Z", verdict="error")
    assert verdicts(archive) == ["error", "pass"]
    (first / "record.json").write_text(json.dumps(sample(verdict="timeout")))
    assert verdicts(archive) == ["error", "timeout"]
    (second / "record.json").unlink()
    second.rmdir()
    assert verdicts(archive) == ["timeout"]


def test_a_change_is_noticed_even_when_size_and_modification_time_are_put_back(archive: Archive) -> None:
    path = put(archive.root, verdict="pass") / "record.json"
    before = path.stat()
    assert verdicts(archive) == ["pass"]
    path.write_text(path.read_text().replace('"verdict": "pass", "exit', '"verdict": "fail", "exit'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert verdicts(archive) == ["fail"]


def test_the_second_look_reads_no_record(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    put(archive.root)
    assert len(listed(archive)) == 1
    monkeypatch.setattr(index, "_read", lambda folder: pytest.fail(f"{folder} was read again"))
    assert len(listed(archive)) == 1


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 400)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def damaged_in_the_middle(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(len(data) - 4096))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def missing(path: Path) -> None:
    path.unlink()


def older(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE record (id TEXT); INSERT INTO record VALUES ('old'); PRAGMA user_version = 0"
    )
    connection.close()


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"ALTER TABLE record RENAME TO entry; PRAGMA user_version = {INDEX_VERSION + 1}")
    connection.close()


@pytest.mark.parametrize("spoil", [garbage, cut_short, damaged_in_the_middle, empty, missing, older, newer])
def test_an_index_that_cannot_be_used_is_made_anew(archive: Archive, spoil: Callable[[Path], None]) -> None:
    for number in range(3):
        put(archive.root, started=f"2026-05-0{number + 1}T12:00:00.000Z")
    before = listed(archive)
    spoil(archive.root / INDEX_FILE)
    assert listed(archive) == before
    assert version_on_disk(archive) == INDEX_VERSION
    assert listed(archive) == before


def test_an_index_that_somebody_writes_or_that_cannot_be_written_keeps_nobody_from_the_list(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_WAIT_FOR_ANOTHER_WRITER", 0.05)
    put(archive.root)
    listed(archive)
    put(archive.root, verdict="error")
    other = sqlite3.connect(archive.root / INDEX_FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert sorted(verdicts(archive)) == ["error", "pass"]
    other.close()
    (archive.root / INDEX_FILE).unlink()
    (archive.root / INDEX_FILE).mkdir()
    assert sorted(verdicts(archive)) == ["error", "pass"]


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (b'{"format": 1, "id": "aa', "cut short"),
        (b"", "cut short"),
        (b"[]", "not one of this project's"),
        (b'{"format": 1}', "not one of this project's"),
        (json.dumps(sample(started=None)).encode(), "not one of this project's"),
        (json.dumps(sample(changed=10**30)).encode(), "too large"),
        (json.dumps(sample(cluster="\ud800")).encode(), "damaged"),
        (json.dumps(sample(format=2)).encode(), "newer than this program"),
        (b"[" * 100_000, "cut short"),
        (b"\xff\xfe\x00", "damaged"),
        (None, "No such file"),
    ],
)
def test_a_broken_record_is_listed_as_unreadable_and_hides_no_other(
    archive: Archive, contents: bytes | None, fault: str
) -> None:
    put(archive.root, started="2026-05-01T12:00:00.000Z")
    broken = put(archive.root, started="2026-05-02T12:34:56.000Z", id="00000bad00") / "record.json"
    if contents is None:
        broken.unlink()
    else:
        broken.write_bytes(contents)
    unreadable, other = listed(archive)
    assert other.verdict == "pass"
    assert (unreadable.id, unreadable.verdict) == ("00000bad00", UNREADABLE)
    assert unreadable.started == "2026-05-02T12:34:56.000Z"
    assert fault in unreadable.fault


def test_a_mended_record_is_readable_again(archive: Archive) -> None:
    path = put(archive.root) / "record.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert verdicts(archive) == [UNREADABLE]
    path.write_bytes(whole)
    assert verdicts(archive) == ["pass"]


def test_what_is_no_record_is_left_alone(archive: Archive) -> None:
    put(archive.root)
    for name in (".tmp-20260501T120000Z_lab_x_aaaaaaaaaa", "keys", ".running"):
        (archive.root / name).mkdir()
    (archive.root / "chain.jsonl").write_text("")
    assert len(listed(archive)) == 1


def test_numbers_are_kept_with_their_units(archive: Archive) -> None:
    folder = put(archive.root, metrics=[metric("ping latency", 0.25, "ms"), metric("ping latency", 0.75, "ms")])
    with open_index(archive) as connection:
        assert [tuple(reading) for reading in index.readings(connection, "ping latency")] == [
            (folder.name, "ping latency", "ms", 0.25),
            (folder.name, "ping latency", "ms", 0.75),
        ]
        assert list(index.reading_names(connection)) == [(folder.name, "ping latency")]


def test_the_index_means_the_same_as_the_model() -> None:
    assert RECORD_FORMAT == index._NEWEST_FORMAT
    assert (RecordVerdict.RUNNING, RecordVerdict.INTERRUPTED) == (index.RUNNING, index.INTERRUPTED)
    Record.model_validate(sample())
