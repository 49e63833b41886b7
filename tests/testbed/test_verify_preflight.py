"""Pre-flight checks on real nodes: what is open passes, what is closed is found, and nothing is left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Timeouts
from runbook_lib.model.results import Check, Verdict
from runbook_lib.testbed import Testbed
from runbook_lib.verify.members import check_members
from runbook_lib.verify.preflight import preflight
from runbook_lib.verify.prober import program
from tests.testbed.verify_cluster import broken, dropping, remove, start_store
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True
RULES = "for table in security nat mangle filter; do iptables -t $table -S; done"


@pytest.fixture(scope="module", autouse=True)
def store(run: Run) -> Iterator[None]:
    with Cluster(run.inventory) as cluster:
        start_store(cluster)
        yield
        remove(cluster)


def checks(cluster: Cluster, run: Run) -> tuple[Check, ...]:
    return preflight(cluster, control_plane_of(run.parameters), run.parameters.overlay)


def bad(rows: tuple[Check, ...]) -> list[tuple[str, str]]:
    return [(row.check, row.node) for row in rows if row.verdict is Verdict.FAIL]


def rules(cluster: Cluster) -> list[str]:
    outcomes = cluster.each(lambda node: node.ssh.run(["sh", "-c", RULES], sudo=True).stdout)
    return [outcome.result for outcome in outcomes]


def test_a_healthy_cluster_has_no_failure_and_keeps_its_firewall_as_it_was(cluster: Cluster, run: Run) -> None:
    checks(cluster, run)  # the tables themselves come into being at first use
    before = rules(cluster)
    rows = checks(cluster, run)
    assert bad(rows) == []
    assert {row.node for row in rows if row.check == "udp 4789 between nodes"} == set(run.inventory.names)
    assert rules(cluster) == before


@pytest.mark.parametrize(("protocol", "port"), [("udp", 4789), ("udp", 7946), ("tcp", 7946)])
def test_a_closed_port_is_found_on_the_node_that_closes_it(
    cluster: Cluster, run: Run, protocol: str, port: int
) -> None:
    with dropping(cluster.node("node2"), f"INPUT -i eth1 -p {protocol} --dport {port}"):
        rows = checks(cluster, run)
    assert bad(rows) == [(f"{protocol} {port} between nodes", "node2")]


@pytest.mark.parametrize(("protocol", "port"), [("udp", 4789), ("tcp", 7946)])
def test_what_a_node_does_not_let_out_is_found_on_that_node(
    cluster: Cluster, run: Run, protocol: str, port: int
) -> None:
    with dropping(cluster.node("node2"), f"OUTPUT -o eth1 -p {protocol} --dport {port}"):
        rows = checks(cluster, run)
    assert bad(rows) == [(f"{protocol} {port} between nodes", "node2")]
    assert "out on node2" in " ".join(row.remedy for row in rows)


@pytest.mark.parametrize("chain", ["INPUT", "OUTPUT"])
def test_a_node_that_drops_large_packets_is_found_though_small_ones_pass(
    cluster: Cluster, run: Run, chain: str
) -> None:
    with dropping(cluster.node("node2"), f"{chain} -p udp --dport 4789 -m length --length 200:"):
        rows = checks(cluster, run)
    assert bad(rows) == [("full-size packets between nodes", "node2")]


def test_a_node_whose_interface_takes_less_than_the_others_is_found(cluster: Cluster, run: Run) -> None:
    with broken(cluster.node("node2"), "ip link set eth1 mtu 1400", "ip link set eth1 mtu 1500"):
        rows = checks(cluster, run)
    assert bad(rows) == [("full-size packets between nodes", "node2")]
    assert "ip link set eth1 mtu 1500 on node2" in " ".join(row.remedy for row in rows)


def test_a_route_astray_under_a_strict_reverse_path_filter_is_called_that_and_no_closed_port(
    cluster: Cluster, run: Run
) -> None:
    node, target = cluster.node("node2"), f"{cluster.node('node1').spec.cluster_address}/32"
    node.ssh.run(["sysctl", "-w", "net.ipv4.conf.eth1.rp_filter=1"], sudo=True)
    node.ssh.run(["ip", "route", "add", target, "dev", "eth0"], sudo=True)
    try:
        rows = checks(cluster, run)
    finally:
        node.ssh.run(["ip", "route", "del", target], sudo=True)
        node.ssh.run(["sysctl", "-w", "net.ipv4.conf.eth1.rp_filter=0"], sudo=True)
    found = {row.check: row for row in rows if row.verdict is Verdict.FAIL}
    assert {row.node for row in found.values()} == {"node2"}
    assert "dropped by its reverse-path filter" in found["udp 4789 between nodes"].found
    assert "open" not in found["udp 4789 between nodes"].remedy


def test_a_lost_quorum_fails_with_how_many_of_how_many_and_passes_when_it_is_back(cluster: Cluster, run: Run) -> None:
    for name in ("node1", "node2"):
        cluster.node(name).ssh.run(["docker", "stop", "-t", "1", f"etcd{name[-1]}"])
    try:
        lost = list(check_members(cluster, control_plane_of(run.parameters)))[-1]
    finally:
        # The third one too: an engine whose store listens but has no leader waits for most of a minute.
        cluster.node("node3").ssh.run(["docker", "stop", "-t", "1", "etcd3"])
        start_store(cluster)
    assert (lost.verdict, lost.node) == (Verdict.FAIL, "node1, node2")
    assert lost.found.startswith("0 of 3 healthy")
    assert {row.verdict for row in check_members(cluster, control_plane_of(run.parameters))} == {Verdict.PASS}


def test_an_alarm_of_etcd_is_called_one_and_not_a_lost_quorum(cluster: Cluster, run: Run) -> None:
    node = cluster.node("node1")
    url = f"http://{node.spec.cluster_address}:2379/v3/maintenance"
    number = re.search(r'"member_id":"(\d+)"', node.ssh.run(["curl", "-sd", "{}", f"{url}/status"]).stdout)
    assert number
    alarm = '{"action":"%s","memberID":"%s","alarm":"NOSPACE"}'
    node.ssh.run(["curl", "-sd", alarm % ("ACTIVATE", number[1]), f"{url}/alarm"])
    try:
        rows = list(check_members(cluster, control_plane_of(run.parameters)))
    finally:
        node.ssh.run(["curl", "-sd", alarm % ("DEACTIVATE", number[1]), f"{url}/alarm"])
    assert [row.verdict for row in rows] == [Verdict.WARN] * 3 + [Verdict.PASS]
    assert {"alarm NOSPACE" in row.found and "etcdctl alarm disarm" in row.remedy for row in rows[:3]} == {True}


def test_counting_rules_remove_themselves_when_nobody_comes_back(cluster: Cluster) -> None:
    node = cluster.node("node1")
    started = node.ssh.script(program("count.sh"), "start", "RUNBOOK-test", "1", "37", "udp:1", "192.0.2.1", sudo=True)
    assert "counting " in started.stdout
    assert "RUNBOOK-test" in node.ssh.run(["sh", "-c", RULES], sudo=True).stdout
    wait_until(
        lambda: "RUNBOOK-test" not in node.ssh.run(["sh", "-c", RULES], sudo=True).stdout, "they are gone", pause=0.2
    )


def test_a_node_that_is_cut_off_fails_its_checks_and_the_others_still_answer(testbed: Testbed, run: Run) -> None:
    testbed.cut("node4", management=True)
    try:
        with Cluster(run.inventory, Timeouts(connect=5, command=20)) as cluster:
            rows = checks(cluster, run)
    finally:
        testbed.restore("node4")
    assert ("engine", "node4") in bad(rows)
    assert ("kernel vxlan", "node4") in bad(rows)
    assert not [
        row for row in rows if row.node == "node1" and row.check == "kernel vxlan" and row.verdict is Verdict.FAIL
    ]
