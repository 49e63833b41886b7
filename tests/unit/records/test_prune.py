from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, RecordError
from runbook_lib.records.prune import not_kept, prune
from runbook_lib.records.store.archive import Archive
from runbook_lib.records.verify import examine, verify
from tests.unit.records.writing import begin, three, write

NOON = datetime(2026, 5, 1, 12, 2, tzinfo=UTC)


def test_a_number_keeps_the_newest_and_an_age_keeps_the_younger(archive: Archive) -> None:
    first, second, third = three(archive)
    assert not_kept(archive, "1") == (first, second)
    assert not_kept(archive, "0") == (first, second, third)
    assert not_kept(archive, "10") == ()
    yesterday = write(archive, started="2026-04-30T12:03:00.000Z")
    assert not_kept(archive, "1d", now=NOON) == ()
    assert not_kept(archive, "12h", now=NOON) == (yesterday,)
    assert not_kept(archive, "0h", now=NOON) == (yesterday, first, second)


@pytest.mark.parametrize("keep", ["", "-1", "many", "3 days", "1y"])
def test_what_is_neither_number_nor_age_is_bad_input(archive: Archive, keep: str) -> None:
    with pytest.raises(InputError, match="neither a number of records nor an age"):
        not_kept(archive, keep)


def test_a_pruned_archive_stays_verifiable_and_says_what_was_removed(archive: Archive) -> None:
    folders = three(archive)
    entries = prune(archive, not_kept(archive, "1"))
    assert [(entry.sequence, entry.kind, entry.folder) for entry in entries] == [
        (4, "prune", folders[0].name),
        (5, "prune", folders[1].name),
    ]
    assert archive.folders() == (folders[2],)
    write(archive)
    found = examine(archive)
    assert (found.findings, found.records, found.pruned, found.entries) == ((), 2, 2, 6)


def test_a_removal_without_an_entry_is_found_still(archive: Archive) -> None:
    folders = three(archive)
    prune(archive, folders[:1])
    shutil.rmtree(folders[1])
    assert [finding.place for finding in verify(archive)] == [folders[1].name]


def test_a_prune_that_did_not_come_to_its_end_is_a_leftover_that_the_next_one_removes(
    archive: Archive, tmp_path: Path
) -> None:
    folders = three(archive)
    shutil.copytree(folders[0], tmp_path / "copy")
    prune(archive, folders[:1])
    (tmp_path / "copy" / "log.jsonl").unlink()
    shutil.copytree(tmp_path / "copy", folders[0])
    assert [(finding.place, finding.leftover) for finding in verify(archive)] == [(folders[0].name, True)]
    assert prune(archive, ()) == ()
    assert not folders[0].exists()
    assert verify(archive) == ()


def test_a_record_that_is_being_written_is_not_pruned(archive: Archive) -> None:
    write(archive)
    writer = begin(archive)
    assert writer.folder not in not_kept(archive, "0")
    with pytest.raises(RecordError, match="the record is being written"):
        prune(archive, [writer.folder])
    writer.abandon()


def test_a_record_that_cannot_be_read_can_be_pruned(archive: Archive) -> None:
    folder = write(archive)
    (folder / "record.json").unlink()
    prune(archive, [folder])
    assert verify(archive) == ()
