from __future__ import annotations

import pytest

from runbook_lib.facts.docker.containers import parse_container
from runbook_lib.facts.host.ip import parse_ip_addr
from runbook_lib.facts.overlay.interfaces import parse_inside, parse_routes


@pytest.fixture
def container(captured_json):
    return parse_container("node1", captured_json("container_running.json"))


@pytest.mark.parametrize("tool", ["iproute2", "busybox"])
def test_inside_a_container_of_the_overlay(container, captured, tool: str) -> None:
    inside = parse_inside(
        container, captured(f"ip_addr_container_{tool}.txt"), captured(f"ip_route_container_{tool}.txt")
    )
    loopback, overlay, gateway = inside.interfaces
    assert loopback.name == "lo"
    assert (overlay.container, overlay.node, overlay.name) == ("f-1", "node1", "eth0")
    assert (overlay.address, overlay.prefix_length, overlay.mtu) == ("10.88.0.2", 24, 1400)
    assert overlay.mac == container.macs["f-ovr"]
    assert (gateway.name, gateway.address.rpartition(".")[0]) == ("eth1", "172.18.0")
    assert (inside.routes[0].destination, inside.routes[0].interface) == ("0.0.0.0/0", "eth1")


def test_a_disconnected_container_has_the_loopback_alone(container) -> None:
    text = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n"
    inside = parse_inside(container, text, "")
    assert [item.name for item in inside.interfaces] == ["lo"]
    assert inside.routes == ()


def test_a_node_s_own_routes_name_no_container(captured) -> None:
    routes = parse_routes(captured("ip_route_node.txt"), "node1")
    assert {route.container for route in routes} == {""}
    assert "192.168.99.0/24" in {route.destination for route in routes}


def test_both_ends_of_a_cable_know_each_other(captured, captured_json) -> None:
    container = parse_container("node3", captured_json("container_on_overlay.json"))
    inside = parse_inside(
        container, captured("ip_addr_container_on_overlay.txt"), captured("ip_route_container_on_overlay.txt")
    )
    gateway = next(item for item in inside.interfaces if item.address.startswith("172.18."))
    ports = [item for item in parse_ip_addr(captured("ip_addr_node_with_overlay.txt")) if item.master]
    assert [(item.master, item.index, item.peer_index) for item in ports] == [
        ("docker_gwbridge", gateway.peer_index, gateway.index)
    ]


def test_the_kernel_s_own_devices_are_no_cables_of_a_container(captured, captured_json) -> None:
    container = parse_container("node3", captured_json("container_on_overlay.json"))
    text, routes = captured("ip_addr_container_on_overlay.txt"), captured("ip_route_container_on_overlay.txt")
    alone = parse_inside(container, text, routes)
    # joined from public texts, not seen in this container
    assert parse_inside(container, text + captured("ip_addr_fallback_devices.txt"), routes) == alone
    # a cable that is down, and has lost its address, is still one
    cut = "9: eth0@if10: <BROADCAST,MULTICAST> mtu 1450 state DOWN\n    link/ether 02:42:0a:00:00:02 brd ff\n"
    assert [item.name for item in parse_inside(container, cut, "").interfaces] == ["eth0"]
