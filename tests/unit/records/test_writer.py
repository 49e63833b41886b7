from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import InputError, RecordError
from runbook_lib.model.record import CellState, RecordVerdict
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive, is_record_name
from runbook_lib.records.store.reading import read_record
from runbook_lib.records.store.running import is_running
from runbook_lib.records.verify import examine, verify
from tests.unit.records.writing import NOTEBOOK, begin, passed, write

PROJECT = Path(__file__).resolve().parents[3]


def test_a_record_is_whole_from_its_first_moment_and_reads_running_while_its_writer_lives(archive: Archive) -> None:
    writer = begin(archive)
    assert archive.folders() == (writer.folder,)
    assert read_record(writer.folder).verdict is RecordVerdict.RUNNING
    assert (writer.folder / "notebook.ipynb").read_text() == NOTEBOOK
    assert sorted(path.name for path in writer.folder.iterdir()) == ["notebook.ipynb", "record.json"]
    writer.abandon()
    writer.abandon()
    assert read_record(writer.folder).verdict is RecordVerdict.INTERRUPTED


def test_a_folder_is_named_for_its_time_cluster_notebook_and_id(archive: Archive) -> None:
    folder = write(archive, id="00ff00ff00", cluster="a/../b c", notebook="05_ping_tests.ipynb")
    assert folder.name == "20260501T120000Z_a-..-b-c_05_ping_tests_00ff00ff00"


def test_a_finished_record_lists_each_of_its_files_with_its_hash(archive: Archive) -> None:
    writer = begin(archive)
    assert writer.table("ping matrix", "a\n1\n") == "tables/ping-matrix.csv"
    assert writer.table("ping matrix", "a\n2\n") == "tables/ping-matrix_2.csv"
    assert writer.table("../../etc/passwd", "a\n3\n") == "tables/etc-passwd.csv"
    assert writer.overflow("cell 1", "one") == writer.overflow("cell 1", "two") == "outputs/cell-1.log"
    writer.log('{"n": 1}')
    writer.log('{"n": 2}')
    writer.save_notebook("{}")
    record = writer.finish(passed(writer), "<html>")
    assert record == read_record(writer.folder)
    assert record.verdict is RecordVerdict.PASS
    assert list(record.files) == [
        "log.jsonl",
        "notebook.html",
        "notebook.ipynb",
        "outputs/cell-1.log",
        "tables/etc-passwd.csv",
        "tables/ping-matrix.csv",
        "tables/ping-matrix_2.csv",
    ]
    assert (writer.folder / "log.jsonl").read_text() == '{"n": 1}\n{"n": 2}\n'
    assert (writer.folder / "outputs/cell-1.log").read_text() == "onetwo"
    assert not is_running(writer.folder)
    assert list((archive.root / ".running").iterdir()) == []
    assert verify(archive) == ()


def test_every_text_is_redacted_before_it_is_written(archive: Archive) -> None:
    writer = begin(archive, redact=lambda text: text.replace("sesame", "[REDACTED:word]"), cluster="sesame")
    writer.save_notebook('{"cells": ["sesame"]}')
    writer.log('"sesame"')
    writer.table("sesame", "sesame\n")
    writer.overflow("sesame", "sesame")
    record = writer.finish(passed(writer, cluster="sesame", parameters={"sesame": ["sesame"]}), "<p>sesame</p>")
    assert record.parameters == {"[REDACTED:word]": ["[REDACTED:word]"]}
    for path in writer.folder.rglob("*"):
        assert "sesame" not in str(path.relative_to(archive.root))
        assert path.is_dir() or b"sesame" not in path.read_bytes(), path


def test_two_records_of_the_same_second_do_not_overwrite_each_other(archive: Archive) -> None:
    with ThreadPoolExecutor(4) as threads:
        folders = set(threads.map(lambda _: write(archive), range(8)))
    assert len(folders) == 8
    found = examine(archive)
    assert (found.findings, found.records, found.entries) == ((), 8, 8)


def test_an_id_that_is_taken_is_refused_and_the_record_that_has_it_stays(archive: Archive) -> None:
    folder = write(archive, id="0123456789")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises((InputError, RecordError)):
        begin(archive, id="0123456789")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert verify(archive) == ()


WRITER = """
import sys
from runbook_lib.records.store import open_archive
from tests.unit.records.writing import begin, passed, write
archive = open_archive(sys.argv[1])
"""


def run_writer(archive: Archive, code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", WRITER + code, str(archive.root)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill_at_line(archive: Archive, code: str) -> None:
    """Run a writer until it prints a line, then kill it without mercy."""
    with run_writer(archive, code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)


KILLS = {
    "begun": "writer = begin(archive); print('now', flush=True); input()",
    "while it saves": """
writer = begin(archive); print('now', flush=True)
while True: writer.save_notebook('{"cells": []}' + ' ' * 200_000); writer.log('{}'); writer.overflow('c', 'x' * 9999)
""",
    "while many are finished": """
print('now', flush=True)
while True: write(archive)
""",
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_writer_leaves_a_readable_record_that_the_next_writer_seals(archive: Archive, moment: str) -> None:
    sealed = write(archive)
    kill_at_line(archive, KILLS[moment])
    folders = archive.folders()
    verdicts = {folder: read_record(folder).verdict for folder in folders}
    assert verdicts[sealed] is RecordVerdict.PASS
    assert set(verdicts.values()) <= {RecordVerdict.PASS, RecordVerdict.INTERRUPTED}
    found = examine(archive)
    assert found.intact, found.findings
    assert len(found.findings) <= 1

    write(archive)
    found = examine(archive)
    assert (found.findings, found.records, found.running) == ((), len(folders) + 1, 0)
    assert all(read_record(folder).verdict is verdict for folder, verdict in verdicts.items())
    assert [path.name for path in archive.root.iterdir() if path.name.startswith(".2")] == []
    assert list((archive.root / ".running").iterdir()) == []


def test_a_marker_that_a_killed_writer_had_not_signed_yet_is_removed(archive: Archive) -> None:
    folder = write(archive)
    marker = archive.root / ".running" / f"{folder.name[:-1]}x"
    marker.write_text("ab")
    write(archive)
    assert list((archive.root / ".running").iterdir()) == []
    assert verify(archive) == ()


def test_the_very_first_record_of_a_killed_writer_is_no_strangers(archive: Archive) -> None:
    kill_at_line(archive, KILLS["begun"])
    found = examine(archive)
    assert [finding.leftover for finding in found.findings] == [True]
    write(archive)
    assert verify(archive) == ()


def test_a_killed_writer_at_every_system_call_that_changes_a_file_leaves_nothing_or_a_readable_record(
    archive: Archive,
) -> None:
    # Each writer dies at its n-th call that makes, renames, writes or removes something.
    write(archive)
    for number in itertools.count(1):
        writer = multiprocessing.get_context("fork").Process(target=write_and_die, args=(archive, number))
        writer.start()
        writer.join()
        for folder in archive.folders():
            assert read_record(folder).verdict in {RecordVerdict.PASS, RecordVerdict.INTERRUPTED}
        found = examine(archive)
        assert found.intact, (number, found.findings)
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
    assert number > 30
    assert verify(archive) == ()
    rest = sorted(path.name for path in archive.root.iterdir() if not is_record_name(path.name))
    assert rest == [".lock", ".running", "chain.jsonl", "keys"]


def write_and_die(archive: Archive, number: int) -> None:
    """Write a record; be killed before the ``number``-th system call that makes, renames, cuts or removes something."""
    left = number

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in {"os.rename", "os.remove", "os.mkdir", "os.truncate", "os.rmdir"}:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    write(archive)


def test_an_interrupted_record_tells_of_the_cells_that_its_notebook_saved(archive: Archive) -> None:
    writer = begin(archive)
    step = {"kind": "step", "step": "s", "node": "node1", "status": "changed", "before": "a", "after": "b"}
    event = {"data": {"application/vnd.overlay-runbook.event+json": {"events": [step]}}}
    cells = [
        {
            "cell_type": "code",
            "id": "a",
            "metadata": {"runbook": {"state": "completed"}, "papermill": {"duration": 2.5}},
        },
        {"cell_type": "markdown", "id": "b", "metadata": {}},
        {"cell_type": "code", "id": "c", "metadata": {"runbook": {"state": "running"}}, "outputs": [event]},
        {"cell_type": "code", "id": "d", "metadata": {"runbook": {"state": "never run"}}},
    ]
    writer.save_notebook(json.dumps({"cells": cells}))
    writer.abandon()
    record = read_record(writer.folder)
    assert [(cell.index, cell.state, cell.seconds) for cell in record.cells] == [
        (0, CellState.COMPLETED, 2.5),
        (2, CellState.INTERRUPTED, None),
        (3, CellState.NEVER_RUN, None),
    ]
    assert (record.changed, [row.after for row in record.steps], record.ended) == (1, ["b"], None)
    assert record.failure is not None
    assert record.failure.name == "Killed"
    write(archive)
    assert read_record(writer.folder) == record.model_copy(update={"files": read_record(writer.folder).files})


def test_two_processes_append_to_one_chain_without_losing_an_entry(archive: Archive) -> None:
    writers = [multiprocessing.get_context("fork").Process(target=write_ten, args=(archive,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    found = examine(archive)
    assert (found.findings, found.records, found.entries) == ((), 20, 20)


def write_ten(archive: Archive) -> None:
    for _ in range(10):
        write(archive)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    mountpoint = tmp_path / "disk"
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "tmpfs", str(mountpoint)], check=True)
    try:
        yield mountpoint
    finally:
        subprocess.run(["umount", str(mountpoint)], check=True)


def test_a_full_disk_is_reported_and_the_record_says_so_and_no_earlier_one_is_lost(small_disk: Path) -> None:
    archive = open_archive(small_disk / "records")
    earlier = write(archive)
    writer = begin(archive)
    with pytest.raises(RecordError, match="the disk is full") as caught:
        writer.overflow("c", "x" * 8_000_000)
    assert caught.value.exit_code == 3
    fill(small_disk)
    with pytest.raises(RecordError, match="the disk is full"):
        writer.save_notebook("{}" + " " * 100_000)
    with pytest.raises(
        RecordError, match=r"not whole, the disk is full: notebook\.html, notebook\.ipynb, outputs/c\.log"
    ):
        writer.finish(passed(writer), "<html>" + " " * 5_000_000)
    record = read_record(writer.folder)
    assert (record.verdict, record.exit_code) == (RecordVerdict.ERROR, 3)
    assert record.failure is not None
    assert "the disk is full" in record.failure.message
    assert read_record(earlier).verdict is RecordVerdict.PASS
    found = examine(archive)
    assert (found.findings, found.records) == ((), 2)

    with pytest.raises(RecordError, match="the disk is full"):
        begin(archive)
    assert len(archive.folders()) == 2
    assert verify(archive) == ()


def test_a_chain_that_cannot_be_appended_to_leaves_it_as_it_was_and_the_record_to_be_sealed_later(
    small_disk: Path,
) -> None:
    archive = open_archive(small_disk / "records")
    write(archive)
    before = archive.chain_file.read_bytes()
    writer = begin(archive)
    writer.folder.joinpath("seal.json").mkdir()  # the entry is appended, then its copy cannot be written
    with pytest.raises(RecordError):
        writer.finish(passed(writer), None)
    assert archive.chain_file.read_bytes() == before
    writer.folder.joinpath("seal.json").rmdir()
    assert [finding.leftover for finding in verify(archive)] == [True]
    write(archive)
    assert verify(archive) == ()
    assert read_record(writer.folder).verdict is RecordVerdict.PASS


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        while True:
            try:
                if not file.write(b"x" * 4096):
                    return
            except OSError:
                return


def test_an_archive_on_a_disk_that_is_mounted_read_only_is_bad_input(small_disk: Path) -> None:
    archive = open_archive(small_disk / "records")
    folder = write(archive)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match="Read-only file system") as caught:
        begin(archive)
    assert caught.value.exit_code == 2
    assert "--records" in caught.value.remedy
    assert read_record(folder).verdict is RecordVerdict.PASS
    assert verify(archive) == ()


def test_an_archive_that_is_a_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("")
    for location in (tmp_path / "records", tmp_path / "records" / "below"):
        with pytest.raises(InputError, match="records cannot be written there"):
            begin(open_archive(location))


def test_a_chain_that_ends_in_no_entry_is_refused_before_anything_runs(archive: Archive) -> None:
    write(archive)
    with archive.chain_file.open("a") as file:
        file.write("no entry\n")
    with pytest.raises(RecordError, match="the chain's last line is not an entry"):
        begin(archive)
    assert len(archive.folders()) == 1


def test_a_folder_that_a_stranger_puts_there_is_never_sealed(archive: Archive) -> None:
    write(archive)
    stranger = archive.root / "20260501T130000Z_testbed_05_ping_tests_aaaaaaaaaa"
    stranger.mkdir()
    (stranger / "record.json").write_text((archive.folders()[0] / "record.json").read_text())
    (archive.root / ".running" / stranger.name).write_text("00" * 64)
    write(archive)
    assert [finding.record for finding in verify(archive)] == ["aaaaaaaaaa"]
    assert not (stranger / "seal.json").exists()


def test_the_signing_key_is_made_on_first_use_for_its_owner_only(archive: Archive) -> None:
    key = Path(os.environ["OVERLAY_RUNBOOK_SIGNING_KEY"])
    assert not key.exists()
    write(archive)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.suffix for path in (archive.root / "keys").iterdir()] == [".pem"]
    assert "PRIVATE" not in next((archive.root / "keys").iterdir()).read_text()
