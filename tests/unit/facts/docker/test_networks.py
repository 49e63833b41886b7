from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook_lib.facts.docker.containers import parse_container
from runbook_lib.facts.docker.networks import join_endpoints, parse_network


@pytest.fixture
def seen(captured_json):
    return [parse_network(node, captured_json(f"network_seen_by_{node}.json")) for node in ("node1", "node2")]


@pytest.fixture
def containers(captured_json):
    return [
        parse_container("node1", captured_json("container_running.json")),
        parse_container("node2", captured_json("container_remote.json")),
    ]


def test_an_overlay_s_settings(seen) -> None:
    first, second = seen
    assert first.id == second.id
    assert (first.driver, first.scope, first.subnet) == ("overlay", "global", "10.88.0.0/24")
    assert first.options == {"com.docker.network.driver.mtu": "1450"}
    assert first.labels == {"made-by": "capture"}
    assert first.vni is None
    assert not first.internal


def test_each_engine_knows_its_own_containers_and_the_others_endpoints(seen) -> None:
    for facts in seen:
        assert {endpoint.address for endpoint in facts.endpoints} == {"10.88.0.2", "10.88.0.3", "10.88.0.4"}
    here = {endpoint.name: bool(endpoint.container_id) for endpoint in seen[0].endpoints}
    there = {endpoint.name: bool(endpoint.container_id) for endpoint in seen[1].endpoints}
    assert (here["f-1"], here["f-2"]) == (True, False)
    assert (there["f-1"], there["f-2"]) == (False, True)


def test_joined_endpoints_appear_once_with_container_and_node(seen, containers) -> None:
    joined = join_endpoints(seen, containers)
    assert [(item.address, item.node, item.container) for item in joined] == [
        ("10.88.0.2", "node1", "f-1"),
        ("10.88.0.3", "node2", "f-2"),
        ("10.88.0.4", "", ""),  # its container is not among those given: stale, as far as one can tell
    ]
    assert joined[1].container_id == containers[1].id


def test_an_endpoint_without_a_known_name_gets_it_by_the_join(captured_json, containers) -> None:
    data = captured_json("network_seen_by_node1.json")
    for key, endpoint in data["Containers"].items():
        if key.startswith("ep-"):
            endpoint["Name"] = key
    [remote] = [item for item in join_endpoints([parse_network("node1", data)], containers) if item.node == "node2"]
    assert (remote.name, remote.container) == ("f-2", "f-2")


def test_endpoints_are_ordered_by_address_as_a_number(captured_json) -> None:
    data = captured_json("network_seen_by_node1.json")
    first, second, third = data["Containers"].values()
    first["IPv4Address"], second["IPv4Address"], third["IPv4Address"] = "10.88.0.10/24", "10.88.0.9/24", ""
    joined = join_endpoints([parse_network("node1", data)], [])
    assert [item.address for item in joined] == ["", "10.88.0.9", "10.88.0.10"]


def test_every_kind_of_network_in_a_list_is_read(captured_json) -> None:
    facts = {item.name: item for item in (parse_network("node1", data) for data in captured_json("networks.json"))}
    assert facts["host"].subnet == ""
    assert facts["none"].driver == "null"
    assert facts["bridge"].gateway == "172.17.0.1"
    assert facts["docker_gwbridge"].subnet == "172.18.0.0/16"


def test_a_swarm_network_tells_its_vni(captured_json) -> None:
    data = captured_json("network_seen_by_node1.json")
    data["Options"] = {"com.docker.network.driver.overlay.vxlanid_list": "4097"}
    assert parse_network("node1", data).vni == 4097


def test_an_answer_that_is_no_network_s_is_refused() -> None:
    with pytest.raises(ValueError, match="no Id, Name, Driver, Scope"):
        parse_network("node1", {})


def test_a_macvlan_network_tells_its_parent_its_range_and_what_it_never_gives_out(captured_json) -> None:
    data = captured_json("network_macvlan.json")
    network = parse_network("node1", data)
    assert (network.driver, network.scope, network.options["parent"]) == ("macvlan", "local", "eth1")
    assert (network.subnet, network.ip_range, network.gateway) == (
        "192.168.96.0/24",
        "192.168.96.96/29",
        "192.168.96.1",
    )
    assert network.reserved == frozenset()
    data["IPAM"]["Config"][0]["AuxiliaryAddresses"] = {"taken-192-168-96-100": "192.168.96.100"}
    assert parse_network("node1", data).reserved == {"192.168.96.100"}


def test_a_swarms_load_balancers_are_no_containers_and_its_peers_are_told(captured_json: Callable[[str], Any]) -> None:
    network = parse_network("node3", captured_json("swarm_network.json"))
    assert [endpoint.name for endpoint in network.endpoints] == ["alpine1"]
    assert [endpoint.name for endpoint in network.balancers] == ["ovr0-endpoint"]
    assert network.peers == {"192.168.99.106", "192.168.99.107"}
    assert (network.scope, network.attachable, network.ingress) == ("swarm", True, False)
    assert network.vni is not None
    assert network.vni >= 4096
