"""Parameter files of docker-machine's machines: what is in them, what they ask, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from runbook_lib.errors import InputError, KeyFileError
from runbook_lib.model.imports.docker_machine import read_store
from runbook_lib.model.imports.draft import Draft, parameter_file
from runbook_lib.model.imports.machine_cluster import draft_of_machines
from runbook_lib.model.loading import Run, load_run
from tests.unit.model.imports.conftest import Store

ETCD = "cluster-store=etcd://10.20.0.11:2379"


class Importer:
    """What a store becomes, at each stage."""

    def __init__(self, store: Store, known_hosts: Path) -> None:
        self.store = store
        self.known_hosts = known_hosts

    def draft(self, *names: str) -> Draft:
        return draft_of_machines(read_store(self.store.folder, names), "Imported", "lab", str(self.known_hosts))

    def text(self, *names: str) -> str:
        return parameter_file(self.draft(*names))

    def run(self, *names: str) -> Run:
        return load_run(yaml.safe_load(self.text(*names)))

    def unknown(self) -> dict[str, str]:
        return {note.place: note.text for note in self.draft().unknown}

    def refusal(self) -> str:
        with pytest.raises(InputError) as caught:
            self.text()
        return str(caught.value)


@pytest.fixture
def importer(store: Store, known_hosts: Path) -> Importer:
    return Importer(store, known_hosts)


def test_the_article_s_machines_become_its_cluster(store: Store, importer: Importer) -> None:
    store.add_nodes(4)
    run = importer.run()
    assert (run.parameters.platform, run.parameters.control_plane) == ("boot2docker", "etcd")
    assert run.parameters.etcd.members == ("etcd1", "etcd2", "etcd3")
    assert run.parameters.addresses.allow_in_dhcp_pool
    network = run.inventory.network
    assert (network.interface, network.subnet, network.gateway) == ("eth1", "192.168.99.0/24", "192.168.99.1")
    assert network.dhcp_pool == "192.168.99.100-192.168.99.254"
    assert [node.cluster_address for node in run.inventory.nodes] == [f"192.168.99.{last}" for last in range(104, 108)]
    node = run.inventory.node("node2")
    assert (node.ssh.host, node.ssh.port, node.docker.via) == ("127.0.0.1", 53502, "ssh")
    assert [container.node for container in run.parameters.containers] == ["node1", "node4"]


def test_the_file_says_what_it_cannot_know_and_is_the_same_each_time(store: Store, importer: Importer) -> None:
    store.add_nodes(2)
    text = importer.text()
    assert "# The engines were started with cluster-store=etcd://192.168.99.104:2379" in text
    assert "192.168.99.104 (node1), 192.168.99.105 (node2), 192.168.99.106, and no containers" in text.replace(
        "\n# ", " "
    )
    assert text == importer.text()
    assert set(importer.unknown()) == {"etcd.members"}


def test_only_paths_of_keys_stand_in_the_file(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    text = importer.text()
    assert "a private key" not in text
    assert f"key_file: {store.folder}/machines/node1/id_rsa" in text


def test_a_machine_that_is_off_gets_a_free_address_outside_the_pool_and_a_remark(
    store: Store, importer: Importer
) -> None:
    store.add_nodes(1)
    store.add("node2", IPAddress="", SSHPort=4000)
    assert importer.run().inventory.node("node2").cluster_address == "192.168.99.25"
    assert "docker-machine start node2" in importer.unknown()["nodes.node2"]


def test_a_generic_machine_that_is_off_is_looked_for_under_its_name(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic")
    store.add("lab2", "generic", IPAddress="")
    node = importer.run().inventory.node("lab2")
    assert (node.ssh.host, node.cluster_address, node.docker.via) == ("lab2", "10.20.0.25", "ssh")


def test_generic_machines_are_reached_over_tls_and_their_network_is_a_guess(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic", flags=[ETCD])
    store.add("lab2", "generic", flags=[ETCD], IPAddress="10.20.1.12")
    run = importer.run()
    node = run.inventory.node("lab2")
    assert (node.docker.via, node.docker.host, node.docker.port) == ("tls", "10.20.1.12", 2376)
    assert node.docker.cert == str(store.folder / "certs" / "cert.pem")
    assert run.inventory.network.subnet == "10.20.0.0/23"
    assert (run.parameters.platform, run.parameters.etcd.autostart) == ("auto", "auto")
    assert set(importer.unknown()) == {"network.interface", "network.subnet", "etcd.members"}


def test_what_engines_advertise_names_interface_or_address(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic", flags=[ETCD, "cluster-advertise=ens4:2376"])
    store.add("lab2", "generic", flags=[ETCD, "cluster-advertise=10.20.0.77:2376"], IPAddress="203.0.113.9")
    run = importer.run()
    assert run.inventory.network.interface == "ens4"
    assert run.inventory.node("lab2").cluster_address == "10.20.0.77"
    assert run.inventory.node("lab2").ssh.host == "203.0.113.9"


def test_a_store_in_another_network_than_the_machines_is_pointed_out(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic", flags=["cluster-store=etcd://172.16.0.1:2379", "cluster-advertise=eth1:2376"])
    importer.text()
    assert "another network (172.16.0.1)" in importer.unknown()["network.subnet"]


def test_addresses_that_share_no_network_leave_a_placeholder(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic", IPAddress="")
    assert importer.run().inventory.network.subnet == "192.0.2.0/24"
    assert "placeholder" in importer.unknown()["network.subnet"]


def test_engines_without_store_and_swarm_are_told_of_swarm_mode(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic")
    assert importer.run().parameters.control_plane == "swarm-mode"
    assert "docker swarm init" in importer.unknown()["control_plane"]
    assert "etcd:" not in importer.text()


def test_a_classic_swarm_comes_with_its_manager_s_endpoint(store: Store, importer: Importer) -> None:
    store.add("master", "swarm-master", swarm={"Host": "tcp://0.0.0.0:3380"})
    store.add(
        "agent", "swarm-master", IPAddress="192.168.99.105", SSHPort=1, SwarmMaster=False, swarm={"Master": False}
    )
    run = importer.run()
    assert run.parameters.control_plane == "classic-swarm"
    manager = run.inventory.swarm_manager
    assert manager is not None
    assert (manager.host, manager.port) == ("192.168.99.104", 3380)
    assert manager.key == str(store.folder / "certs" / "key.pem")


def test_a_classic_swarm_without_a_store_is_told_what_overlays_need(store: Store, importer: Importer) -> None:
    store.add("master", "swarm-master", flags=[])
    importer.text()
    assert "--engine-opt cluster-store=etcd" in importer.unknown()["control_plane"]


def test_a_name_that_dns_would_not_take_becomes_one_that_it_does(store: Store, importer: Importer) -> None:
    store.add("Lab.One", "generic")
    assert importer.run().inventory.names == ("lab-one",)


def test_an_overlay_s_subnet_keeps_clear_of_the_machines_network(store: Store, importer: Importer) -> None:
    store.add("lab1", "generic", IPAddress="10.0.0.7")
    assert importer.run().parameters.overlay.subnet == "172.30.0.0/24"


def test_another_store_than_etcd_is_refused(store: Store, importer: Importer) -> None:
    store.add("node1", flags=["cluster-store=consul://192.168.99.100:8500"])
    said = importer.refusal()
    assert "the engine of node1 keeps its networks in consul://192.168.99.100:8500, and only etcd is known" in said
    assert "Swarm mode" in said


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("virtualbox", []),
        ("virtualbox", ["cluster-store=etcd://192.168.99.9:2379"]),
        ("swarm-master", None),
    ],
)
def test_mixed_control_planes_are_refused_with_each_machine_s_own(
    store: Store, importer: Importer, kind: str, flags: list[str] | None
) -> None:
    store.add_nodes(1)
    store.add("other", kind, flags=flags, IPAddress="192.168.99.200", SSHPort=1)
    said = importer.refusal()
    assert "different control planes (node1: etcd://192.168.99.104" in said
    assert "import-docker-machine MACHINE…" in said
    assert importer.run("node1").inventory.names == ("node1",)


def test_a_classic_swarm_without_its_manager_is_refused(store: Store, importer: Importer) -> None:
    store.add("agent", "swarm-master", SwarmMaster=False, swarm={"Master": False})
    assert "none of these machines is the manager" in importer.refusal()


def test_a_manager_that_is_off_or_has_no_certificate_is_refused(store: Store, importer: Importer) -> None:
    store.add("master", "swarm-master", IPAddress="")
    assert "docker-machine start master" in importer.refusal()
    (store.folder / "certs" / "cert.pem").unlink()
    assert "docker-machine regenerate-certs master" in importer.refusal()


def test_two_machines_of_one_address_are_refused(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    store.add("node2", IPAddress="192.168.99.104", SSHPort=1)
    assert "node1 and node2 have the same address 192.168.99.104" in importer.refusal()


def test_two_machines_behind_one_forwarded_port_are_refused(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    store.add("node2", IPAddress="192.168.99.105", SSHPort=53501)
    assert "node1 and node2 have the same address 127.0.0.1:53501" in importer.refusal()


def test_two_machines_that_would_be_one_node_are_refused(store: Store, importer: Importer) -> None:
    store.add("lab.1", "generic")
    store.add("LAB-1", "generic", IPAddress="10.20.0.12")
    assert "'LAB-1' and 'lab.1' would both be the node lab-1" in importer.refusal()


def test_machines_on_two_host_only_networks_are_refused(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    store.add("node2", HostOnlyCIDR="192.168.77.1/24", IPAddress="192.168.77.104", SSHPort=1)
    assert "different host-only networks (node1: 192.168.99.1/24, node2: 192.168.77.1/24)" in importer.refusal()


def test_an_address_outside_the_host_only_network_is_told_of_the_store(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    store.add("node2", IPAddress="192.168.56.104", SSHPort=1)
    told = importer.refusal()
    assert "HostOnlyCIDR is 192.168.99.1/24, a network that does not hold the machines' addresses" in told
    assert "(node2 has 192.168.56.104)" in told
    assert f"{store.folder}/machines/node2/config.json" in told
    assert "node1/config.json" not in told
    assert "place named above" not in told


def test_what_cannot_be_a_cluster_is_told_of_its_source(store: Store, importer: Importer) -> None:
    store.add("node1", "generic", flags=[ETCD], SSHUser="two words")
    told = importer.refusal()
    assert "place named above" not in told
    assert "no file was written. Imported" in told


def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(store: Store, importer: Importer) -> None:
    store.add_nodes(1)
    (store.folder / "machines" / "node1" / "id_rsa").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        importer.text()
