from __future__ import annotations

import pytest

from runbook_lib.facts.control_planes.base import StoreKey
from runbook_lib.facts.control_planes.etcd.keys import (
    PoolUsage,
    parse_store_keys,
    stored_endpoints,
    stored_sets,
    stored_vnis,
)


@pytest.fixture
def keys(captured_sections):
    return parse_store_keys(captured_sections("store_keys.txt")["keys"].text)


def test_engines_are_keys_that_end_by_themselves_and_networks_are_not(keys) -> None:
    engines = [key for key in keys if key.key.startswith("/docker/nodes/")]
    assert len(engines) == 4
    assert all(key.ttl is not None and 0 < key.ttl <= 60 for key in engines)
    assert {key.ttl for key in keys if "/network/" in key.key} == {None}


def test_an_endpoint_tells_who_has_which_address_on_which_node(keys) -> None:
    one, other = stored_endpoints(keys)
    assert (one.name, one.address, one.mac) == ("alpine1", "10.0.0.3/24", "02:42:0a:00:00:03")
    assert (one.locator, other.locator) == ("192.168.95.106", "192.168.95.107")
    assert one.network_id == other.network_id


def test_each_subnet_of_an_overlay_has_its_number(keys) -> None:
    assert list(stored_vnis(keys).values()) == [{"10.0.0.0/24": 256}]


def test_how_much_is_free_is_read_from_the_bits(keys) -> None:
    # two containers, the network's own address, the gateway's and the broadcast address are taken
    assert PoolUsage("10.0.0.0/24", 256, 251) in stored_sets(keys)
    assert PoolUsage("vxlan-id", 2**24 - 256, 2**24 - 257) in stored_sets(keys)


def test_a_prefix_of_the_store_is_left_out() -> None:
    text = '{"node": {"key": "/prod/docker", "dir": true, "nodes": [{"key": "/prod/docker/nodes/a", "value": "a"}]}}'
    assert parse_store_keys(text) == (StoreKey("/docker/nodes/a", "a"),)


def test_another_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="not an etcd v2 key"):
        parse_store_keys('{"errorCode": 100}')
