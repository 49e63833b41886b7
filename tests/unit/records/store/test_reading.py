from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, RecordError
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive, id_of, is_record_name
from runbook_lib.records.store.reading import broken_records, find_record, read_all, read_record
from tests.unit.records.writing import three, write


def test_a_record_is_found_by_its_id_its_beginning_its_folders_name_and_its_path(archive: Archive) -> None:
    folder = write(archive, id="0123456789")
    write(archive, id="9876543210")
    for wanted in ("0123456789", "0", "0123", folder.name, str(folder), str(folder / "record.json")):
        assert find_record(archive, wanted) == folder


@pytest.mark.parametrize("wanted", ["ffff", "", "20260501T120000Z", "no/such/folder"])
def test_an_unknown_id_is_bad_input(archive: Archive, wanted: str) -> None:
    write(archive, id="0123456789")
    with pytest.raises(InputError, match="no record has the id") as caught:
        find_record(archive, wanted)
    assert caught.value.exit_code == 2


def test_an_ambiguous_beginning_is_bad_input_that_lists_the_candidates(archive: Archive) -> None:
    for number in range(12):
        write(archive, id=f"ab{number:08x}")
    with pytest.raises(InputError, match="12 records have an id that begins with 'ab'") as caught:
        find_record(archive, "ab")
    assert "ab00000000" in caught.value.message
    assert "and 2 more" in caught.value.message


def test_no_archive_has_no_records_and_a_file_is_none(tmp_path: Path) -> None:
    assert open_archive(tmp_path / "none").folders() == ()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the archive cannot be read"):
        open_archive(tmp_path / "file").folders()


def test_records_that_cannot_be_read_are_told_apart_and_hide_no_other(archive: Archive) -> None:
    missing, short, foreign, newer, good = (write(archive, id=f"{n:010x}") for n in range(5))
    (missing / "record.json").unlink()
    data = (short / "record.json").read_bytes()
    (short / "record.json").write_bytes(data[: len(data) // 2])
    (foreign / "record.json").write_text("[]")
    (newer / "record.json").write_text(json.dumps(json.loads(data) | {"surprise": 1}))
    for folder in (missing, short, foreign, newer):
        with pytest.raises(RecordError, match="the record cannot be read") as caught:
            read_record(folder)
        assert caught.value.place == str(folder / "record.json")
        assert find_record(archive, id_of(folder)) == folder
    broken = broken_records(archive)
    assert [record.folder for record in broken] == [missing, short, foreign, newer]
    assert "No such file" in broken[0].fault
    assert "EOF" in broken[1].fault
    assert "surprise" in broken[3].fault
    assert dict(read_all(archive.folders()))[good] == read_record(good)


def test_only_folders_called_like_records_are_records(archive: Archive) -> None:
    folder = write(archive)
    (archive.root / "mine").mkdir()
    (archive.root / ".20260501T120000Z_a_b_0123456789").mkdir()
    assert archive.folders() == (folder,)
    assert is_record_name(folder.name)
    assert id_of(archive.root / "mine") == "mine"


def test_records_are_listed_the_oldest_first(archive: Archive) -> None:
    folders = three(archive)
    earlier = write(archive, started="2025-12-31T23:59:59.000Z")
    assert list(archive.folders()) == [earlier, *folders]
