from __future__ import annotations

import pandas as pd
import pytest

from runbook_lib import tables
from runbook_lib.facts.control_planes.base import Member, Registration
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.facts.host.host import HostFacts
from runbook_lib.facts.overlay.interfaces import ContainerInterface, HostInterface, Route
from runbook_lib.model.results import Check, Probe, Status, StepResult, Verdict

GOOD = Probe(
    "alpine1", "node3", "alpine2", "node4", "name", "10.0.0.3", 3, 3, 0.0, 0.1, 0.2, 0.3, 0.9, "reachable",
    Verdict.PASS, "",
)  # fmt: skip
LOST = Probe(
    "alpine1", "node3", "alpine2", "node4", "name", "", 3, 0, 100.0, None, None, None, None, "reachable",
    Verdict.FAIL, "",
)  # fmt: skip
ADDRESS = ClusterAddress("node1", "eth1", "192.168.99.104", 24, "02:00:00:00:01:01", "192.168.99.104", "static")
CONTAINER = ContainerFacts(
    "node3", "f" * 64, "alpine1", "alpine", "sha256:0", "sh", "running", "running since now", "no",
    addresses={"ovr0": "10.0.0.2", "bridge": "172.17.0.2"},
)  # fmt: skip


def network(node: str, name: str = "ovr0", identity: str = "a" * 64, driver: str = "overlay") -> NetworkFacts:
    return NetworkFacts(node, identity, name, driver, "global", "10.0.0.0/24", "")


ONE_ROW = {
    "addresses": (tables.addresses, ADDRESS),
    "engines": (
        tables.engines,
        EngineFacts("node1", "20.10", "1.41", "ID", "etcd", "etcd://x", "y", "overlay2", "6", "Debian", 3),
    ),
    "hosts": (tables.hosts, HostFacts("node1", "boot", 1795458252.5, -1.5, 10.0, "6.1")),
    "members": (tables.members, Member("etcd1", "node1", "running", "no", "healthy", True, "http://x:2379")),
    "registrations": (tables.registrations, Registration("node1", "x:2376", True, 4.0)),
    "networks": (tables.networks, network("node1")),
    "network_summary": (tables.network_summary, network("node1")),
    "endpoints": (
        tables.endpoints,
        Endpoint("alpine1", "e" * 64, "02:42:0a:00:00:02", "10.0.0.2", 24, "c", "alpine1", "node3"),
    ),
    "containers": (tables.containers, CONTAINER),
    "interfaces": (
        tables.interfaces,
        ContainerInterface("alpine1", "node3", "eth0", "10.0.0.2", "02:42", 1450, "UP", 24),
    ),
    "host_interfaces": (
        tables.host_interfaces,
        HostInterface("node1", "eth1", "192.168.99.104/24", "02:00", 1500, "UP"),
    ),
    "routes": (tables.routes, Route("alpine1", "node3", "0.0.0.0/0", "172.18.0.1", "eth1")),
    "steps": (tables.steps, StepResult("reboot", "node1", Status.CHANGED, "a", "b", 1.234)),
    "one_step": (tables.one_step, StepResult("reboot", "node1", Status.CHANGED, "a", "b", 1.234)),
    "checks": (tables.checks, Check("clock", "node1", Verdict.PASS, "< 1 s", "1 ms")),
    "checks_by_name": (tables.checks_by_name, Check("clock", "node1", Verdict.PASS, "< 1 s", "1 ms")),
    "probes": (tables.probes, GOOD),
    "probe_summary": (tables.probe_summary, GOOD),
}


@pytest.mark.parametrize("name", ONE_ROW)
def test_columns_are_stable_and_fit_a_page(name: str) -> None:
    make, row = ONE_ROW[name]
    full, empty = make([row]), make([])
    assert list(full.columns) == list(empty.columns)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert len(full) == 1
    assert len(full.columns) <= 8


def test_every_table_is_tested_here() -> None:
    assert set(tables.__all__) - set(ONE_ROW) == {"frame", "network_presence", "network_settings", "probe_details"}


def test_an_address_that_drifted_is_seen_beside_the_expected_one() -> None:
    drifted = ClusterAddress(
        "node1", "eth1", "192.168.99.106", 24, "m", "192.168.99.104", "dhcp", "udhcpc pid 36", ("192.168.99.31",)
    )
    [row] = tables.addresses([drifted]).to_dict("records")
    assert row["address"] == "192.168.99.106/24, 192.168.99.31"
    assert row["expected"] == "192.168.99.104"
    assert not row["as expected"]
    assert row["DHCP client"] == "udhcpc pid 36"


def test_containers_are_named_with_their_node() -> None:
    [row] = tables.containers([CONTAINER]).to_dict("records")
    assert row["container"] == "node3/alpine1"
    assert row["addresses"] == "bridge 172.17.0.2, ovr0 10.0.0.2"
    assert row["ID"] == "f" * 12


def test_a_network_is_one_row_with_a_column_a_node() -> None:
    rows = [network("node1"), network("node2"), network("node1", "bridge", "b" * 64, "bridge")]
    table = tables.network_presence(rows)
    assert list(table.columns) == ["network", "driver", "scope", "node1", "node2"]
    assert table.set_index("network").loc["bridge", ["node1", "node2"]].tolist() == ["b" * 12, ""]
    assert table.set_index("network").loc["ovr0", ["node1", "node2"]].tolist() == ["a" * 12, "a" * 12]


def test_a_summary_tells_where_a_network_is_and_whether_it_is_the_same() -> None:
    rows = [
        network("node1"),
        network("node2"),
        network("node3", "bridge", "b" * 64),
        network("node4", "bridge", "c" * 64),
    ]
    table = tables.network_summary(rows).set_index("network")
    assert table.loc["ovr0", ["ID", "nodes", "on"]].tolist() == ["a" * 12, 2, "node1, node2"]
    assert table.loc["bridge", "ID"] == "differs"


def test_a_network_s_settings_list_options_and_labels() -> None:
    facts = NetworkFacts(
        "node1", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "", 4097, {"encrypted": ""}, labels={"x": "y"}
    )
    table = tables.network_settings(facts).set_index("setting")["value"]
    assert (table["ID"], table["VNI"], table["label x"]) == ("a" * 64, "4097", "y")
    assert "option encrypted" in table.index


def test_an_endpoint_without_container_keeps_the_name_that_the_engine_gives() -> None:
    [row] = tables.endpoints([Endpoint("ep-123", "123", "m", "10.0.0.9", 24)]).to_dict("records")
    assert row["container"] == "ep-123"


def test_a_node_s_start_is_a_time() -> None:
    [row] = tables.hosts([HostFacts("node1", "boot", 1795458252.5, -1.5, 10.0, "6.1")]).to_dict("records")
    assert row["started (UTC)"] == pd.Timestamp("2026-11-23 18:24:12", tz="UTC")


def test_step_statuses_are_plain_words() -> None:
    [row] = tables.steps([StepResult("reboot", "node1", Status.CHANGED, seconds=1.239)]).to_dict("records")
    assert (row["status"], row["time (s)"]) == ("changed", 1.24)


def test_checks_are_counted_by_name_and_trouble_names_its_node() -> None:
    rows = [
        Check("clock", "node1", Verdict.PASS),
        Check("clock", "node2", Verdict.FAIL, found="9 s ahead"),
        Check("ports", "node1", Verdict.SKIP),
    ]
    clock, ports = tables.checks_by_name(rows).to_dict("records")
    assert (clock["pass"], clock["fail"], clock["trouble"]) == (1, 1, "node2: 9 s ahead")
    assert (ports["skip"], ports["trouble"]) == (1, "")


def test_a_lost_probe_has_no_times_and_every_column_in_the_details() -> None:
    table = tables.probe_details([GOOD, LOST])
    assert table["ping avg (ms)"].isna().tolist() == [False, True]
    assert table["resolved"].tolist() == ["10.0.0.3", ""]
    assert len(table.columns) == 15


def test_a_probe_summary_weighs_what_was_sent() -> None:
    [row] = tables.probe_summary([GOOD, LOST]).to_dict("records")
    assert (row["source"], row["probes"], row["passed"]) == ("node3/alpine1", 2, 1)
    assert (row["lost pings (%)"], row["ping avg (ms)"], row["slowest ping (ms)"]) == (50.0, 0.2, 0.3)
