"""Which clusters a batch is for, and which of them cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.execute.batch.clusters import read_clusters

INVENTORY = """
network: {{interface: eth1, subnet: 192.168.99.0/24}}
nodes:
  - name: node1
    cluster_address: 192.168.99.104
    ssh: {{host: {host}, key_file: key, known_hosts: known_hosts}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "known_hosts").touch()
    return tmp_path


def parameter_file(folder: Path, name: str, host: str, cluster: str = "", more: str = "") -> Path:
    """A parameter file, its cluster called like it unless told otherwise, with one node at a host."""
    (folder / f"{name}-inventory.yaml").write_text(INVENTORY.format(host=host))
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {cluster or name}\ninventory: {name}-inventory.yaml\ncontainers: []\n{more}")
    return path


def test_each_file_is_a_cluster_named_as_it_says(folder: Path) -> None:
    files = [parameter_file(folder, "b", "127.0.0.2"), parameter_file(folder, "a", "127.0.0.1")]
    assert [(one.name, one.file, one.error) for one in read_clusters(files, {})] == [
        ("b", files[0], None),
        ("a", files[1], None),
    ]


def test_one_bad_file_is_one_cluster_with_an_error(folder: Path) -> None:
    files = [parameter_file(folder, "good", "127.0.0.1"), parameter_file(folder, "bad", "127.0.0.2", more="nme: x\n")]
    good, bad = read_clusters(files, {})
    assert good.error is None
    assert isinstance(bad.error, ParameterError)
    assert bad.name == "bad"


def test_when_every_file_is_bad_all_faults_of_all_files_are_told_at_once(folder: Path) -> None:
    wrong = parameter_file(folder, "wrong", "127.0.0.1", more="nme: x\nprobes: {count: 0}\n")
    (folder / "folder.yaml").mkdir()
    files = [wrong, folder / "folder.yaml", folder / "absent.yaml"]
    with pytest.raises(ParameterError) as caught:
        read_clusters(files, {})
    told = str(caught.value)
    assert caught.value.exit_code == 2
    assert "4 faults, nothing was touched" in told
    assert f"{wrong}:4: nme: unknown parameter" in told
    assert f"{wrong}:5: probes.count" in told
    assert f"{folder / 'folder.yaml'}: this is a folder, not a YAML file" in told
    assert f"{folder / 'absent.yaml'}: there is no such file" in told


def test_a_file_named_twice_is_run_once(folder: Path) -> None:
    file = parameter_file(folder, "a", "127.0.0.1")
    first, second = read_clusters([file, file.parent / "." / file.name], {})
    assert first.error is None
    assert isinstance(second.error, InputError)
    assert "this file is named twice" in str(second.error)


def test_two_files_that_lead_to_one_cluster_are_told_before_anything_begins(folder: Path) -> None:
    files = [parameter_file(folder, "a", "127.0.0.1"), parameter_file(folder, "b", "127.0.0.1")]
    first, second = read_clusters(files, {})
    assert first.error is None
    assert f"this is the same cluster as {files[0]} (127.0.0.1:22)" in str(second.error)


def test_two_files_that_name_one_testbed_lead_to_one_cluster(folder: Path) -> None:
    files = [folder / "a.yaml", folder / "b.yaml"]
    for file in files:
        file.write_text(f"name: {file.stem}\ninventory: testbed:both\n")
    first, second = read_clusters(files, {})
    assert (first.testbed, first.error) == ("both", None)
    assert "(testbed both)" in str(second.error)


def test_clusters_of_the_same_name_are_told_apart_by_their_files(folder: Path) -> None:
    (folder / "more").mkdir()
    for name in ("key", "known_hosts"):
        (folder / "more" / name).touch(mode=0o600)
    files = [
        parameter_file(folder, "a", "127.0.0.1", cluster="same"),
        parameter_file(folder, "b", "127.0.0.2", cluster="same"),
        parameter_file(folder / "more", "b", "127.0.0.3", cluster="same"),
        parameter_file(folder, "c", "127.0.0.4"),
    ]
    assert [one.name for one in read_clusters(files, {})] == ["same (a)", "same (b) 2", "same (b) 3", "c"]


def test_a_parameter_that_replaces_others_is_checked_in_every_file(folder: Path) -> None:
    files = [parameter_file(folder, "a", "127.0.0.1"), parameter_file(folder, "b", "127.0.0.2")]
    with pytest.raises(ParameterError) as caught:
        read_clusters(files, {"overlay.nmae": "x"})
    assert str(caught.value).count("-p overlay.nmae: unknown parameter") == 2
