"""Engines that cannot have a cluster store are refused before anything is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import ExitCode
from runbook_lib.facts.control_planes.base import Registration, StoreKey
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Etcd

STORE = EtcdStore(Etcd())


def test_engines_up_to_20_10_are_not_refused_whatever_their_store_is() -> None:
    assert STORE.refusal({"node1": {"ServerVersion": "20.10.24+dfsg1"}, "node2": {"ServerVersion": "1.12.6"}}) is None


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "28.0.1"])
def test_an_engine_without_cluster_stores_is_bad_input_that_says_why_and_what_to_choose(version: str) -> None:
    refusal = STORE.refusal({"node1": {"ServerVersion": "20.10.24"}, "node2": {"ServerVersion": version}})
    assert refusal is not None
    assert refusal.exit_code is ExitCode.BAD_INPUT
    assert refusal.message.startswith(f"node2 has Docker {version}, and Docker 20.10 was the last series")
    assert "control_plane: swarm-mode" in refusal.remedy


@pytest.mark.parametrize(
    ("alive", "elsewhere"),
    [
        (["192.168.99.9:2376"], "192.168.99.9"),
        ([], ""),
        (["192.168.99.108:2376"], ""),
    ],
    ids=["a living engine of somebody else's node", "nobody: it is left over", "our engine, at its old address"],
)
def test_an_endpoint_on_a_node_outside_the_inventory_is_told_from_one_left_over(
    monkeypatch: pytest.MonkeyPatch, alive: list[str], elsewhere: str
) -> None:
    locator = alive[0].partition(":")[0] if alive else "192.168.99.9"
    value = json.dumps({"name": "web", "locator": locator})
    keys = [StoreKey("/docker/network/v1.0/endpoint/n1/e1", value)]
    keys += [StoreKey(f"/docker/nodes/{address}", address, 55) for address in (*alive, "192.168.99.104:2376")]
    # after the nodes' addresses have drifted: node1 is not where the inventory wants it
    rows = (Registration("node1", "192.168.99.108:2376", True),)
    monkeypatch.setattr("runbook_lib.facts.control_planes.etcd.plane.read_store_keys", lambda cluster: tuple(keys))
    monkeypatch.setattr("runbook_lib.facts.control_planes.etcd.plane.read_registrations", lambda cluster, etcd: rows)
    ssh = {"host": "192.0.2.1", "key_file": "/nowhere/key", "known_hosts": "/nowhere/known_hosts"}
    nodes = [{"name": "node1", "cluster_address": "192.168.99.104", "ssh": ssh}]
    network = {"interface": "eth1", "subnet": "192.168.99.0/24"}
    with Cluster(Inventory.model_validate({"network": network, "nodes": nodes})) as cluster:
        assert STORE.read_foreign_engine(cluster, "n1", "web") == elsewhere
        assert STORE.read_foreign_engine(cluster, "n2", "web") == ""
        assert STORE.read_foreign_engine(cluster, "n1", "alpine1") == ""


def test_an_engine_in_a_swarm_excludes_a_cluster_store() -> None:
    swarm: dict[str, Any] = {"LocalNodeState": "active", "NodeID": "x"}
    refusal = STORE.refusal({"node3": {"ServerVersion": "20.10.24", "Swarm": swarm}})
    assert refusal is not None
    assert refusal.message == "the engine of node3 is in a swarm and therefore cannot have a cluster store"
