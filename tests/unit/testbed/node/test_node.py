from __future__ import annotations

import stat
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runbook_lib.model.locations import STATE_VARIABLE
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import Layout
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.node import power
from runbook_lib.testbed.node.certificates import Authority

CAPTURED = Path(__file__).parents[1] / "captured"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return Layout("tests", 4, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"))


def test_a_nodes_addresses_are_read_without_entering_it() -> None:
    found = nodes.parse_local_addresses((CAPTURED / "fib_trie.txt").read_text())
    assert "192.168.99.104" in found
    assert "127.0.0.1" in found
    assert not any(address.endswith((".0", ".255")) and address != "127.0.0.0" for address in found)


def test_the_hosts_own_address_on_the_clusters_network_is_not_a_booting_nodes(layout: Layout) -> None:
    # The host's own table, which is also that of a node's process 1 until it has entered the node's namespace.
    text = (CAPTURED / "fib_trie_host.txt").read_text()
    assert "192.168.99.1" in nodes.parse_local_addresses(text)
    assert nodes.own_cluster_addresses(replace(layout, management=IPv4Network("10.213.20.0/24")), text) == []


def test_a_nodes_own_addresses_are_those_in_the_clusters_subnet(layout: Layout) -> None:
    assert nodes.own_cluster_addresses(layout, (CAPTURED / "fib_trie.txt").read_text()) == ["192.168.99.104"]


def test_a_profile_points_the_engines_at_the_first_three_nodes(layout: Layout) -> None:
    profile = nodes.profile(layout)
    assert "--cluster-store=etcd://192.168.99.104:2379,192.168.99.105:2379,192.168.99.106:2379\n" in profile
    assert "--cluster-advertise=eth1:2376\n" in profile


def test_a_profile_in_swarm_mode_names_no_store_which_its_engines_would_refuse(layout: Layout) -> None:
    profile = nodes.profile(replace(layout, kind=Kind(engine="26.1", control_plane="swarm-mode")))
    assert "--cluster" not in profile
    assert profile.splitlines()[:3] == ["EXTRA_ARGS='", "--shutdown-timeout=5", "'"]


def test_a_prepared_disk_has_private_keys_and_a_host_name(layout: Layout) -> None:
    node = layout.nodes[1]
    line = nodes.prepare(layout, node, Authority.create("tests"), "ssh-ed25519 AAAA me\n")
    assert line.startswith("10.213.30.12,192.168.99.105 ssh-ed25519 ")
    assert (node.disk / "etc" / "hostname").read_text() == "node2\n"
    for key in ("ssh/ssh_host_ed25519_key", "server-key.pem"):
        assert stat.S_IMODE((node.disk / key).stat().st_mode) == 0o600


def test_a_node_that_was_never_started_is_off(layout: Layout) -> None:
    node = layout.nodes[0]
    assert nodes.supervisor(node) is None
    assert nodes.init(node) is None
    assert nodes.cluster_addresses(layout, node) == []
    power.stop([node])
    power.kill([node])
