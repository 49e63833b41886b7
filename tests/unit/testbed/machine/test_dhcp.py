from __future__ import annotations

import itertools
import random
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from runbook_lib.errors import TestbedError
from runbook_lib.testbed.machine.dhcp import parse_leases, shuffle

CAPTURED = Path(__file__).parents[1] / "captured"
POOL = ("192.168.99.104", "192.168.99.254")


def test_the_leases_are_read_from_the_servers_log() -> None:
    assert parse_leases((CAPTURED / "dnsmasq.log").read_text()) == {
        "02:e3:45:6b:01:01": "192.168.90.104",
        "02:e3:45:6b:01:02": "192.168.90.105",
        "02:e3:45:6b:01:03": "192.168.90.106",
        "02:e3:45:6b:01:04": "192.168.90.107",
    }


def test_a_later_lease_replaces_an_earlier_one() -> None:
    log = "x DHCPACK(cluster) 10.0.0.5 02:00:00:00:01:01 node1\nx DHCPACK(cluster) 10.0.0.6 02:00:00:00:01:01 node1\n"
    assert parse_leases(log) == {"02:00:00:00:01:01": "10.0.0.6"}


def test_shuffling_four_nodes_permutes_their_addresses() -> None:
    held = {f"node{index}": f"192.168.99.{103 + index}" for index in range(1, 5)}
    plan = shuffle(held, POOL)
    assert plan.blocked == ()
    assert plan.order == ("node2", "node3", "node4", "node1")
    assert sorted(plan.expected.values()) == sorted(held.values())


def test_shuffling_one_node_keeps_its_address_from_it() -> None:
    plan = shuffle({"node1": "192.168.99.104"}, POOL)
    assert plan.blocked == ("192.168.99.104",)
    assert plan.expected == {"node1": "192.168.99.105"}


def test_shuffling_some_nodes_leaves_the_others_addresses_alone() -> None:
    plan = shuffle({"node3": "192.168.99.106"}, POOL, reserved=["192.168.99.104", "192.168.99.105", "192.168.99.107"])
    assert plan.expected == {"node3": "192.168.99.108"}


def test_no_node_ever_keeps_its_address() -> None:
    chance = random.Random(7)
    for count, reserved_count in itertools.product(range(1, 12), range(4)):
        addresses = [f"192.168.99.{number}" for number in chance.sample(range(104, 124), count + reserved_count)]
        held = {f"node{index}": address for index, address in enumerate(addresses[:count])}
        reserved = addresses[count:]
        plan = shuffle(held, POOL, reserved)
        assert sorted(plan.order) == sorted(held)
        assert all(plan.expected[name] != held[name] for name in held)
        assert not set(plan.expected.values()) & {*reserved, *plan.blocked}
        given = [IPv4Address(plan.expected[name]) for name in plan.order]
        assert given == sorted(given), "the server hands out the lowest free address first"


def test_a_node_that_never_had_an_address_may_get_any() -> None:
    assert shuffle({"node1": ""}, POOL).expected == {"node1": "192.168.99.104"}


def test_a_pool_without_another_address_is_refused() -> None:
    with pytest.raises(TestbedError, match="too small"):
        shuffle({"node1": "192.168.99.104"}, ("192.168.99.104", "192.168.99.104"))
