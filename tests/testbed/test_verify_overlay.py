"""Pings, convergence and the experiment with docker_gwbridge, on a real overlay."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import DeadlineError, InputError, PreconditionError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.overlay.hidden_namespace import read_hidden_namespace
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Probes, Timeouts
from runbook_lib.model.results import Verdict
from runbook_lib.testbed import Testbed
from runbook_lib.verify.convergence import Watch, measure
from runbook_lib.verify.gateway_bridge import BridgeExperiment, gateway_bridge_experiment
from runbook_lib.verify.ping_matrix import ping_matrix, ping_pair
from runbook_lib.verify.preflight import why_lost
from runbook_lib.verify.prober import Method
from tests.testbed.verify_cluster import (
    FIRST,
    NETWORK,
    PLACES,
    SECOND,
    broken,
    dropping,
    remove,
    start_containers,
    start_store,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True


@pytest.fixture(scope="module", autouse=True)
def overlay(run: Run) -> Iterator[None]:
    with Cluster(run.inventory) as cluster:
        remove(cluster)
        start_store(cluster)
        start_containers(cluster)
        yield
        remove(cluster)


@pytest.mark.parametrize("method", ["auto", "perl", "ping", "exec"])
def test_every_pair_answers_by_name_and_by_address_whatever_the_prober(cluster: Cluster, method: Method) -> None:
    rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, method=method)
    assert [(row.source, row.target, row.by) for row in rows] == [
        (FIRST, SECOND, "name"),
        (FIRST, SECOND, "address"),
        (SECOND, FIRST, "name"),
        (SECOND, FIRST, "address"),
    ]
    assert {row.verdict for row in rows} == {Verdict.PASS}, [row.detail for row in rows]
    assert {(row.sent, row.source_node) for row in rows} == {(3, PLACES[FIRST]), (3, PLACES[SECOND])}
    assert all(row.avg_ms is not None and row.avg_ms < 1000 for row in rows)
    assert {row.largest for row in rows} == {1450}
    assert {(row.unproven, row.whole) for row in rows} == {((), True)}


@pytest.mark.parametrize("without", [[SECOND], [FIRST, SECOND]])
def test_fifty_probes_pass_where_the_nodes_of_some_or_all_containers_have_no_perl(
    cluster: Cluster, without: list[str]
) -> None:
    with contextlib.ExitStack() as stack:
        for name in without:
            hidden = "mv /usr/bin/perl /usr/bin/perl.away"
            stack.enter_context(broken(cluster.node(PLACES[name]), hidden, "mv /usr/bin/perl.away /usr/bin/perl"))
        for _ in range(2):
            rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, Probes(count=50), by=["address"])
            assert {row.verdict for row in rows} == {Verdict.PASS}, [row.detail for row in rows]
            assert {row.unproven for row in rows} == {()}


@pytest.mark.parametrize("method", ["perl", "ping", "exec"])
def test_a_prober_leaves_no_process_in_a_container_not_even_a_zombie(cluster: Cluster, method: Method) -> None:
    ping_matrix(cluster, [FIRST, SECOND], NETWORK, method=method)
    for name, place in PLACES.items():
        _, table = cluster.node(place).engine.execute(name, ["ps"])
        assert [line.split()[2:] for line in table.splitlines()[1:]] == [["sleep", "100000"], ["ps"]]


@pytest.mark.parametrize("method", ["perl", "ping", "exec"])
def test_a_disconnected_container_rightly_neither_resolves_nor_answers(cluster: Cluster, method: Method) -> None:
    engine = cluster.node(PLACES[SECOND]).engine
    address = engine.container(SECOND)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    engine.disconnect(SECOND, NETWORK)
    try:
        rows = ping_matrix(
            cluster,
            [FIRST, SECOND],
            NETWORK,
            expect_unreachable=[SECOND],
            last_known={SECOND: address},
            method=method,
        )
    finally:
        engine.connect(SECOND, NETWORK)
    assert {row.verdict for row in rows} == {Verdict.PASS}, [row.detail for row in rows]
    details = {(row.source, row.by): row.detail for row in rows}
    assert details[FIRST, "name"].startswith("no resolution")
    assert details[FIRST, "address"] == f"no answer from {address}, as expected"


def test_a_reachable_peer_that_was_expected_to_be_silent_fails(cluster: Cluster) -> None:
    (row,) = ping_pair(cluster, FIRST, SECOND, NETWORK, by=["address"], expected="unreachable")
    assert row.verdict is Verdict.FAIL
    assert "though it should not" in row.detail


def test_a_node_that_does_not_answer_leaves_its_pairs_unprobed_and_the_others_probed(
    testbed: Testbed, run: Run
) -> None:
    testbed.cut(PLACES[SECOND], management=True)
    try:
        with Cluster(run.inventory, Timeouts(connect=5, command=20)) as cluster:
            rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["name"])
    finally:
        testbed.restore(PLACES[SECOND])
    assert [row.verdict for row in rows] == [Verdict.FAIL, Verdict.FAIL]
    assert rows[0].sent == 0 or rows[0].received == 0
    assert rows[1].detail.startswith(f"not probed: {PLACES[SECOND]} does not answer")


def test_names_that_no_node_has_and_senseless_matrices_are_refused(cluster: Cluster) -> None:
    with pytest.raises(PreconditionError, match="no node has a container named nobody"):
        ping_matrix(cluster, [FIRST, "nobody"], NETWORK)
    with pytest.raises(InputError, match="two or more different containers"):
        ping_matrix(cluster, [FIRST], NETWORK)


@pytest.mark.parametrize("method", ["perl", "ping", "exec"])
def test_a_path_that_drops_large_packets_fails_whatever_the_prober(cluster: Cluster, method: Method) -> None:
    rule = "INPUT -p udp --dport 4789 -m length --length 200:"
    with dropping(cluster.node(PLACES[SECOND]), rule):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"], method=method)
    assert {(row.verdict, row.received, row.largest) for row in rows} == {(Verdict.FAIL, 3, 100)}
    assert all(re.search(r"\b\d{1,2} of 4350 bytes came back", row.detail) for row in rows)


def test_a_packet_that_busyboxs_ping_sends_in_fragments_is_no_whole_one(cluster: Cluster) -> None:
    here, there = cluster.node(PLACES[FIRST]), cluster.node(PLACES[SECOND])
    inside = f"nsenter --net=/proc/{here.engine.container(FIRST)['State']['Pid']}/ns/net ip route"
    address = there.engine.container(SECOND)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    narrow = f"{address} dev $({inside} get {address} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p') mtu 1350"
    with broken(here, f"{inside} add {narrow}", f"{inside} del {address}"):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"], method="exec")
    assert {(row.source, row.largest, row.whole) for row in rows} == {(FIRST, 1450, False), (SECOND, 1450, True)}
    assert rows[0].unproven == ("what passed may have been cut into fragments: this ping cannot forbid it",)


def test_packets_that_are_lost_now_and_then_fail(cluster: Cluster) -> None:
    rule = "INPUT -p udp --dport 4789 -m statistic --mode nth --every 5 --packet 0"
    with dropping(cluster.node(PLACES[SECOND]), rule):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, Probes(count=50), by=["address"])
    assert {row.verdict for row in rows} == {Verdict.FAIL}, [row.detail for row in rows]


def test_a_missing_forwarding_row_fails_its_direction_although_the_other_one_teaches_it(cluster: Cluster) -> None:
    here, there = cluster.node(PLACES[FIRST]), cluster.node(PLACES[SECOND])
    found = there.engine.container(SECOND)["NetworkSettings"]["Networks"][NETWORK]
    hidden = read_hidden_namespace(here, found["NetworkID"])
    assert hidden is not None
    table = f"nsenter --net={hidden.path} bridge fdb"
    row = f"{found['MacAddress']} dev vxlan0 dst {there.spec.cluster_address} self"
    with broken(here, f"{table} del {row}", f"{table} replace {row} permanent"):
        # the second time the answers of the first have taught the bridge, and it would go unseen
        for _ in range(2):
            rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
            assert [(row.source, row.verdict) for row in rows] == [(FIRST, Verdict.FAIL), (SECOND, Verdict.PASS)]
            assert "forwarding table before the first packet" in rows[0].detail
    rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
    assert {row.verdict for row in rows} == {Verdict.PASS}


@pytest.mark.parametrize("method", ["perl", "ping", "exec"])
def test_a_resolver_whose_rules_were_flushed_is_called_that(cluster: Cluster, method: Method) -> None:
    node = cluster.node(PLACES[FIRST])
    rules = f"nsenter --net=/proc/{node.engine.container(FIRST)['State']['Pid']}/ns/net iptables-save -t nat"
    saved = node.ssh.run(["sh", "-c", rules], sudo=True).stdout
    flush = rules.replace("iptables-save -t nat", "iptables -t nat -F")
    with broken(node, flush, f"{rules.replace('-save -t nat', '-restore')} <<'RULES'\n{saved}\nRULES"):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["name"], method=method)
    assert [row.verdict for row in rows] == [Verdict.FAIL, Verdict.PASS]
    assert "the rules (DNAT) are gone" in rows[0].detail
    assert rows[0].remedy.startswith(f"docker restart {FIRST}")


def test_a_lost_pair_carries_what_the_ports_and_tables_say_and_nothing_is_looked_at_otherwise(
    cluster: Cluster, run: Run
) -> None:
    overlay = run.parameters.overlay.model_copy(update={"name": NETWORK})
    control_plane = control_plane_of(run.parameters)
    rule = "INPUT -p udp --dport 4789"
    with dropping(cluster.node(PLACES[SECOND]), rule):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
        (why,) = why_lost(cluster, control_plane, overlay, rows)
    assert (why.check, why.node, why.verdict) == ("udp 4789 between nodes", PLACES[SECOND], Verdict.FAIL)
    assert "open udp 4789" in why.remedy
    rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
    assert why_lost(cluster, control_plane, overlay, rows) == ()


def test_disconnect_and_connect_are_seen_by_the_peer(cluster: Cluster) -> None:
    engine = cluster.node(PLACES[SECOND]).engine
    lost = measure(
        cluster, FIRST, SECOND, NETWORK, "disconnect", lambda: engine.disconnect(SECOND, NETWORK), reachable=False
    )
    back = measure(cluster, FIRST, SECOND, NETWORK, "connect", lambda: engine.connect(SECOND, NETWORK), reachable=True)
    assert lost.converged
    assert back.converged
    assert lost.samples[0].answered
    assert not back.samples[0].answered
    assert min(sample.elapsed for sample in back.samples) < 0 < max(sample.elapsed for sample in back.samples)


def test_a_watch_ends_on_the_node_when_its_context_does(cluster: Cluster) -> None:
    node = cluster.node(PLACES[FIRST])

    def samplers() -> int:
        script = 'grep -lsa "sampler[=]" /proc/[0-9]*/cmdline | wc -l'  # a pattern that does not match itself
        return int(node.ssh.run(["sh", "-c", script], sudo=True).stdout)

    def fail_while_watching() -> None:
        with Watch(cluster, FIRST, SECOND, NETWORK):
            assert samplers() > 0
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail_while_watching()
    wait_until(lambda: samplers() == 0, pause=0.2)


def test_a_change_that_does_not_come_is_a_deadline_and_says_what_was_seen(cluster: Cluster) -> None:
    with pytest.raises(DeadlineError, match=r"it resolves to .*, and it answers"):
        measure(cluster, FIRST, SECOND, NETWORK, "nothing", lambda: None, reachable=False, timeout=3)


def test_docker_gwbridge_carries_what_leaves_the_cluster_and_nothing_else(cluster: Cluster) -> None:
    experiment = gateway_bridge_experiment(cluster, FIRST, SECOND, NETWORK)
    assert_all_pass(experiment)
    moved = {(row.traffic, row.role): row.moved for row in experiment.traffic}
    assert moved["east-west", "container on overlay"] >= 40
    assert moved["north-south", "container on gateway bridge"] >= 40


@pytest.mark.parametrize(
    ("inject", "heal", "found"),
    [
        ("ip link set docker_gwbridge down", "ip link set docker_gwbridge up", "docker_gwbridge is down"),
        ("sysctl -w net.ipv4.ip_forward=0", "sysctl -w net.ipv4.ip_forward=1", "does not forward"),
        (
            "iptables-save >/tmp/rules; iptables -P FORWARD DROP; iptables -F FORWARD",
            "iptables-restore </tmp/rules",
            "chain FORWARD drops all",
        ),
    ],
)
def test_a_way_out_that_is_closed_on_the_second_containers_node_is_found_there(
    cluster: Cluster, inject: str, heal: str, found: str
) -> None:
    node = cluster.node(PLACES[SECOND])
    node.ssh.run(["sh", "-c", inject], sudo=True)
    try:
        checks = gateway_bridge_experiment(cluster, FIRST, SECOND, NETWORK, packets=5).checks
    finally:
        node.ssh.run(["sh", "-c", heal], sudo=True)
    (row,) = [check for check in checks if check.verdict is Verdict.FAIL]
    assert row.node == node.name
    assert found in row.found
    assert row.remedy


def test_the_experiment_needs_two_nodes(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="no packet would leave the node"):
        gateway_bridge_experiment(cluster, FIRST, FIRST, NETWORK)


def test_questions_that_a_container_asked_just_before_are_not_counted_as_its_pings(cluster: Cluster) -> None:
    # names that no container has are asked for outside, over docker_gwbridge
    ask = "for i in $(seq 60); do nslookup nobody$i >/dev/null 2>&1 & sleep 0.05; done"
    cluster.node(PLACES[FIRST]).ssh.run(["docker", "exec", "-d", FIRST, "sh", "-c", ask])
    assert_all_pass(gateway_bridge_experiment(cluster, FIRST, SECOND, NETWORK))


def assert_all_pass(experiment: BridgeExperiment) -> None:
    found = "; ".join(f"{check.verdict}: {check.found}" for check in experiment.checks)
    assert {check.verdict for check in experiment.checks} == {Verdict.PASS}, found


# The last one: the containers' kernel remembers the smaller way for ten minutes, and iputils' ping obeys it.
def test_an_interface_that_takes_less_than_the_overlay_assumes_fails_and_the_row_says_what_passes(
    cluster: Cluster,
) -> None:
    with broken(cluster.node(PLACES[FIRST]), "ip link set eth1 mtu 1400", "ip link set eth1 mtu 1500"):
        rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
    assert {(row.verdict, row.received, row.largest) for row in rows} == {(Verdict.FAIL, 3, 1350)}
    assert "com.docker.network.driver.mtu: 1350" in rows[0].remedy
    rows = ping_matrix(cluster, [FIRST, SECOND], NETWORK, by=["address"])
    assert {(row.verdict, row.largest) for row in rows} == {(Verdict.PASS, 1450)}
