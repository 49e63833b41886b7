from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.inventory import ClusterNetwork, Inventory
from runbook_lib.model.parameters import External, Parameters, external, usable

POOL = "192.168.99.104-192.168.99.254"


def inventory(count: int = 4, **network: str) -> Inventory:
    ssh = {"host": "192.0.2.1", "key_file": "/nowhere/key", "known_hosts": "/nowhere/known_hosts"}
    settings = {"subnet": "192.168.99.0/24", "gateway": "192.168.99.1", "dhcp_pool": POOL} | network
    nodes = [
        {"name": f"node{number}", "cluster_address": f"192.168.99.{103 + number}", "ssh": ssh}
        for number in range(1, count + 1)
    ]
    return Inventory.model_validate({"network": settings, "nodes": nodes})


def plans(known: Inventory) -> tuple[External, ...]:
    return tuple(external(known, Parameters(), mode) for mode in ("published", "macvlan", "ipvlan"))


def test_macvlan_and_ipvlan_get_nodes_without_wanted_containers_and_a_third_one_looks() -> None:
    published, macvlan, ipvlan = plans(inventory())
    assert [(plan.node, plan.observer_node) for plan in (published, macvlan, ipvlan)] == [
        ("node1", "node3"),
        ("node1", "node3"),
        ("node2", "node3"),
    ]


def test_with_two_nodes_each_looks_at_the_other() -> None:
    _, macvlan, ipvlan = plans(inventory(2))
    assert {(macvlan.node, macvlan.observer_node), (ipvlan.node, ipvlan.observer_node)} == {
        ("node1", "node2"),
        ("node2", "node1"),
    }


def test_the_blocks_are_the_highest_that_neither_the_dhcp_pool_nor_a_node_touches() -> None:
    published, macvlan, ipvlan = plans(inventory())
    assert published.block is None
    assert (str(macvlan.block), str(ipvlan.block)) == ("192.168.99.96/29", "192.168.99.88/29")
    without_pool = plans(inventory(dhcp_pool="192.168.99.200-192.168.99.201"))
    assert str(without_pool[1].block) == "192.168.99.248/29"


def test_a_range_of_ones_own_is_halved() -> None:
    _, macvlan, ipvlan = plans(inventory(container_range="192.168.99.64/28"))
    assert (str(macvlan.block), str(ipvlan.block)) == ("192.168.99.64/29", "192.168.99.72/29")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"container_range": "192.168.98.0/28"}, "outside the subnet 192.168.99.0/24"),
        ({"container_range": "192.168.99.96/28"}, f"overlaps with the DHCP pool {POOL}"),
        ({"container_range": "192.168.99.64/30"}, "too small"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused(network: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        inventory(**network)


def test_a_network_without_room_is_refused_with_its_pool() -> None:
    with pytest.raises(InputError, match=r"no room .* DHCP pool 192.168.99.2-192.168.99.254"):
        plans(inventory(dhcp_pool="192.168.99.2-192.168.99.254"))


def test_one_node_is_too_few_and_an_unknown_way_is_refused() -> None:
    with pytest.raises(InputError, match="one node"):
        plans(inventory(1))
    with pytest.raises(InputError, match="bridge"):
        external(inventory(), Parameters(), "bridge")  # type: ignore[arg-type]


def test_gateway_broadcast_and_taken_addresses_are_never_offered() -> None:
    network = ClusterNetwork(subnet="192.168.99.0/29", gateway="192.168.99.1")
    assert list(usable(IPv4Network("192.168.99.0/29"), network, {"192.168.99.3"})) == [
        f"192.168.99.{last}" for last in (2, 4, 5, 6)
    ]


def test_without_a_gateway_the_first_address_is_left_to_docker_which_takes_it_for_one() -> None:
    network = ClusterNetwork(subnet="192.168.99.0/24")
    assert next(usable(IPv4Network("192.168.99.96/29"), network, ())) == "192.168.99.97"
