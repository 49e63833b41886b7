"""What ``inventory check`` makes of what it finds; the finding itself is tested on the testbed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.engine import EngineFacts, Mode, SwarmState
from runbook_lib.facts.host.addresses import ClusterAddress
from runbook_lib.model.base import ControlPlaneName, PlatformName
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.parameters import Parameters, Timeouts
from runbook_lib.model.results import Verdict
from runbook_lib.verify.nodes import CHECKS, check_nodes, judge_control_plane, judge_network, judge_platform

STORE = "etcd://192.168.99.104:2379"
ETCD = EngineFacts("node1", "20.10.24", "1.41", "ID", "etcd", STORE, "", "overlay2", "6.1", "Linux", 0)
NETWORK = ClusterNetwork(subnet="192.168.99.0/24")
ADDRESS = ClusterAddress("node1", "eth1", "192.168.99.104", 24, "", "192.168.99.104", "static")


def engine(mode: Mode, version: str = "20.10.24", store: str = "") -> EngineFacts:
    swarm = SwarmState("active" if mode == "swarm" else "inactive")
    return replace(ETCD, mode=mode, version=version, cluster_store=store, swarm=swarm)


@pytest.mark.parametrize(
    ("facts", "wanted", "remedy"),
    [
        (ETCD, "etcd", ""),
        (ETCD, "classic-swarm", ""),
        (ETCD, "swarm-mode", "start dockerd without --cluster-store"),
        (engine("swarm", "26.1.5"), "swarm-mode", ""),
        (engine("swarm"), "etcd", "docker swarm leave"),
        (engine("swarm", "26.1.5"), "etcd", "choose control_plane: swarm-mode"),
        (engine("none", "23.0.1"), "etcd", "20.10 is the last series"),
        (engine("none"), "etcd", "--cluster-store=etcd://"),
        (engine("none"), "swarm-mode", "docker swarm join"),
        (engine("other", store="consul://192.168.99.9:8500"), "etcd", "--cluster-store=etcd://"),
        (engine("etcd", store="etcd://192.168.99.9:2379"), "etcd", f"the other nodes have {STORE}"),
    ],
    ids=str,
)
def test_an_engine_is_green_where_it_keeps_networks_as_the_file_says_and_the_others_do(
    facts: EngineFacts, wanted: ControlPlaneName, remedy: str
) -> None:
    usual = "" if wanted == "swarm-mode" else STORE
    row = judge_control_plane(facts, control_plane_of(Parameters(control_plane=wanted)), usual)
    assert row.verdict is (Verdict.FAIL if remedy else Verdict.PASS)
    assert remedy in row.remedy


@pytest.mark.parametrize(
    ("address", "verdict", "said"),
    [
        ("192.168.99.104", Verdict.PASS, ""),
        ("192.168.99.105", Verdict.WARN, "cluster_address"),
        ("10.0.0.1", Verdict.FAIL, "network.subnet"),
        (None, Verdict.FAIL, "network.interface"),
    ],
)
def test_an_address_is_compared_with_the_inventory(address: str | None, verdict: Verdict, said: str) -> None:
    row = judge_network(replace(ADDRESS, address=address), NETWORK)
    assert row.verdict is verdict
    assert said in row.remedy


@pytest.mark.parametrize(
    ("found", "wanted", "remedy"),
    [
        ("netplan", "auto", ""),
        ("netplan", "netplan", ""),
        ("netplan", "ifupdown", "set platform: netplan, or auto"),
        (None, "auto", "notebook 01 cannot fix its address"),
        (None, "ifupdown", "notebook 01 cannot fix its address"),
    ],
)
def test_a_platform_that_is_named_must_be_the_one_that_is_found(
    found: PlatformName | None, wanted: str, remedy: str
) -> None:
    row = judge_platform("node1", found, "its files", wanted)
    assert row.verdict is (Verdict.FAIL if remedy else Verdict.PASS)
    assert remedy in row.remedy


def test_a_machine_that_is_off_is_red_once_and_what_lies_behind_is_not_looked_at(tmp_path: Path) -> None:
    key, known_hosts = tmp_path / "key", tmp_path / "known_hosts"
    key.touch(mode=0o600)
    known_hosts.touch()
    login = {"host": "127.0.0.1", "port": 9, "key_file": str(key), "known_hosts": str(known_hosts)}
    nodes = [
        {"name": "node1", "cluster_address": "192.168.99.25", "ssh": login},
        {"name": "node2", "cluster_address": "192.168.99.26", "ssh": {**login, "host": "node2.invalid"}},
    ]
    inventory = Inventory.model_validate({"network": {"subnet": "192.168.99.0/24"}, "nodes": nodes})
    with Cluster(inventory, Timeouts(connect=2)) as cluster:
        rows = check_nodes(cluster, Parameters())
    assert [(row.node, row.check) for row in rows] == [(node, check) for node in ("node1", "node2") for check in CHECKS]
    assert [row.verdict for row in rows] == [Verdict.FAIL, *[Verdict.SKIP] * 6] * 2
    assert json.dumps([row.found for row in rows if row.verdict is Verdict.SKIP]).count("no SSH") == 10
