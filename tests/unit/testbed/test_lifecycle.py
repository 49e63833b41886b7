from __future__ import annotations

from ipaddress import IPv4Network

from runbook_lib.testbed import lifecycle
from runbook_lib.testbed.machine.layout import Kind, Layout

LAYOUT = Layout("tests", 4, IPv4Network("192.168.99.0/24"), IPv4Network("10.213.30.0/24"), Kind(platform="debian"))


def test_a_dhcp_server_is_told_an_address_for_every_debian_node_and_none_twice() -> None:
    first, second, third, fourth = LAYOUT.nodes
    kept = {first.cluster_mac: second.cluster_address}
    told = lifecycle._told(LAYOUT, kept, {"node2": third.cluster_address})
    assert told == {
        first.cluster_mac: second.cluster_address,
        second.cluster_mac: third.cluster_address,
        # node3's own is taken: it gets whatever is free.
        fourth.cluster_mac: fourth.cluster_address,
    }
    assert third.cluster_mac not in told
