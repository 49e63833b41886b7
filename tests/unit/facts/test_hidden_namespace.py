from __future__ import annotations

import pytest

from runbook_lib.facts.hidden_namespace import (
    ForwardingEntry,
    Neighbour,
    parse_forwarding,
    parse_hidden_namespace,
    parse_neighbours,
)


@pytest.fixture
def hidden(captured_sections):
    return parse_hidden_namespace("node3", captured_sections("hidden_namespace.txt"))


def test_it_holds_a_bridge_a_tunnel_and_a_cable_to_each_container(hidden) -> None:
    assert (hidden.node, hidden.name) == ("node3", hidden.path.rpartition("/")[2])
    assert [(link.name, link.kind, link.bridge, link.mtu) for link in hidden.links] == [
        ("br0", "bridge", "", 1450),
        ("vxlan0", "vxlan", "br0", 1450),
        ("veth0", "veth", "br0", 1450),
    ]
    assert hidden.bridge is not None
    assert hidden.bridge.address == "10.0.0.1/24"


def test_the_tunnel_tells_its_number_and_port(hidden) -> None:
    assert hidden.vxlan is not None
    assert (hidden.vxlan.vni, hidden.vxlan.port, hidden.vxlan.peer_index) == (256, 4789, 0)
    assert hidden.links[2].peer_index > 0


def test_its_tables_tell_what_docker_wrote_of_the_other_nodes(hidden) -> None:
    assert [row for row in hidden.forwarding if row.vtep] == [
        ForwardingEntry("02:42:0a:00:00:02", "vxlan0", "192.168.95.107", lasting=True)
    ]
    assert Neighbour("10.0.0.2", "vxlan0", "02:42:0a:00:00:02", "PERMANENT") in hidden.neighbours


def test_groups_are_left_out_and_what_was_learned_is_told_from_what_was_written() -> None:
    text = (
        "33:33:00:00:00:01 dev br0 self permanent\n"
        "01:00:5e:00:00:01 dev br0 self permanent\n"
        "02:42:0a:00:00:03 dev veth0 master br0\n"
    )
    assert parse_forwarding(text) == (ForwardingEntry("02:42:0a:00:00:03", "veth0", "", lasting=False),)


def test_a_neighbour_that_nobody_could_tell_has_no_mac() -> None:
    text = "10.0.0.9 dev vxlan0  FAILED\nfe80::1 dev vxlan0 lladdr 02:42:0a:00:00:01 STALE\n"
    assert parse_neighbours(text) == (Neighbour("10.0.0.9", "vxlan0", "", "FAILED"),)


@pytest.mark.parametrize("parse", [parse_forwarding, parse_neighbours])
def test_other_text_is_refused(parse) -> None:
    with pytest.raises(ValueError, match="not a row"):
        parse("Cannot talk to the kernel\n")
