"""An archive at a second place: a node of the testbed, whose OpenSSH server keeps it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import HostKeyError, RecordError
from runbook_lib.records.prune import not_kept, prune
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive, id_of
from runbook_lib.records.store.reading import find_record, read_record
from runbook_lib.records.verify import examine
from runbook_lib.testbed import Testbed
from tests.unit.records.writing import begin, passed, three, write

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True

FOLDER = "/home/docker/records"


@pytest.fixture
def archive(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An archive on node1, as a user reaches it who may log in there."""
    access = cluster.node("node1").spec.ssh
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(access.known_hosts, home / ".ssh" / "known_hosts")
    key = home / ".ssh" / "id_ed25519"
    shutil.copy(access.key_file, key)
    key.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "key.pem"))
    cluster.node("node1").ssh.run(["rm", "-rf", FOLDER])
    yield open_archive(f"sftp://{access.user}@{access.host}:{access.port}{FOLDER}", refresh=False)
    cluster.node("node1").ssh.run(["rm", "-rf", FOLDER])


def test_records_are_written_to_a_node_read_elsewhere_verified_there_and_pruned(
    archive: Archive, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three(archive)
    there = cluster.node("node1").ssh.run(["find", FOLDER, "-name", "record.json"]).stdout.split()
    assert sorted(there) == [f"{FOLDER}/{folder.name}/record.json" for folder in folders]

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    other = open_archive(archive.location)
    assert [folder.name for folder in other.folders()] == [folder.name for folder in folders]
    found = find_record(other, id_of(folders[0]))
    assert (found / "notebook.html").read_bytes() == (folders[0] / "notebook.html").read_bytes()
    assert examine(other).findings == ()

    script = 'printf x >> "$1"'
    cluster.node("node1").ssh.script(script, f"{FOLDER}/{folders[2].name}/log.jsonl")
    assert [finding.place for finding in examine(archive).findings] == [f"{folders[2].name}/log.jsonl"]

    prune(archive, not_kept(archive, "0"))
    assert cluster.node("node1").ssh.run(["find", FOLDER, "-name", "record.json"]).stdout == ""
    after = examine(archive)
    assert (after.findings, after.records, after.pruned) == ((), 0, 3)


def test_a_record_that_a_node_does_not_take_is_kept_here_until_the_next_run(archive: Archive, cluster: Cluster) -> None:
    node = cluster.node("node1").ssh
    write(archive)
    writer = begin(archive)
    node.run(["chmod", "0500", FOLDER])
    with pytest.raises(RecordError) as caught:
        writer.finish(passed(writer), "<html>")
    assert str(writer.folder) in caught.value.message
    assert read_record(writer.folder).verdict == "pass"
    node.run(["chmod", "0700", FOLDER])
    write(archive)
    found = examine(archive)
    assert (found.findings, found.records) == ((), 3)


def test_a_node_with_another_host_key_gets_no_record(archive: Archive, testbed: Testbed, tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(HostKeyError):
        begin(archive)
    assert archive.folders() == ()
