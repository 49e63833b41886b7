"""docs/records-format.md is enough to verify and to read an archive: its verifier finds what ours finds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import BaseModel

from runbook_lib.journal import Call
from runbook_lib.model.events import CheckEvent, StepEvent
from runbook_lib.model.record import (
    CellRecord,
    CellState,
    FailureRecord,
    FileRecord,
    MetricRecord,
    NodeRecord,
    Provenance,
    Record,
    RecordVerdict,
)
from runbook_lib.model.results import Status, Verdict
from runbook_lib.records.chain import Entry
from runbook_lib.records.prune import prune
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive
from runbook_lib.records.store.keys import signing_key
from runbook_lib.records.verify import verify
from tests.unit.records.writing import begin, three

PAGE = (Path(__file__).parents[3] / "docs/records-format.md").read_text()


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "home" / "signing_key.pem"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return open_archive(tmp_path / "records")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The verifier, as the page has it."""
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE.partition("\n## A verifier\n")[2], re.MULTILINE | re.DOTALL)
    file = tmp_path / "verify_archive.py"
    file.write_text(text)
    return file


def run(program: Path, *arguments: str | Path) -> tuple[int, str]:
    """Run the verifier where nothing of this project can be imported; its exit code and what it prints."""
    lines = subprocess.run(
        [sys.executable, "-I", program, *arguments], cwd=program.parent, capture_output=True, text=True, check=False
    )
    assert not lines.stderr, lines.stderr
    return lines.returncode, lines.stdout


def chain(archive: Archive) -> list[bytes]:
    return archive.chain_file.read_bytes().splitlines(keepends=True)


def test_the_verifier_uses_nothing_but_the_standard_library_and_cryptography(program: Path) -> None:
    imported = set(re.findall(r"^(?:from|import) (\w+)", program.read_text(), re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_an_untouched_archive_is_good_and_its_last_entry_is_told(archive: Archive, program: Path) -> None:
    prune(archive, three(archive)[:1])
    writer = begin(archive)
    code, told = run(program, archive.root)
    writer.abandon()
    last = Entry.model_validate_json(chain(archive)[-1])
    assert (code, told) == (0, f"4 entries, 3 records; the last entry is {last.hash}\nnothing is wrong\n")
    assert run(program, archive.root, "--has", last.hash)[0] == 0


def test_what_a_killed_writer_left_is_no_manipulation(archive: Archive, program: Path) -> None:
    three(archive)
    begin(archive).abandon()
    with archive.chain_file.open("ab") as file:
        file.write(b'{"format":1,')
    assert run(program, archive.root)[0] == 0


def test_a_key_from_elsewhere_is_what_is_trusted(archive: Archive, program: Path, tmp_path: Path) -> None:
    three(archive)
    own = tmp_path / "own.pem"
    own.write_text(signing_key().public.pem)
    assert run(program, archive.root, "--key", own)[0] == 0
    other = tmp_path / "other.pem"
    other.write_text(_other_key())
    code, told = run(program, archive.root, "--key", other)
    assert code == 1
    assert told.count("it is not signed with a key that is trusted here") == 3


def test_a_record_that_was_taken_out_is_verified_by_its_seal(archive: Archive, program: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(three(archive)[1], tmp_path / "taken")
    assert run(program, folder)[0] == 0
    (folder / "log.jsonl").write_text("{}\n")
    assert run(program, folder) == (1, "taken/log.jsonl: it was changed\n")


def _change(file: str) -> Callable[[Archive, list[Path]], None]:
    def change(_archive: Archive, folders: list[Path]) -> None:
        path = folders[1] / file
        path.write_text(path.read_text() + " ")

    return change


def _add(_archive: Archive, folders: list[Path]) -> None:
    (folders[1] / "tables" / "more.csv").write_text("")


def _remove(_archive: Archive, folders: list[Path]) -> None:
    (folders[1] / "notebook.html").unlink()


def _link(archive: Archive, folders: list[Path]) -> None:
    (folders[1] / "log.jsonl").rename(archive.root / "elsewhere")
    (folders[1] / "log.jsonl").symlink_to(archive.root / "elsewhere")


def _remove_record(_archive: Archive, folders: list[Path]) -> None:
    shutil.rmtree(folders[1])


def _rename_record(_archive: Archive, folders: list[Path]) -> None:
    folders[1].rename(folders[1].with_name(folders[1].name.replace("testbed", "berlin")))


def _add_record(archive: Archive, folders: list[Path]) -> None:
    shutil.copytree(folders[1], archive.root / "20260501T130000Z_testbed_05_ping_tests_0123456789")


def _exchange_records(_archive: Archive, folders: list[Path]) -> None:
    aside = folders[0].with_name("aside")
    folders[0].rename(aside)
    folders[1].rename(folders[0])
    aside.rename(folders[1])


def _take_entry_out(archive: Archive, _folders: list[Path]) -> None:
    lines = chain(archive)
    archive.chain_file.write_bytes(lines[0] + lines[2])


def _move_entry(archive: Archive, _folders: list[Path]) -> None:
    lines = chain(archive)
    archive.chain_file.write_bytes(lines[0] + lines[2] + lines[1])


def _change_entry(archive: Archive, _folders: list[Path]) -> None:
    archive.chain_file.write_bytes(archive.chain_file.read_bytes().replace(b'"kind":"record"', b'"kind":"prune"', 1))


def _space_entry(archive: Archive, _folders: list[Path]) -> None:
    archive.chain_file.write_bytes(archive.chain_file.read_bytes().replace(b'"format":1', b'"format": 1', 1))


def _spoil_entry(archive: Archive, _folders: list[Path]) -> None:
    archive.chain_file.write_bytes(b"nonsense\n" + b"".join(chain(archive)[1:]))


def _remove_keys(archive: Archive, _folders: list[Path]) -> None:
    shutil.rmtree(archive.keys_folder)


def _remove_seal(_archive: Archive, folders: list[Path]) -> None:
    (folders[1] / "seal.json").unlink()


def _exchange_seal(_archive: Archive, folders: list[Path]) -> None:
    shutil.copy(folders[0] / "seal.json", folders[1])


MANIPULATIONS = [
    *(_change(file) for file in ("record.json", "notebook.ipynb", "log.jsonl", "tables/pings.csv")),
    *(_add, _remove, _link, _remove_record, _rename_record, _add_record, _exchange_records, _take_entry_out),
    *(_move_entry, _change_entry, _space_entry, _spoil_entry, _remove_keys, _remove_seal, _exchange_seal),
]


@pytest.mark.parametrize("manipulate", MANIPULATIONS)
def test_the_verifier_finds_every_manipulation_that_ours_finds(
    manipulate: Callable[[Archive, list[Path]], None], archive: Archive, program: Path
) -> None:
    manipulate(archive, three(archive))
    assert any(not finding.leftover for finding in verify(archive)), "ours finds it"
    code, told = run(program, archive.root)
    assert code == 1
    assert "nothing is wrong" not in told


def test_an_end_that_was_cut_off_is_found_by_the_hash_that_somebody_noted(archive: Archive, program: Path) -> None:
    three(archive)
    noted = Entry.model_validate_json(chain(archive)[-1]).hash
    last = sorted(archive.folders())[-1]
    shutil.rmtree(last)
    archive.chain_file.write_bytes(b"".join(chain(archive)[:-1]))
    assert run(program, archive.root)[0] == 0
    code, told = run(program, archive.root, "--has", noted)
    assert (code, f"the entry {noted} is gone" in told) == (1, True)
    three(archive)  # the writer's machine knew of it
    code, told = run(program, archive.root)
    assert (code, "entry 3: when it was written, the chain's end had been cut off" in told) == (1, True)


def _rows(begin_with: str) -> list[str]:
    """The first column of the table of fields after the line that ends with these words."""
    table = PAGE.partition(f"{begin_with}\n\n| field | what it is |\n|---|---|\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


@pytest.mark.parametrize(
    ("begin_with", "model"),
    [
        ("the two numbers:", Entry),
        ("being wrong.", Record),
        ("A step:", StepEvent),
        ("A check:", CheckEvent),
        ("A metric:", MetricRecord),
        ("A cell:", CellRecord),
        ("A failure:", FailureRecord),
        ("The provenance:", Provenance),
        ("A node:", NodeRecord),
    ],
)
def test_the_page_has_every_field_and_no_other(begin_with: str, model: type[BaseModel]) -> None:
    assert _rows(begin_with) == list(model.model_fields)


def test_the_page_has_every_field_of_a_call_and_of_a_listed_file() -> None:
    assert _rows("is a JSON object:") == ["kind", *(field.name for field in fields(Call))]
    assert "with `sha256` and `size` (bytes)" in PAGE
    assert list(FileRecord.model_fields) == ["sha256", "size"]


@pytest.mark.parametrize("words", [RecordVerdict, CellState, Status, Verdict])
def test_the_page_has_every_word_for_how_something_ended(words: type[RecordVerdict]) -> None:
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def _other_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return Ed25519PrivateKey.generate().public_key().public_bytes(encoding, form).decode()
