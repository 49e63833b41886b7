from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from runbook_lib.testbed.machine.layout import MOST_NODES, Layout


def layout(name: str = "runbook", nodes: int = 4, subnet: str = "192.168.99.0/24") -> Layout:
    return Layout(name, nodes, IPv4Network(subnet), IPv4Network("10.213.20.0/24"))


def test_the_first_node_has_the_articles_first_address() -> None:
    addresses = [node.cluster_address for node in layout().nodes]
    assert addresses == ["192.168.99.104", "192.168.99.105", "192.168.99.106", "192.168.99.107"]


@pytest.mark.parametrize("name", ["a", "runbook", "a-name-of-the-longest-length-32-c"[:32]])
def test_link_names_fit_the_kernels_limit(name: str) -> None:
    assert all(len(link) <= 15 for link in layout(name).host_links)


def test_two_testbeds_share_no_name() -> None:
    one, two = layout("one", MOST_NODES), layout("two", MOST_NODES)
    assert not {*one.namespaces, *one.host_links} & {*two.namespaces, *two.host_links}
    assert not {node.cgroup for node in one.nodes} & {node.cgroup for node in two.nodes}


def test_every_name_and_address_of_a_large_testbed_is_unique() -> None:
    nodes = layout(nodes=MOST_NODES).nodes
    for field in ("name", "machine", "management_address", "cluster_address", "management_mac", "cluster_mac"):
        assert len({getattr(node, field) for node in nodes}) == MOST_NODES


@pytest.mark.parametrize("subnet", ["192.168.99.0/24", "10.1.0.0/16", "192.168.99.64/26", "192.168.99.0/27"])
def test_the_pool_lies_in_the_subnet_and_leaves_the_hosts_addresses_alone(subnet: str) -> None:
    here = layout(nodes=1, subnet=subnet)
    first, last = (IPv4Address(address) for address in here.pool)
    assert first in here.cluster
    assert last in here.cluster
    assert last < here.cluster.broadcast_address
    assert IPv4Address(here.dhcp_server) < first <= last


@pytest.mark.parametrize(("nodes", "members"), [(1, 1), (2, 1), (3, 3), (8, 3)])
def test_etcd_has_three_members_where_there_are_nodes_for_them(nodes: int, members: int) -> None:
    assert len(layout(nodes=nodes).etcd_nodes) == members


def test_a_layout_survives_its_record() -> None:
    assert Layout.from_json(layout().to_json()) == layout()
