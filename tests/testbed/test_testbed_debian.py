"""Debian nodes: real systemd, each under another network manager, on disks that survive what a host's disk survives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.errors import TestbedError
from runbook_lib.model.inventory import DockerAccess
from runbook_lib.testbed import Testbed, lifecycle
from runbook_lib.testbed.handle import NodeStatus
from runbook_lib.testbed.machine import dhcp, network
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.managers import MANAGERS
from runbook_lib.testbed.node import readiness
from runbook_lib.testbed.node.client import inventory, node_spec
from runbook_lib.testbed.node.node import supervisor
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed
NAME = "test-debian"

# The units of which exactly those of the node's own manager are active.
UNITS = {
    "systemd-networkd": {"systemd-networkd"},
    "netplan": {"systemd-networkd"},
    "NetworkManager": {"NetworkManager"},
    "ifupdown": {"networking"},
}
# What says that the manager itself asked DHCP for eth1, and leaves eth0 alone.
EVIDENCE = {
    "systemd-networkd": "networkctl status eth1 | grep -q DHCP4 && networkctl status eth0 | grep -q unmanaged",
    "netplan": "test -e /run/systemd/network/10-netplan-eth1.network && networkctl status eth1 | grep -q DHCP4",
    "NetworkManager": "nmcli -g DHCP4 device show eth1 | grep -q ip_address && nmcli device | grep -q eth0.*unm",
    "ifupdown": "ifquery --state eth1 && pidof dhclient && ! ifquery --state eth0",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Testbed]:
    Testbed.remove(NAME)
    testbed = Testbed.up(NAME, subnet="auto", kind=Kind(platform="debian"))
    yield testbed
    Testbed.remove(NAME)


def on(testbed: Testbed, node: str, command: str) -> str:
    with SshConnection(node_spec(testbed.layout, testbed.node(node))) as connection:
        return connection.run(["sh", "-c", command], sudo=True).stdout.strip()


def on_each(testbed: Testbed, command: str) -> dict[str, str]:
    with ThreadPoolExecutor() as pool:
        names = testbed.node_names
        return dict(zip(names, pool.map(lambda name: on(testbed, name, command), names), strict=True))


def wait_for(testbed: Testbed, node: str, state: str, other_than: int | None = None) -> None:
    def row() -> NodeStatus:
        return next(row for row in testbed.status().nodes if row.name == node)

    wait_until(lambda: (found := row()).state == state and (found.pid is None or found.pid != other_than), row)


def test_systemd_is_process_1_and_all_of_its_units_are_well(cluster: Testbed) -> None:
    found = on_each(cluster, "cat /proc/1/comm; systemctl is-system-running --wait; systemctl --failed --no-legend")
    assert found == dict.fromkeys(cluster.node_names, "systemd\nrunning")


def test_each_node_is_under_its_own_manager_and_under_no_other(cluster: Testbed) -> None:
    platforms = {node.name: node.platform for node in cluster.status().nodes}
    assert tuple(platforms.values()) == MANAGERS
    assert {node.name: node.platform for node in inventory(cluster.layout).nodes} == platforms
    units = ["systemd-networkd", "NetworkManager", "networking"]
    found = on_each(cluster, f"systemctl is-active {' '.join(units)} || true")
    for name, states in found.items():
        active = {unit for unit, state in zip(units, states.split(), strict=True) if state == "active"}
        assert active == UNITS[platforms[name]], name


def test_each_manager_has_asked_dhcp_for_the_address_of_eth1_and_leaves_eth0_alone(cluster: Testbed) -> None:
    leases = dhcp.parse_leases(cluster.layout.dhcp_log.read_text())
    for row in cluster.status().nodes:
        assert leases[cluster.node(row.name).cluster_mac] == row.cluster_address == row.inventory_address
        assert on(cluster, row.name, f"({EVIDENCE[row.platform]}) >/dev/null && echo yes || echo no") == "yes", row


def test_an_engine_answers_over_tls_and_over_ssh(cluster: Testbed) -> None:
    spec = node_spec(cluster.layout, cluster.node("node4"))
    for access in (spec.docker, DockerAccess(via="ssh")):
        reached = spec.model_copy(update={"docker": access})
        with SshConnection(reached) as connection, Engine(reached, connection) as engine:
            assert engine.version()["Version"] == "20.10.24+dfsg1"
            assert engine.info()["ClusterAdvertise"] == f"{cluster.status().nodes[3].cluster_address}:2376"


def test_only_the_first_etcd_member_is_a_container_and_none_of_them_is_started(cluster: Testbed) -> None:
    assert on_each(cluster, "docker ps --all --format '{{.Names}} {{.State}}'") == {
        "node1": "etcd1 created",
        "node2": "",
        "node3": "",
        "node4": "",
    }
    for node, member in (("node2", "etcd2"), ("node3", "etcd3")):
        assert on(cluster, node, "systemctl is-enabled etcd; systemctl is-active etcd; true") == "disabled\ninactive"
        assert on(cluster, node, ". /etc/default/etcd; echo $ETCD_NAME; id -un etcd") == f"{member}\netcd"


def test_a_change_below_etc_survives_a_reboot_from_inside_and_a_power_cut(cluster: Testbed) -> None:
    first = cluster.status().nodes[0].pid
    on(cluster, "node1", "echo kept >/etc/marker; reboot")
    wait_for(cluster, "node1", "running", other_than=first)
    assert on(cluster, "node1", "cat /etc/marker") == "kept"
    on(cluster, "node1", "echo cut >>/etc/marker")
    cluster.reboot(["node1"], hard=True)
    assert on(cluster, "node1", "cat /etc/marker; systemctl is-system-running --wait") == "kept\ncut\nrunning"


def test_an_engine_that_does_not_start_is_told_with_its_own_journal(cluster: Testbed) -> None:
    node = cluster.node("node2")
    process = supervisor(node)
    assert process is not None
    options = "/etc/docker/daemon.json"
    on(cluster, "node2", f"cp {options} /root/; systemctl stop docker; echo nonsense >{options}")
    on(cluster, "node2", "systemctl start docker || true")
    try:
        with pytest.raises(TestbedError, match="unable to configure the Docker daemon") as caught:
            readiness.wait_until_ready(cluster.layout, node, process, timeout=0.1)
        assert caught.value.readiness_stage == "Docker /_ping"
    finally:
        on(cluster, "node2", f"cp /root/daemon.json {options}; systemctl restart docker")


def test_a_shuffle_moves_every_node_though_each_remembers_its_lease(cluster: Testbed) -> None:
    before = {row.name: row.cluster_address for row in cluster.status().nodes}
    on(cluster, "node4", "poweroff")
    wait_for(cluster, "node4", "off")
    cluster.reboot(shuffle=True)
    after = {row.name: row.cluster_address for row in cluster.status().nodes}
    assert cluster.status().running
    assert all(after[name] != before[name] for name in before), after
    assert sorted(map(str, after.values())) == sorted(map(str, before.values()))


def test_down_leaves_nothing(cluster: Testbed) -> None:
    layout = cluster.layout
    cluster.down()
    assert network.leftovers(layout) == []
    assert list(lifecycle._processes(layout)) == []
    assert not layout.folder.exists()
    assert NAME not in Path("/proc/mounts").read_text()
    assert [path for node in layout.nodes for path in Path("/sys/fs/cgroup").rglob(node.cgroup)] == []
