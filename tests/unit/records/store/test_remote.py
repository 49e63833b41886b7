from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from runbook_lib.errors import HostKeyError, InputError, RecordError
from runbook_lib.model.record import RecordVerdict
from runbook_lib.records.prune import not_kept, prune
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive, id_of
from runbook_lib.records.store.reading import find_record, read_record
from runbook_lib.records.verify import examine, verify
from tests.unit.records.sftp_server import SftpServer
from tests.unit.records.writing import begin, passed, three, write

PROJECT = Path(__file__).resolve().parents[4]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpServer]:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = SftpServer(tmp_path / "user")
    yield server
    server.stop()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where the server keeps the records."""
    return tmp_path / "there" / "records"


@pytest.fixture
def remote(server: SftpServer, there: Path) -> Archive:
    there.parent.mkdir()
    return open_archive(server.url(there), refresh=False)


def another_machine(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The same archive as a machine sees it that never saw it before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other" / "state"))
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "other" / "key.pem"))
    return open_archive(archive.location)


def test_a_record_is_uploaded_when_it_is_finished(remote: Archive, there: Path) -> None:
    writer = begin(remote)
    assert [path.name for path in there.iterdir()] == []
    writer.table("pings", "a\n1\n")
    writer.finish(passed(writer), "<html>")
    at_the_place = open_archive(there)
    assert [folder.name for folder in at_the_place.folders()] == [writer.folder.name]
    assert verify(at_the_place) == verify(remote) == ()
    files = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    mine = {str(path.relative_to(remote.root)) for path in remote.root.rglob("*") if path.is_file()}
    assert files == mine - {".lock"}


def test_another_machine_lists_what_is_there_and_fetches_what_it_asks_for(
    remote: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three(remote)
    other = another_machine(remote, tmp_path, monkeypatch)
    assert [folder.name for folder in other.folders()] == [folder.name for folder in folders]
    assert [read_record(folder).verdict for folder in other.folders()] == [RecordVerdict.PASS] * 3
    assert [path.name for path in other.folders()[0].iterdir()] == ["record.json"]
    found = find_record(other, id_of(folders[0])[:8])
    assert (found / "notebook.html").read_text() == (folders[0] / "notebook.html").read_text()
    assert (found / "tables" / "pings.csv").is_file()


def test_machines_take_turns_at_one_chain(
    remote: Archive, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nfrom runbook_lib.records.store import open_archive\n"
        "from tests.unit.records.writing import write\n"
        "for _ in range(4): write(open_archive(sys.argv[1], refresh=False))"
    )
    machines = []
    for name in ("one", "two"):
        own = {
            "XDG_STATE_HOME": str(tmp_path / name),
            "OVERLAY_RUNBOOK_SIGNING_KEY": str(tmp_path / name / "key.pem"),
        }
        environment = {**os.environ, **own, "PYTHONPATH": str(PROJECT)}
        machines.append(subprocess.Popen([sys.executable, "-c", code, remote.location], env=environment))
    assert [machine.wait() for machine in machines] == [0, 0]
    found = examine(open_archive(there))
    assert (found.findings, found.records, sorted((found.signed or {}).values())) == ((), 8, [4, 4])


def test_a_place_that_is_gone_when_a_record_begins_is_an_error_before_anything_runs(
    remote: Archive, server: SftpServer
) -> None:
    server.stop()
    with pytest.raises(RecordError, match="it cannot be connected to") as caught:
        begin(remote)
    assert caught.value.exit_code == 3
    assert remote.folders() == ()


def test_a_failing_upload_says_where_the_record_is_and_the_next_run_uploads_it(
    remote: Archive, server: SftpServer, there: Path
) -> None:
    earlier = write(remote)
    writer = begin(remote)
    server.stop()
    with pytest.raises(RecordError) as caught:
        writer.finish(passed(writer), "<html>")
    assert str(writer.folder) in caught.value.message
    assert read_record(writer.folder).verdict is RecordVerdict.PASS
    assert [folder.name for folder in open_archive(there).folders()] == [earlier.name]
    server.restart()
    write(remote)
    found = examine(remote)
    assert (found.findings, found.records) == ((), 3)
    assert verify(open_archive(there)) == ()


def test_a_full_place_is_reported_and_loses_no_earlier_record(remote: Archive, there: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    there.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(there)], check=True)
    try:
        write(remote)
        writer = begin(remote)
        with pytest.raises(RecordError) as caught:
            writer.finish(passed(writer), "x" * 2_000_000)
        assert str(writer.folder) in caught.value.message
        found = examine(remote)
        assert (found.intact, found.records) == (True, 1)
        subprocess.run(["mount", "-o", "remount,size=16m", str(there)], check=True)
        write(remote)
        found = examine(remote)
        assert (found.findings, found.records) == ((), 3)
    finally:
        subprocess.run(["umount", str(there)], check=True)


@pytest.mark.parametrize("requests", [70, 130, 176])
def test_a_writer_killed_while_it_uploads_leaves_whole_records_and_the_next_run_uploads_the_rest(
    remote: Archive, there: Path, requests: int
) -> None:
    write(remote)
    writer = multiprocessing.get_context("fork").Process(target=write_and_die, args=(remote, requests))
    writer.start()
    writer.join()
    assert writer.exitcode in {0, -signal.SIGKILL}
    assert examine(remote).intact, examine(remote).findings
    write(remote)
    found = examine(remote)
    assert found.findings == (), found.findings
    assert found.records == len(remote.folders())
    assert verify(open_archive(there)) == ()


def write_and_die(archive: Archive, requests: int) -> None:
    """Write a record; be killed when the server has been asked that many things."""
    left = requests

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "call" and frame.f_code.co_name == "_async_request":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    write(archive)


def test_verify_reads_the_place_and_not_the_mirror(remote: Archive, there: Path) -> None:
    folders = three(remote)
    (there / folders[1].name / "notebook.html").write_text("other")
    shutil.rmtree(there / folders[2].name)
    assert [(finding.record, finding.problem.split(":")[0].split(" (")[0]) for finding in verify(remote)] == [
        (id_of(folders[1]), "was changed"),
        (id_of(folders[2]), "was removed"),
    ]
    assert read_record(folders[1]).verdict is RecordVerdict.PASS


def test_a_prune_removes_records_at_the_place_and_on_every_machine(
    remote: Archive, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three(remote)
    other = another_machine(remote, tmp_path, monkeypatch)
    assert len(prune(other, not_kept(other, "1"))) == 2
    assert [folder.name for folder in open_archive(there).folders()] == [folders[2].name]
    assert [folder.name for folder in open_archive(remote.location).folders()] == [folders[2].name]
    found = examine(remote)
    assert (found.findings, found.records, found.pruned) == ((), 1, 2)


def test_a_lock_that_a_killed_process_left_is_broken(remote: Archive, there: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    there.mkdir()
    holder = {"token": "0", "host": os.uname().nodename, "pid": ended.pid}
    (there / ".lock").write_text(json.dumps(holder))
    write(remote)
    assert not (there / ".lock").exists()
    assert verify(remote) == ()


def test_a_server_that_known_hosts_does_not_vouch_for_is_refused(remote: Archive, server: SftpServer) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(HostKeyError, match="known_hosts has no key for it"):
        begin(remote)


def test_a_login_shell_that_prints_before_sftp_begins_is_named(remote: Archive, server: SftpServer) -> None:
    server.says = b"hi\n"
    with pytest.raises(RecordError, match="the login shell there prints something before SFTP begins") as caught:
        begin(remote)
    assert "~/.bashrc" in caught.value.remedy


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://x/records", "records cannot be written there"),
        ("sftp://ada:sesame@127.0.0.1/records", "the URL has a password in it"),
    ],
)
def test_a_url_that_cannot_be_used_is_bad_input(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_archive(url)
    assert "sesame" not in str(caught.value)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    archive = open_archive((tmp_path / "a").as_uri())
    assert (archive.root, archive.is_remote) == (tmp_path / "a", False)
