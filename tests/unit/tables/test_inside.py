"""Tables of what Docker hides, from text that was captured on one node of a cluster."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runbook_lib.facts.control_planes.base import StoredEndpoint, StoreKey
from runbook_lib.facts.control_planes.etcd.keys import parse_store_keys, stored_endpoints
from runbook_lib.facts.docker.containers import ContainerFacts, parse_container
from runbook_lib.facts.host.ip import parse_ip_addr, parse_nat_rules
from runbook_lib.facts.overlay.hidden_namespace import HiddenNamespace, parse_hidden_namespace
from runbook_lib.facts.overlay.interfaces import HostInterface, Inside, parse_inside
from runbook_lib.facts.overlay.name_service import parse_name_service
from runbook_lib.facts.sections import Section, parse_sections
from runbook_lib.tables import inside as tables
from tests.unit.facts.conftest import CAPTURED


def text(name: str) -> str:
    return (CAPTURED / name).read_text()


def sections(name: str) -> dict[str, Section]:
    return parse_sections(text(name))


@pytest.fixture
def alpine1() -> ContainerFacts:
    return parse_container("node3", json.loads(text("container_on_overlay.json")))


@pytest.fixture
def hidden() -> HiddenNamespace:
    return parse_hidden_namespace("node3", sections("hidden_namespace.txt"))


@pytest.fixture
def inside(alpine1: ContainerFacts) -> Inside:
    return parse_inside(alpine1, text("ip_addr_container_on_overlay.txt"), text("ip_route_container_on_overlay.txt"))


@pytest.fixture
def host() -> list[HostInterface]:
    found = parse_ip_addr(text("ip_addr_node_with_overlay.txt"))
    return [
        HostInterface("node3", item.name, "", item.mac, item.mtu, item.state, item.index, item.peer_index, item.master)
        for item in found
    ]


@pytest.fixture
def keys() -> tuple[StoreKey, ...]:
    return parse_store_keys(sections("store_keys.txt")["keys"].text)


def test_a_node_without_containers_has_no_namespace(hidden: HiddenNamespace, alpine1: ContainerFacts) -> None:
    table = tables.namespaces(["node1", "node3"], {"node3": hidden}, [alpine1])
    assert list(table.columns) == list(tables.NAMESPACES.dtypes)
    assert table["containers here"].tolist() == ["", "alpine1"]
    assert table["hidden namespace"].tolist() == ["", hidden.name]
    assert table["VNI"].isna().tolist() == [True, False]


def test_containers_of_others_are_told_apart(hidden: HiddenNamespace, alpine1: ContainerFacts) -> None:
    web = replace(alpine1, name="web")
    table = tables.namespaces(["node3"], {"node3": hidden}, [alpine1], [web]).iloc[0]
    assert (table["containers here"], table["others here"]) == ("alpine1", "web")


def test_a_veth_is_told_by_the_container_at_its_other_end(hidden: HiddenNamespace, inside: Inside) -> None:
    table = tables.overlay_links([hidden], [inside]).set_index("interface")
    own = next(item.name for item in inside.interfaces if item.address == "10.0.0.3")
    assert table.loc["veth0", "other end"] == f"alpine1 {own}"
    assert table.loc["vxlan0", "other end"] == "the other nodes: VNI 256, UDP 4789"


def test_a_containers_cables_end_in_two_places(
    hidden: HiddenNamespace, inside: Inside, host: list[HostInterface]
) -> None:
    table = tables.container_links(inside, hidden, host).set_index("address")
    assert table.loc["10.0.0.3/24", "which is a port of"] == "br0"
    assert table.loc["10.0.0.3/24", "other end"] == f"veth0 in {hidden.name}"
    assert table.loc["172.18.0.2/16", "which is a port of"] == "docker_gwbridge"
    assert table.loc["172.18.0.2/16", "routes"] == "default, 172.18.0.0/16"


def test_a_question_ends_at_dockerd(alpine1: ContainerFacts) -> None:
    table = tables.name_service(parse_name_service(alpine1, sections("name_service.txt")))
    questions = table[table["action"] == "DNAT"]
    assert set(questions["to"]) == {"127.0.0.11:53"}
    assert set(questions["there listens"]) == {"dockerd"}


def test_masquerading_is_told_by_what_it_does_not_leave_by() -> None:
    rules = parse_nat_rules(sections("nat_rules_node.txt")["rules"].text)
    assert "anything but docker_gwbridge" in set(tables.masquerades({"node3": rules})["leaving by"])


def test_every_key_of_the_store_is_counted_once(keys: tuple[StoreKey, ...]) -> None:
    table = tables.store_keys(keys)
    assert table["keys"].sum() == len(keys)
    says = dict(zip(table["keys under"], table["says"], strict=True))
    assert says["network/v1.0/overlay/network/"] == "10.0.0.0/24 is VNI 256"
    assert says["network/v1.0/ipam/default/data/"] == "10.0.0.0/24: 251 of 256 free"
    assert says["network/v1.0/endpoint_count/"] == "ovr0: 2"
    assert says["network/v1.0/ipam/default/config/"] == "10.0.0.0/24"
    assert "other keys" not in set(table["what it is"])


def test_an_endpoint_in_the_store_agrees_with_its_engine_or_does_not(
    keys: tuple[StoreKey, ...], alpine1: ContainerFacts
) -> None:
    addresses = {"node3": "192.168.95.106", "node4": "192.168.95.107"}
    table = tables.stored_endpoint_rows(stored_endpoints(keys), [alpine1], "ovr0", addresses, ["alpine1", "alpine2"])
    assert table["ours"].all()
    assert table["node"].tolist() == ["node3", "node4"]
    # alpine2 was not asked for, as if it were a stale endpoint
    assert table["as Docker says"].tolist() == [True, False]


def test_an_endpoint_of_others_comes_after_ours(keys: tuple[StoreKey, ...], alpine1: ContainerFacts) -> None:
    table = tables.stored_endpoint_rows(stored_endpoints(keys), [alpine1], "ovr0", {}, ["alpine2"])
    assert table["container"].tolist() == ["alpine2", "alpine1"]
    assert table["ours"].tolist() == [True, False]


def test_what_a_swarm_keeps_is_told_by_kind() -> None:
    network = {"Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"}}
    found = [
        StoreKey("node/node1", json.dumps({"role": "manager", "state": "ready", "address": "10.1.0.1"})),
        StoreKey("swarm-network/ovr0", json.dumps(network)),
        StoreKey("heard/alpine1", json.dumps({"address": "10.0.9.2", "node": "10.1.0.1"})),
    ]
    table = tables.store_keys(found)
    assert list(table["says"]) == ["node1 manager", "ovr0 is VNI 4097", "alpine1 10.0.9.2"]


def test_an_endpoint_that_engines_only_heard_of_agrees_without_its_mac(alpine1: ContainerFacts) -> None:
    node = {"node3": "192.168.95.106"}
    heard = StoredEndpoint("n", alpine1.endpoint_ids["ovr0"], "alpine1", alpine1.addresses["ovr0"], "", node["node3"])
    table = tables.stored_endpoint_rows([heard], [alpine1], "ovr0", node, ["alpine1"])
    assert list(table["as Docker says"]) == [True]
