"""The nodes in what a classic Swarm manager tells of itself."""

from __future__ import annotations

import pytest

from runbook_lib.transport.docker.classic_swarm_manager import parse_system_status
from tests.unit.transport.docker.classic_swarm_server import ENGINE_ID, recorded


def test_nodes_come_with_their_addresses_and_all_that_is_told_of_them() -> None:
    nodes = parse_system_status(recorded()["info"].json["SystemStatus"])
    assert [item.name for item in nodes] == ["node1", "node2", "node3", "node4"]
    third = nodes[2]
    assert third.status == "Healthy"
    assert third.address == f"{third.host}:2376"
    assert third.get("Containers") == "2 (2 Running, 0 Paused, 0 Stopped)"
    assert third.get("Reserved CPUs").startswith("0 / ")
    assert "storagedriver=overlay2" in third.get("Labels")
    assert third.get("ServerVersion").startswith("20.10.24")
    assert third.get("Error") == ""


def test_an_engine_is_known_by_its_id_without_the_address_that_the_manager_adds() -> None:
    third = parse_system_status(recorded()["info"].json["SystemStatus"])[2]
    assert third.get("ID") == f"{ENGINE_ID}|{third.address}"
    assert third.engine_id == ENGINE_ID
    (older,) = parse_system_status([[" node1", "10.0.0.1:2376"], ["  └ ID", "ZWZD:OEIB"]])
    assert older.engine_id == "ZWZD:OEIB"


@pytest.mark.parametrize(
    ("pairs", "registering"),
    [
        ([["  └ Status", "Pending"]], True),
        ([["  └ Status", "Pending"], ["  └ Error", "refused"]], False),
        ([["  └ Status", "Healthy"]], False),
    ],
)
def test_a_node_that_was_not_tried_yet_is_registering(pairs: list[list[str]], registering: bool) -> None:
    (found,) = parse_system_status([[" (unknown)", "10.0.0.3:2376"], *pairs])
    assert found.registering is registering


def test_a_manager_without_nodes_lists_none() -> None:
    assert parse_system_status([["Strategy", "spread"], ["Filters", "health"], ["Nodes", "0"]]) == ()


def test_a_node_that_was_never_reached_has_no_name_yet() -> None:
    pairs = [[" (unknown)", "10.0.0.3:2376"], ["  └ ID", ""], ["  └ Status", "Pending"], ["  └ Error", "refused"]]
    (found,) = parse_system_status(pairs)
    assert (found.name, found.host, found.status, found.get("Error")) == ("(unknown)", "10.0.0.3", "Pending", "refused")
    assert str(found) == "(unknown) (10.0.0.3:2376, pending)"


@pytest.mark.parametrize("pairs", [[["  └ ID", "x"]], [["Nodes"]], [[" node1", 4]]])
def test_anything_else_is_told(pairs: list[list[str]]) -> None:
    with pytest.raises(ValueError, match=r"before any node|not a pair"):
        parse_system_status(pairs)
