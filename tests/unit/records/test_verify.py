from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.records import chain
from runbook_lib.records.chain import head_file
from runbook_lib.records.sealing import write_seal
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive, id_of
from runbook_lib.records.store.keys import canonical, signing_key
from runbook_lib.records.verify import Finding, examine, verify, verify_folder
from tests.unit.records.writing import begin, three, write


def problems(archive: Archive) -> list[tuple[str, str, str]]:
    """Record, place and problem of everything that is found; all of it has to be manipulation."""
    findings = verify(archive)
    assert not any(finding.leftover for finding in findings), findings
    return [(finding.record, finding.place, finding.problem) for finding in findings]


def lines(archive: Archive) -> list[bytes]:
    return archive.chain_file.read_bytes().splitlines(keepends=True)


def forget_head(archive: Archive) -> None:
    """Be a machine that did not write this archive."""
    head_file(archive.location).unlink()


def test_an_untouched_archive_is_intact_and_counted(archive: Archive) -> None:
    three(archive)
    writer = begin(archive)
    found = examine(archive)
    writer.abandon()
    assert found.intact
    assert (found.findings, found.records, found.entries, found.running, found.pruned) == ((), 3, 3, 1, 0)
    assert found.signed == {signing_key().public.id: 3}
    assert found.ends_known


def test_no_archive_is_bad_input(archive: Archive) -> None:
    with pytest.raises(InputError, match="there are no records here"):
        verify(archive)


@pytest.mark.parametrize("name", ["notebook.ipynb", "notebook.html", "log.jsonl", "tables/pings.csv"])
def test_a_changed_file_is_named(archive: Archive, name: str) -> None:
    folder = three(archive)[1]
    with (folder / name).open("a") as file:
        file.write(" ")
    size = (folder / name).stat().st_size
    problem = f"was changed ({size - 1} bytes before, {size} now)"
    assert problems(archive) == [(id_of(folder), f"{folder.name}/{name}", problem)]


def test_a_removed_and_an_added_file_are_named(archive: Archive) -> None:
    folder = three(archive)[1]
    (folder / "log.jsonl").unlink()
    (folder / "tables" / "more.csv").write_text("")
    (folder / ".hidden").write_text("")
    id_ = id_of(folder)
    assert problems(archive) == [
        (id_, f"{folder.name}/.hidden", "was added: record.json does not list it"),
        (id_, f"{folder.name}/tables/more.csv", "was added: record.json does not list it"),
        (id_, f"{folder.name}/log.jsonl", "is missing"),
    ]


def test_a_file_exchanged_for_a_link_to_the_same_text_is_named(archive: Archive, tmp_path: Path) -> None:
    folder = write(archive)
    (folder / "log.jsonl").rename(tmp_path / "elsewhere")
    (folder / "log.jsonl").symlink_to(tmp_path / "elsewhere")
    assert problems(archive) == [(id_of(folder), f"{folder.name}/log.jsonl", "was exchanged for a symbolic link")]


def test_a_changed_record_is_named(archive: Archive) -> None:
    folder = three(archive)[1]
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"pass"', '"failed"'))
    assert problems(archive) == [(id_of(folder), f"{folder.name}/record.json", "was changed")]


def test_a_record_that_is_cut_short_or_missing_is_named(archive: Archive) -> None:
    first, second, _ = three(archive)
    data = (first / "record.json").read_bytes()
    (first / "record.json").write_bytes(data[: len(data) // 2])
    (second / "record.json").unlink()
    (_, place, problem), missing = problems(archive)
    assert place == f"{first.name}/record.json"
    assert problem.startswith("was changed and cannot be read: ")
    assert missing == (id_of(second), f"{second.name}/record.json", "is missing")


def test_a_removed_record_is_named(archive: Archive) -> None:
    folder = three(archive)[1]
    shutil.rmtree(folder)
    problem = "was removed: the chain has the record in entry 2, and its folder is gone"
    assert problems(archive) == [(id_of(folder), folder.name, problem)]


def test_a_renamed_record_is_named_with_its_new_place(archive: Archive) -> None:
    folder = three(archive)[1]
    renamed = folder.with_name(folder.name.replace("testbed", "berlin"))
    folder.rename(renamed)
    assert problems(archive) == [
        (id_of(folder), renamed.name, f"was renamed or copied: it was sealed as {folder.name}"),
        (id_of(folder), folder.name, f"was renamed: the record is in {renamed.name}"),
    ]


def test_two_folders_that_were_exchanged_are_named(archive: Archive, tmp_path: Path) -> None:
    first, second, _ = three(archive)
    first.rename(tmp_path / "first")
    second.rename(first)
    (tmp_path / "first").rename(second)
    assert problems(archive) == [
        (id_of(one), one.name, f"has the record {id_of(other)} in it, of {other.name}: the folders were exchanged")
        for one, other in ((first, second), (second, first))
    ]


def test_a_folder_that_was_put_there_is_named(archive: Archive) -> None:
    folder = write(archive)
    stranger = folder.with_name("20260501T130000Z_testbed_05_ping_tests_aaaaaaaaaa")
    shutil.copytree(folder, stranger, ignore=shutil.ignore_patterns("seal.json"))
    problem = "was added: the chain has no entry for it, and it has no seal"
    assert problems(archive) == [("aaaaaaaaaa", stranger.name, problem)]


def test_a_changed_or_missing_seal_is_named(archive: Archive) -> None:
    first, second, _ = three(archive)
    (first / "seal.json").unlink()
    shutil.copy(first.with_name(archive.folders()[2].name) / "seal.json", second / "seal.json")
    assert problems(archive) == [
        (id_of(first), f"{first.name}/seal.json", "is missing"),
        (id_of(second), f"{second.name}/seal.json", "was changed: it is not entry 2 of the chain"),
    ]


def test_an_entry_taken_out_of_the_chain_is_named_with_its_record(archive: Archive) -> None:
    folder = three(archive)[1]
    first, _, third = lines(archive)
    archive.chain_file.write_bytes(first + third)
    assert problems(archive) == [
        ("", "chain.jsonl", "entry 2 is missing: it was removed"),
        (id_of(folder), folder.name, "was sealed as entry 2, which is not there: its entry was taken out of the chain"),
    ]


def test_a_chain_cut_off_at_its_end_is_noticed_by_the_machine_that_wrote_it(archive: Archive) -> None:
    folder = three(archive)[2]
    shutil.rmtree(folder)
    archive.chain_file.write_bytes(b"".join(lines(archive)[:2]))
    problem = "the end is cut off: this machine knows of entry 3, and entry 2 is the last there"
    assert problems(archive) == [("", "chain.jsonl", problem)]


def test_a_chain_cut_off_at_its_end_is_noticed_elsewhere_by_the_seals_of_the_records(archive: Archive) -> None:
    folder = three(archive)[2]
    archive.chain_file.write_bytes(b"".join(lines(archive)[:2]))
    forget_head(archive)
    problem = "was sealed as entry 3, which is not there: the chain's end was cut off"
    assert problems(archive) == [(id_of(folder), folder.name, problem)]


def test_a_chain_cut_off_before_the_next_record_is_noticed_ever_after(archive: Archive) -> None:
    shutil.rmtree(three(archive)[2])
    archive.chain_file.write_bytes(b"".join(lines(archive)[:2]))
    write(archive)
    forget_head(archive)
    gone = "the entry that was the last before entry 3 is gone: the end had been cut off when entry 3 was written"
    assert problems(archive) == [("", "chain.jsonl", gone)]


def test_an_archive_that_is_gone_is_noticed_by_the_machine_that_wrote_it(archive: Archive) -> None:
    three(archive)
    shutil.rmtree(archive.root)
    assert [problem for _, _, problem in problems(archive)] == [
        "the end is cut off: this machine knows of entry 3, and the chain is gone"
    ]


def test_an_archive_that_was_begun_anew_is_intact(archive: Archive) -> None:
    three(archive)
    shutil.rmtree(archive.root)
    write(archive)
    assert problems(archive) == []


def test_reordered_entries_are_named(archive: Archive) -> None:
    folders = three(archive)
    first, second, third = lines(archive)
    archive.chain_file.write_bytes(first + third + second)
    problem = "entry 2 stands after entry 3: the entries were reordered"
    assert problems(archive) == [(id_of(folders[1]), "chain.jsonl line 3", problem)]


def test_a_changed_entry_is_named(archive: Archive) -> None:
    folders = three(archive)
    first, second, third = lines(archive)
    entry = json.loads(second)
    entry["time"] = "2020-01-01T00:00:00.000Z"
    archive.chain_file.write_bytes(first + canonical(entry) + b"\n" + third)
    problem = "entry 2 was changed: its hash is not that of its content"
    assert problems(archive)[0] == (id_of(folders[1]), "chain.jsonl line 2", problem)


def test_a_line_that_is_no_entry_is_named(archive: Archive) -> None:
    three(archive)
    first, second, third = lines(archive)
    archive.chain_file.write_bytes(first + second[:100] + b"\n" + third)
    (_, place, problem), *_ = problems(archive)
    assert place == "chain.jsonl line 2"
    assert problem.startswith("it is not an entry")
    archive.chain_file.write_bytes(first + second.replace(b",", b", ") + third)
    assert problems(archive)[0][1:] == ("chain.jsonl line 2", "it is not written as canonical JSON")


def test_an_entry_repeated_is_named(archive: Archive) -> None:
    folders = three(archive)
    archive.chain_file.write_bytes(b"".join([*lines(archive), lines(archive)[2]]))
    assert problems(archive) == [(id_of(folders[2]), "chain.jsonl line 4", "there is another entry 3 before it")]


@pytest.fixture
def forge(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Change the last record, and write the chain's end anew with a key of one's own; return its id."""

    def act() -> str:
        folder = archive.folders()[-1]
        record = folder / "record.json"
        record.write_text(record.read_text().replace('"pass"', '"failed"'))
        monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "forger" / "key.pem"))
        archive.chain_file.write_bytes(b"".join(lines(archive)[:-1]))
        digest = hashlib.sha256(record.read_bytes()).hexdigest()
        key = signing_key()
        appended = chain.append(archive, [chain.Draft("record", id_of(folder), folder.name, digest)], key)
        write_seal(folder, appended.entries[0], key.public)
        return key.public.id

    return act


def test_a_chain_forged_with_another_key_is_named_where_the_right_key_is_given_or_known(
    archive: Archive, tmp_path: Path, forge: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three(archive)
    right = tmp_path / "right.pem"
    shutil.copy(next(archive.keys_folder.iterdir()), right)
    genuine = signing_key().public.id
    forger = forge()
    assert [finding.problem for finding in verify(archive, public_key=right)] == [
        f"entry 3 is signed with the key {forger}, not with the trusted key {genuine}"
    ]
    assert examine(archive).signed == {genuine: 2, forger: 1}
    (archive.keys_folder / f"{forger}.pem").unlink()
    unknown = f"entry 3 is signed with the key {forger}, which the archive does not have"
    assert problems(archive)[0] == (id_of(folders[2]), "chain.jsonl line 3", unknown)
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "home" / "signing_key.pem"))
    exchanged = "entry 3 is not the one that this machine wrote: the chain was exchanged"
    assert ("", "chain.jsonl", exchanged) in problems(archive)


def test_a_key_exchanged_under_the_same_name_is_named(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(archive)
    genuine = signing_key().public.id
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "other" / "key.pem"))
    other = signing_key().public
    (archive.keys_folder / f"{genuine}.pem").write_text(other.pem)
    (archive.keys_folder / "0000.pem").write_text("no key")
    places = {place: problem for _, place, problem in problems(archive)}
    assert places[f"keys/{genuine}.pem"] == f"was exchanged: it has the key {other.id}"
    assert places["keys/0000.pem"].startswith("is not a public key")
    assert "which the archive does not have" in places["chain.jsonl line 1"]


def test_a_last_line_cut_short_by_a_crash_is_told_from_manipulation_and_mended_by_the_next_record(
    archive: Archive,
) -> None:
    three(archive)
    with archive.chain_file.open("ab") as file:
        file.write(b'{"folder":"2026')
    found = examine(archive)
    assert found.intact
    assert [finding.leftover for finding in found.findings] == [True]
    assert "cut short, as by a crash" in found.findings[0].problem
    write(archive)
    assert problems(archive) == []
    assert examine(archive).records == 4


def test_a_last_entry_cut_short_after_it_was_whole_is_manipulation(archive: Archive) -> None:
    three(archive)
    archive.chain_file.write_bytes(archive.chain_file.read_bytes()[:-10])
    forget_head(archive)
    found = examine(archive)
    assert not found.intact
    assert any("was sealed as entry 3" in finding.problem for finding in found.findings)


def test_one_record_can_be_verified_alone_even_one_that_is_gone(archive: Archive) -> None:
    first, second, third = three(archive)
    (first / "log.jsonl").unlink()
    shutil.rmtree(second)
    assert verify(archive, record_id=id_of(third)) == ()
    assert [finding.place for finding in verify(archive, record_id=id_of(first)[:6])] == [f"{first.name}/log.jsonl"]
    assert [finding.record for finding in verify(archive, record_id=id_of(second))] == [id_of(second)]
    with pytest.raises(InputError, match="no record has the id 'ffffffffffff'"):
        verify(archive, record_id="ffffffffffff")


def test_a_record_taken_out_of_its_archive_is_verified_by_its_seal(
    archive: Archive, tmp_path: Path, forge: Callable[[], str]
) -> None:
    alone = tmp_path / "alone"
    right = tmp_path / "right.pem"
    folder = write(archive)
    shutil.copy(next(archive.keys_folder.iterdir()), right)
    shutil.copytree(folder, alone)
    assert verify_folder(alone, public_key=right).findings == ()
    (alone / "notebook.html").write_text("other")
    assert [finding.place for finding in verify_folder(alone).findings] == ["alone/notebook.html"]
    (alone / "seal.json").write_text("{}")
    assert [finding.place for finding in verify_folder(alone).findings] == ["alone/seal.json"]
    forge()
    assert verify_folder(folder).findings == ()
    assert "not with the trusted key" in verify_folder(folder, public_key=right).findings[0].problem
    with pytest.raises(InputError):
        verify_folder(tmp_path / "nothing")


def test_a_finding_reads_as_a_sentence_with_its_record_and_place() -> None:
    assert str(Finding("0123456789", "a/b", "was changed")) == "record 0123456789: a/b: was changed"
    assert str(Finding("", "chain.jsonl", "is missing")) == "chain.jsonl: is missing"


def test_an_archive_that_was_copied_elsewhere_is_verified_there(archive: Archive, tmp_path: Path) -> None:
    three(archive)
    shutil.copytree(archive.root, tmp_path / "copy")
    found = examine(open_archive(tmp_path / "copy"))
    assert (found.findings, found.records, found.ends_known) == ((), 3, False)
