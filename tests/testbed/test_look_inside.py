"""What notebook 07 shows, held against the kernel and the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError, PreconditionError
from runbook_lib.facts.docker.containers import read_container
from runbook_lib.facts.docker.networks import read_network
from runbook_lib.model.loading import Run
from runbook_lib.model.results import Verdict
from runbook_lib.session.claim import Claim
from runbook_lib.session.questions.inspection import Inspection
from runbook_lib.session.questions.recorded_tables import Kept
from runbook_lib.verify.capture import capture_ping
from runbook_lib.verify.gateway_bridge import gateway_bridge_experiment
from runbook_lib.verify.preflight import FULL_SIZE
from tests.testbed.verify_cluster import FIRST, NETWORK, PLACES, SECOND, remove, start_containers, start_store

pytestmark = pytest.mark.testbed


@pytest.fixture(scope="module")
def overlay(run: Run) -> Iterator[None]:
    with Cluster(run.inventory) as cluster:
        start_store(cluster)
        start_containers(cluster)
        yield
        remove(cluster)


@pytest.fixture
def inspect(cluster: Cluster, run: Run, overlay: None) -> Inspection:
    wanted = run.parameters.overlay.model_copy(update={"name": NETWORK})
    containers = tuple(
        spec.model_copy(update={"name": name}) for spec, name in zip(run.parameters.containers, PLACES, strict=True)
    )
    changed = run.parameters.model_copy(update={"overlay": wanted, "containers": containers})
    return Inspection(cluster, changed, Kept(), Claim(cluster.inventory, "test"))


def test_the_overlay_is_on_the_nodes_of_its_containers_under_one_number(inspect: Inspection) -> None:
    table = inspect.namespaces().set_index("node")
    assert set(table.index[table["hidden namespace"] != ""]) == set(PLACES.values())
    assert set(table["VNI"].dropna()) == {256}


def test_what_is_not_ours_is_told_apart_and_the_kernel_s_own_devices_are_left_out(
    inspect: Inspection, cluster: Cluster, overlay: None
) -> None:
    here, third = cluster.node(PLACES[FIRST]), cluster.node("node1")
    own = read_container(here, FIRST)
    assert own is not None
    hidden = inspect.namespaces().set_index("node").loc[here.name, "hidden namespace"]
    inside, mine = inspect.inside(), inspect.container(FIRST)
    device = "ip link add sit0 type dummy 2>/dev/null || ip link add sit0 type ifb; ip link add tunl0 type ifb || :"
    files = [f"/var/run/docker/netns/{hidden}", f"/proc/{own.pid}/ns/net"]
    for file in files:
        here.ssh.run(["nsenter", f"--net={file}", "sh", "-c", device], sudo=True)
    third.engine.create_container("theirs", "alpine", command=["sleep", "100000"], network=NETWORK)
    third.engine.start("theirs")
    try:
        pd.testing.assert_frame_equal(inspect.container(FIRST), mine)
        pd.testing.assert_frame_equal(inspect.inside().query("node != 'node1'").reset_index(drop=True), inside)
        row = inspect.namespaces().set_index("node").loc["node1"]
        assert (row["hidden namespace"] != "", row["containers here"], row["others here"]) == (True, "", "theirs")
        stored = inspect.stored_endpoints().set_index("container")
        assert stored["ours"].to_dict() == {FIRST: True, SECOND: True, "theirs": False}
    finally:
        third.engine.remove_container("theirs", force=True)
        for file in files:
            here.ssh.run(
                ["nsenter", f"--net={file}", "sh", "-c", "ip link del sit0; ip link del tunl0 || :"], sudo=True
            )


def test_the_namespace_is_found_however_often_the_engine_has_made_it(inspect: Inspection, cluster: Cluster) -> None:
    node = cluster.node(PLACES[FIRST])
    for _ in range(10):
        node.engine.disconnect(FIRST, NETWORK)
        node.engine.connect(FIRST, NETWORK)
    name = inspect.namespaces().set_index("node").loc[node.name, "hidden namespace"]
    number, _, digits = name.partition("-")
    assert int(number) > 9, name
    assert inspect.namespaces()["VNI"].nunique() == 1
    network = read_network(node, NETWORK)
    assert network is not None
    assert (len(name), network.id.startswith(digits)) == (12, True)
    experiment = gateway_bridge_experiment(cluster, FIRST, SECOND, NETWORK, packets=5)
    assert {row.place for row in experiment.traffic} == {"node", "overlay", "container"}


def test_the_tables_lead_to_the_node_of_the_other_container(inspect: Inspection, cluster: Cluster) -> None:
    inspect.ping()  # whatever an engine has not heard of is asked for now
    table = inspect.tables().table
    rows = table[table["table"] == "forwarding"].set_index("node")
    here, there = PLACES[FIRST], PLACES[SECOND]
    assert rows.loc[here, "it says"] == cluster.node(there).spec.cluster_address
    assert rows.loc[there, "it says"] == cluster.node(here).spec.cluster_address
    assert set(table["verdict"]) == {"pass"}


def test_a_row_that_somebody_bent_is_found(inspect: Inspection, cluster: Cluster) -> None:
    node, other = cluster.node(PLACES[FIRST]), cluster.node(PLACES[SECOND])
    mac = other.engine.container(SECOND)["NetworkSettings"]["Networks"][NETWORK]["MacAddress"]
    name = inspect.namespaces().set_index("node").loc[node.name, "hidden namespace"]
    bridge = ["nsenter", f"--net=/var/run/docker/netns/{name}", "bridge", "fdb", "replace", mac, "dev", "vxlan0", "dst"]
    node.ssh.run([*bridge, "192.0.2.1"], sudo=True)
    try:
        (wrong,) = [check for check in inspect.tables().checks if check.verdict is Verdict.FAIL]
    finally:
        node.ssh.run([*bridge, other.spec.cluster_address], sudo=True)
    assert wrong.node == node.name
    assert "192.0.2.1" in wrong.found


def test_a_missing_row_whose_neighbour_entry_exists_fails_and_its_remedy_repairs_it(
    inspect: Inspection, cluster: Cluster
) -> None:
    node, other = cluster.node(PLACES[FIRST]), cluster.node(PLACES[SECOND])
    mac = other.engine.container(SECOND)["NetworkSettings"]["Networks"][NETWORK]["MacAddress"]
    name = inspect.namespaces().set_index("node").loc[node.name, "hidden namespace"]
    row = f"{mac} dev vxlan0 dst {other.spec.cluster_address} self"
    table = f"nsenter --net=/var/run/docker/netns/{name} bridge fdb"
    node.ssh.run(["sh", "-c", f"{table} del {row}"], sudo=True)
    try:
        (missing,) = [check for check in inspect.tables().checks if check.verdict is Verdict.FAIL]
    finally:
        node.ssh.run(["sh", "-c", f"{table} replace {row} permanent"], sudo=True)
    assert missing.node == node.name
    assert "no entry, although" in missing.found
    assert missing.remedy.endswith(f"on {node.name} as root: {table} replace {row} permanent")
    assert {check.verdict for check in inspect.tables().checks} == {Verdict.PASS}


def test_one_ping_is_seen_four_times_and_costs_50_bytes_more_outside(cluster: Cluster, overlay: None) -> None:
    capture = capture_ping(cluster, FIRST, SECOND, NETWORK)
    assert not capture.impossible
    assert {check.verdict for check in capture.checks} == {Verdict.PASS}, capture.checks
    assert [packet.overhead for packet in capture.packets] == [50] * 4
    assert {packet.vni for packet in capture.packets} == {256}
    largest = capture_ping(cluster, FIRST, SECOND, NETWORK, size=1422)
    assert {packet.length_from("outer IPv4") for packet in largest.packets} == {1500}


def test_where_nothing_can_be_captured_it_is_skipped_with_the_reason(run: Run, overlay: None) -> None:
    network = run.inventory.network.model_copy(update={"interface": "eth9"})
    with Cluster(run.inventory.model_copy(update={"network": network})) as cluster:
        capture = capture_ping(cluster, FIRST, SECOND, NETWORK)
    assert capture.packets == ()
    assert "there is no interface eth9" in capture.impossible
    assert [check.verdict for check in capture.checks] == [Verdict.SKIP]


def test_a_ping_needs_two_containers_on_two_nodes(cluster: Cluster, overlay: None) -> None:
    with pytest.raises(InputError, match="no packet would leave the node"):
        capture_ping(cluster, FIRST, FIRST, NETWORK)
    with pytest.raises(PreconditionError, match="no node has a container named nobody"):
        capture_ping(cluster, FIRST, "nobody", NETWORK)
    with pytest.raises(InputError, match="a ping cannot carry"):
        capture_ping(cluster, FIRST, SECOND, NETWORK, size=70000)


def test_a_path_that_drops_large_packets_while_all_interfaces_are_equal_is_named_with_its_node(
    inspect: Inspection, cluster: Cluster
) -> None:
    node = cluster.node(PLACES[FIRST])
    rule = ["INPUT", "-p", "udp", "--dport", "4789", "-m", "length", "--length", "200:", "-j", "DROP"]
    node.ssh.run(["iptables", "-I", *rule], sudo=True)
    try:
        failed = [check for check in inspect.mtu().checks if check.verdict is Verdict.FAIL]
    finally:
        node.ssh.run(["iptables", "-D", *rule], sudo=True)
    assert [check.remedy for check in failed[:-1]] == [f"first mend what is said of {node.name}"] * 2
    assert (failed[-1].check, failed[-1].node) == (FULL_SIZE, node.name)
    assert f"check on {node.name} what drops udp 4789 by its length" in failed[-1].remedy


# The last one: the containers' kernel remembers for ten minutes how little passed.
def test_the_room_for_a_packet_fails_where_an_interface_has_less_and_says_what_to_do(
    inspect: Inspection, cluster: Cluster
) -> None:
    assert {check.verdict for check in inspect.mtu().checks} == {Verdict.PASS}
    node = cluster.node(PLACES[FIRST])
    node.ssh.run(["ip", "link", "set", "eth1", "mtu", "1400"], sudo=True)
    try:
        room = inspect.mtu()
    finally:
        node.ssh.run(["ip", "link", "set", "eth1", "mtu", "1500"], sudo=True)
    failed = [check for check in room.checks if check.verdict is Verdict.FAIL]
    assert failed[0].node == node.name
    assert f"ip link set eth1 mtu 1500 on {node.name}" in failed[0].remedy
    assert [check.check for check in failed[1:]] == [
        f"{FIRST}'s largest packet reaches {SECOND}",
        f"{SECOND}'s largest packet reaches {FIRST}",
    ]
