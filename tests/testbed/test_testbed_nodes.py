"""What a testbed's nodes are like: a boot2docker host's boot, disk, addresses and engine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.testbed import Testbed
from runbook_lib.testbed.handle import NodeStatus
from runbook_lib.testbed.image.images import ALPINE_IMAGE, ETCD_IMAGE, STAND_IN_LABEL
from runbook_lib.testbed.machine.layout import ENGINE_PORT
from runbook_lib.testbed.node.client import node_spec
from runbook_lib.testbed.node.node import supervisor
from runbook_lib.testbed.progress import Progress
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed
NAME = "test-nodes"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Testbed]:
    Testbed.remove(NAME)
    testbed = Testbed.up(NAME, nodes=4, subnet="auto")
    yield testbed
    testbed.down()


def cli(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    argv = [sys.executable, "-m", "runbook_lib", "testbed", command, "--name", NAME, *rest]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, **options)


def on(testbed: Testbed, node: str, command: str) -> str:
    with SshConnection(node_spec(testbed.layout, testbed.node(node))) as connection:
        return connection.run(["sh", "-c", command], sudo=True).stdout.strip()


def engine(testbed: Testbed, node: str) -> Engine:
    spec = node_spec(testbed.layout, testbed.node(node))
    return Engine(spec, SshConnection(spec))


def addresses(testbed: Testbed) -> dict[str, str | None]:
    return {node.name: node.cluster_address for node in testbed.status().nodes}


def wait_until_off(testbed: Testbed, node: str) -> None:
    wait_until(
        lambda: next(row for row in testbed.status().nodes if row.name == node).state == "off", f"{node} goes off"
    )


def test_a_new_testbed_hands_out_the_pools_first_addresses_in_order(cluster: Testbed) -> None:
    found = cluster.status()
    assert found.running
    assert [node.cluster_address for node in found.nodes] == [node.inventory_address for node in found.nodes]
    assert {node.engine_version for node in found.nodes} == {"20.10.24+dfsg1"}


def test_a_node_boots_in_the_order_of_boot2docker(cluster: Testbed) -> None:
    log = cluster.node("node1").boot_log.read_text()
    marks = ["boot started", "lease of", "DHCP done", "sshd started", "boot finished"]
    assert [log.index(mark) for mark in marks] == sorted(log.index(mark) for mark in marks)
    assert on(cluster, "node1", "cat /var/run/udhcpc.eth1.pid") in on(cluster, "node1", "pidof udhcpc busybox").split()


def test_what_the_articles_scripts_call_is_there(cluster: Testbed) -> None:
    tools = "ifconfig route arping more vi ip ping udhcpc /usr/local/bin/docker /etc/init.d/docker"
    assert on(cluster, "node2", f"for tool in {tools}; do command -v $tool >/dev/null || echo $tool; done") == ""
    assert on(cluster, "node2", "hostname") == "node2"
    assert "running" in on(cluster, "node2", "/etc/init.d/docker status")


def test_every_engine_has_its_own_identity_and_the_images(cluster: Testbed) -> None:
    identities = set()
    for name in cluster.node_names:
        with engine(cluster, name) as node:
            identities.add(node.info()["ID"])
            assert node.image(ETCD_IMAGE)["Id"]
            assert node.image(ALPINE_IMAGE)["Config"]["Labels"] == {STAND_IN_LABEL: "busybox from Debian"}
    assert len(identities) == 4


def test_etcd_is_created_on_three_nodes_and_not_started(cluster: Testbed) -> None:
    for index in (1, 2, 3):
        with engine(cluster, f"node{index}") as node:
            member = node.container(f"etcd{index}")
            assert member["State"]["Status"] == "created"
            assert member["HostConfig"]["NetworkMode"] == "host"
            assert member["HostConfig"]["RestartPolicy"]["Name"] == "no"
    with engine(cluster, "node4") as node:
        assert node.containers() == []


def test_an_engine_refuses_a_client_without_a_certificate(cluster: Testbed) -> None:
    address = cluster.node("node1").management_address
    context = ssl.create_default_context(cafile=str(cluster.layout.certificates / "ca.pem"))
    connection = http.client.HTTPSConnection(address, ENGINE_PORT, timeout=PATIENCE_SECONDS, context=context)

    def ask() -> None:
        connection.request("GET", "/_ping")
        connection.getresponse()

    # TLS 1.3 tells the client only when it reads that its certificate was missed.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask()


def test_an_engine_is_valid_at_the_address_that_its_node_should_have(cluster: Testbed) -> None:
    with engine(cluster, "node3") as node:
        node.at(cluster.node("node3").cluster_address).ping()


def test_a_container_resolves_and_reaches(cluster: Testbed) -> None:
    with engine(cluster, "node4") as node:
        node.create_container("probe", ALPINE_IMAGE, command=["sleep", "60"])
        node.start("probe")
        status, output = node.execute("probe", ["ping", "-c", "1", cluster.node("node1").cluster_address])
        node.remove_container("probe", force=True)
    assert status == 0, output


def test_status_is_also_json(cluster: Testbed) -> None:
    done = cli("status", "--json")
    assert done.returncode == 0
    data = json.loads(done.stdout)
    assert data["name"] == NAME
    assert [node["name"] for node in data["nodes"]] == list(cluster.node_names)
    assert {"state", "management_address", "cluster_address", "engine_version"} <= data["nodes"][0].keys()
    assert "node4" in cli("status").stdout


def test_ssh_hands_on_output_input_and_exit_status(cluster: Testbed) -> None:
    assert cli("ssh", "node2", "--", "hostname").stdout == "node2\n"
    assert cli("ssh", "node2", "--", "cat", input="through").stdout == "through"
    assert cli("ssh", "node2", "--", "exit 7").returncode == 7
    assert cli("ssh", "node9").returncode == 2


def test_env_gives_lines_that_a_shell_takes(cluster: Testbed) -> None:
    script = f'eval "$({sys.executable} -m runbook_lib testbed env --name {NAME} node1)"; env'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("DOCKER_"))
    assert values["DOCKER_HOST"] == f"tcp://{cluster.node('node1').management_address}:2376"
    assert values["DOCKER_TLS_VERIFY"] == "1"
    assert {"ca.pem", "cert.pem", "key.pem"} <= {path.name for path in Path(values["DOCKER_CERT_PATH"]).iterdir()}


def test_a_second_up_changes_nothing(cluster: Testbed) -> None:
    before = cluster.status()
    events: list[Progress] = []
    Testbed.up(NAME, nodes=4, subnet="auto", report=events.append)
    assert cluster.status() == before
    assert {event.step for event in events} == {"root filesystem and images", "switch and DHCP", "check"}


def test_a_reboot_loses_what_is_in_memory_and_keeps_the_disk(cluster: Testbed) -> None:
    on(cluster, "node1", "touch /tmp/ram /home/docker/ram /var/lib/boot2docker/disk; ip addr add 10.99.0.1/32 dev eth1")
    before = addresses(cluster)
    cluster.reboot(["node1"])
    assert on(cluster, "node1", "ls /tmp/ram /home/docker/ram 2>/dev/null || true") == ""
    assert on(cluster, "node1", "ls /var/lib/boot2docker/disk") == "/var/lib/boot2docker/disk"
    assert "10.99.0.1" not in on(cluster, "node1", "ip -br addr")
    assert addresses(cluster) == before, "a lease outlasts a plain reboot"


def test_a_node_can_be_rebooted_and_switched_off_from_inside(cluster: Testbed) -> None:
    first = next(row.pid for row in cluster.status().nodes if row.name == "node2")
    cli("ssh", "node2", "--", "sudo reboot")

    def row() -> NodeStatus:
        return cluster.status().nodes[1]

    wait_until(lambda: (found := row()).state == "running" and found.pid != first, row)
    cli("ssh", "node2", "--", "sudo poweroff")
    wait_until_off(cluster, "node2")
    cluster.start(["node2"])
    assert cluster.status().running


def test_a_node_that_was_switched_off_is_started_also_while_its_supervisor_is_still_ending(cluster: Testbed) -> None:
    before = supervisor(cluster.node("node2"))
    assert before is not None
    os.kill(before.pid, signal.SIGSTOP)
    ending = threading.Timer(0.5, os.kill, (before.pid, signal.SIGCONT))
    try:
        cli("ssh", "node2", "--", "sudo poweroff")
        wait_until_off(cluster, "node2")
    finally:
        ending.start()
    cluster.start(["node2"])
    assert cluster.status().running
    assert supervisor(cluster.node("node2")) != before


def test_a_shuffle_moves_every_chosen_node_and_no_other(cluster: Testbed) -> None:
    before = addresses(cluster)
    cluster.reboot(shuffle=True)
    after = addresses(cluster)
    assert all(after[name] != before[name] for name in before)
    assert sorted(map(str, after.values())) == sorted(map(str, before.values()))
    apart = next(name for name, address in after.items() if address == cluster.node("node4").cluster_address)
    cluster.reboot([apart], shuffle=True)
    last = addresses(cluster)
    assert last[apart] != after[apart]
    assert {name: last[name] for name in last if name != apart} == {
        name: after[name] for name in after if name != apart
    }


def test_a_node_that_fixes_its_address_keeps_it_whatever_dhcp_says(cluster: Testbed) -> None:
    wanted = str(cluster.layout.cluster[44])
    store = {node.cluster_address for node in cluster.layout.etcd_nodes}
    # An engine whose store has an address that belongs to nobody takes ten seconds to start.
    name = next(name for name, address in addresses(cluster).items() if address not in store)
    script = f"kill $(cat /var/run/udhcpc.eth1.pid)\nifconfig eth1 {wanted} netmask 255.255.255.0 up\n"
    bootsync = cluster.node(name).disk / "bootsync.sh"
    bootsync.write_text(script)
    try:
        cluster.reboot([name], shuffle=True)
        assert addresses(cluster)[name] == wanted
    finally:
        bootsync.unlink()
        cluster.reboot([name])


def test_a_pulled_cable_cuts_a_node_off_until_it_is_plugged_in_again(cluster: Testbed) -> None:
    target = addresses(cluster)["node2"]
    ping = f"ping -c 1 -W 1 {target} >/dev/null && echo answers || echo silent"
    cluster.cut("node2")
    assert on(cluster, "node1", ping) == "silent"
    assert on(cluster, "node2", "hostname") == "node2", "the management network still reaches it"
    cluster.restore("node2")
    assert on(cluster, "node1", ping) == "answers"


def test_etcd_keeps_its_members_over_a_power_cut_of_all_nodes(cluster: Testbed) -> None:
    moved = {node.name: node for node in cluster.status().nodes if node.cluster_address != node.inventory_address}
    if moved:
        fix_addresses(cluster)
    start_etcd(cluster)
    wait_for_leader(cluster)
    on(cluster, "node1", "docker exec -e ETCDCTL_API=3 etcd1 etcdctl put /proof kept")
    cluster.reboot(hard=True)
    start_etcd(cluster)
    wait_for_leader(cluster)
    assert "kept" in on(cluster, "node3", "docker exec -e ETCDCTL_API=3 etcd3 etcdctl get /proof")


def fix_addresses(testbed: Testbed) -> None:
    for node in testbed.layout.nodes:
        script = (
            f"kill $(cat /var/run/udhcpc.eth1.pid)\nifconfig eth1 {node.cluster_address} netmask 255.255.255.0 up\n"
        )
        (node.disk / "bootsync.sh").write_text(script)
    testbed.reboot()


def start_etcd(testbed: Testbed) -> None:
    def start(index: int) -> None:
        with engine(testbed, f"node{index}") as node:
            node.start(f"etcd{index}")

    # At once, as booting nodes do it: an engine whose store listens but has no leader yet waits half a minute.
    with ThreadPoolExecutor() as pool:
        list(pool.map(start, (1, 2, 3)))


def wait_for_leader(testbed: Testbed) -> None:
    health = "docker exec -e ETCDCTL_API=3 etcd1 etcdctl endpoint health >/dev/null 2>&1 && echo healthy || echo ill"
    wait_until(lambda: on(testbed, "node1", health) == "healthy", "etcd has a leader", pause=0.3)
