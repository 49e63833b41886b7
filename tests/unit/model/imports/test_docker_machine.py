"""Machines out of a docker-machine store, of all ages and from other computers."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import InputError, ParameterError
from runbook_lib.model.imports.docker_machine import default_store, read_store
from tests.unit.model.imports.conftest import Store


def test_a_virtualbox_machine_is_reached_at_the_port_that_its_driver_forwards(store: Store) -> None:
    store.add("node1")
    (machine,) = read_store(store.folder)
    assert (machine.ssh_host, machine.ssh_port, machine.ssh_user) == ("127.0.0.1", 53507, "docker")
    assert machine.address == "192.168.99.104"
    assert machine.flags["cluster-advertise"] == "eth1:2376"
    assert (machine.host_only, machine.dhcp, machine.boot2docker) == ("192.168.99.1/24", True, True)


def test_a_generic_machine_is_reached_at_its_address(store: Store) -> None:
    store.add("lab1", "generic", SSHUser="", SSHPort=0)
    (machine,) = read_store(store.folder)
    assert (machine.ssh_host, machine.ssh_port, machine.ssh_user) == ("10.20.0.11", 22, "root")
    assert (machine.engine_port, machine.boot2docker, machine.host_only) == (2376, False, "")


def test_paths_of_another_computer_lead_into_this_store(store: Store) -> None:
    store.add("node1")
    (machine,) = read_store(store.folder)
    assert machine.key_file == store.folder / "machines" / "node1" / "id_rsa"
    assert machine.cert == store.folder / "certs" / "cert.pem"
    assert machine.key == store.folder / "certs" / "key.pem"


def test_this_store_s_key_comes_before_one_that_lies_at_the_recorded_path(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other" / "machines" / "node1" / "id_rsa"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text("another computer's key")
    store.add("node1", SSHKeyPath=str(elsewhere))
    (machine,) = read_store(store.folder)
    assert machine.key_file == store.folder / "machines" / "node1" / "id_rsa"
    machine.key_file.unlink()
    assert read_store(store.folder)[0].key_file == elsewhere


def test_an_old_file_with_an_empty_key_path_and_windows_paths_is_read(store: Store) -> None:
    store.add("dev", "old")
    (machine,) = read_store(store.folder)
    assert machine.key_file == store.folder / "machines" / "dev" / "id_rsa"
    assert machine.ca == store.folder / "certs" / "ca.pem"
    assert (machine.ssh_user, machine.host_only, machine.flags) == ("docker", "192.168.99.1/24", {})
    assert not machine.swarm.member


def test_certificates_in_the_machine_s_own_folder_are_found(store: Store) -> None:
    store.add("node1")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (store.folder / "certs" / name).rename(store.folder / "machines" / "node1" / name)
    (machine,) = read_store(store.folder)
    assert machine.cert == store.folder / "machines" / "node1" / "cert.pem"


def test_a_machine_without_a_key_has_none(store: Store) -> None:
    store.add("lab1", "generic", SSHKeyPath="", SSHKey="")
    (store.folder / "machines" / "lab1" / "id_rsa").unlink()
    assert read_store(store.folder)[0].key_file is None


def test_a_machine_that_is_off_has_no_address(store: Store) -> None:
    store.add("node1", IPAddress="")
    assert read_store(store.folder)[0].address == ""


def test_a_manager_of_a_classic_swarm_is_told_by_its_options(store: Store) -> None:
    store.add("master", "swarm-master")
    swarm = read_store(store.folder)[0].swarm
    assert (swarm.member, swarm.manager, swarm.endpoint) == (True, True, "tcp://0.0.0.0:3376")
    assert swarm.discovery == "etcd://192.168.99.104:2379/swarm"


def test_flags_are_read_with_dashes_and_quotes_and_without(store: Store) -> None:
    store.add("node1", flags=["--cluster-store=etcd://a:1", 'cluster-advertise="eth2:2376"', "debug"])
    flags = read_store(store.folder)[0].flags
    assert flags == {"cluster-store": "etcd://a:1", "cluster-advertise": "eth2:2376", "debug": ""}


def test_machines_come_by_number_or_as_they_are_named(store: Store) -> None:
    for name in ("node10", "node2", "node1"):
        store.add(name)
    assert [machine.name for machine in read_store(store.folder)] == ["node1", "node2", "node10"]
    assert [machine.name for machine in read_store(store.folder, ("node10", "node1", "node10"))] == ["node10", "node1"]


def test_the_store_is_where_docker_machine_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MACHINE_STORAGE_PATH", raising=False)
    assert default_store() == tmp_path / ".docker" / "machine"
    monkeypatch.setenv("MACHINE_STORAGE_PATH", "/somewhere")
    assert default_store() == Path("/somewhere")


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a docker-machine store: it has no folder 'machines'"):
        read_store(tmp_path)
    with pytest.raises(InputError, match="not a docker-machine store: there is no such folder"):
        read_store(tmp_path / "absent")
    (tmp_path / "machines").mkdir()
    with pytest.raises(InputError, match="this store has no machines"):
        read_store(tmp_path)


def test_a_machine_that_the_store_does_not_have_is_refused_with_those_it_has(store: Store) -> None:
    store.add_nodes(2)
    with pytest.raises(InputError, match=r"no machine 'node3'(.|\n)*its machines are node1, node2"):
        read_store(store.folder, ("node1", "node3"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"Driver": {', "config.json:1:13: invalid JSON"),
        ("[]", "it contains no keys and values"),
        ("{}", "it has no Driver with a DriverName"),
        ('{"DriverName": "none", "Driver": {"URL": "tcp://1.2.3.4:2376"}}', "a URL without SSH"),
        ('{"DriverName": "generic", "Driver": {"SSHPort": "22a"}}', "SSHPort is '22a', which is not a port"),
        ('{"DriverName": "generic", "Driver": {"SSHPort": 70000}}', "SSHPort is 70000, which is not a port"),
        (None, "creating this machine did not finish"),
    ],
    ids=str,
)
def test_a_broken_machine_is_refused_with_its_place_and_can_be_left_out(
    store: Store, text: str | None, said: str
) -> None:
    store.add_nodes(1)
    broken = store.write("machines/node2/config.json", text or "")
    if text is None:
        broken.unlink()
    with pytest.raises(ParameterError) as caught:
        read_store(store.folder)
    assert said in str(caught.value)
    assert f"{store.folder}/machines/node2/config.json" in str(caught.value)
    assert [machine.name for machine in read_store(store.folder, ["node1"])] == ["node1"]


def test_every_broken_machine_is_told_at_once(store: Store) -> None:
    for name in ("node1", "node2"):
        store.write(f"machines/{name}/config.json", "{")
    with pytest.raises(ParameterError) as caught:
        read_store(store.folder)
    assert len(caught.value.faults) == 2
