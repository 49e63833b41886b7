from __future__ import annotations

import pytest

from runbook_lib.facts.host.ip import InetAddress, parse_ip_addr, parse_ip_route


def test_a_container_s_interfaces_as_iproute2_shows_them(captured) -> None:
    loopback, overlay, gateway = parse_ip_addr(captured("ip_addr_container_iproute2.txt"))
    assert (loopback.name, loopback.mac, loopback.state) == ("lo", "", "UNKNOWN")
    assert overlay.name == "eth0"
    assert overlay.peer.startswith("if")
    assert overlay.mac == "02:42:0a:58:00:02"
    assert (overlay.mtu, overlay.state) == (1400, "UP")
    assert overlay.addresses == (InetAddress("10.88.0.2", 24),)
    assert gateway.name == "eth1"
    assert gateway.mtu == 1500


def test_busybox_and_iproute2_say_the_same_of_names_addresses_macs_and_mtus(captured) -> None:
    def facts(name: str) -> list[object]:
        return [(item.name, item.mac, item.mtu, item.addresses) for item in parse_ip_addr(captured(name))]

    assert facts("ip_addr_container_busybox.txt") == facts("ip_addr_container_iproute2.txt")
    assert facts("ip_addr_lease_busybox.txt") == facts("ip_addr_lease_iproute2.txt")


def test_busybox_shows_no_state_so_the_flags_tell(captured) -> None:
    states = {item.name: item.state for item in parse_ip_addr(captured("ip_addr_lease_busybox.txt"))}
    assert states["eth0"] == "UP"
    assert states["v0"] == "DOWN"


@pytest.mark.parametrize("name", ["ip_addr_lease_iproute2.txt", "ip_addr_lease_busybox.txt"])
def test_leases_and_peers_belong_to_their_own_address(captured, name: str) -> None:
    interface = parse_ip_addr(captured(name))[-1]
    address, leased, point_to_point = interface.addresses
    assert address.lifetime is None
    assert leased == InetAddress("10.9.9.9", 24, lifetime=600)
    assert point_to_point == InetAddress("10.9.8.1", 32)


def test_an_ipv6_lifetime_is_not_taken_for_an_ipv4_one() -> None:
    text = (
        "3: eth1: <UP> mtu 1500 state UP\n    inet 192.168.99.104/24 scope global eth1\n"
        "       valid_lft forever preferred_lft forever\n    inet6 fd00::1/64 scope global dynamic\n"
        "       valid_lft 86000sec preferred_lft 14000sec\n"
    )
    assert parse_ip_addr(text)[0].addresses == (InetAddress("192.168.99.104", 24),)


def test_a_node_with_many_interfaces_keeps_their_order(captured) -> None:
    interfaces = parse_ip_addr(captured("ip_addr_node_busybox.txt"))
    assert [item.name for item in interfaces][:3] == ["lo", "eth0", "eth1"]
    assert [item.index for item in interfaces] == sorted(item.index for item in interfaces)


@pytest.mark.parametrize(
    "text",
    [
        'Device "eth9" does not exist.\n',
        "ip: can't find device 'eth9'\n",
        "    inet 10.0.0.1/8\n",
        "1: lo: <UP> qdisc noqueue\n",
        "1: lo: <UP> mtu many\n",
        "1: lo: <UP> mtu 1500\n    inet 10.0.0.300/8\n",
        "1: lo: <UP> mtu 1500\n    inet\n",
    ],
)
def test_text_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_ip_addr(text)


def test_no_text_is_no_interface() -> None:
    assert parse_ip_addr("\n") == ()
    assert parse_ip_route("") == ()


def test_routes_are_the_same_from_busybox_and_iproute2(captured) -> None:
    routes = parse_ip_route(captured("ip_route_container_iproute2.txt"))
    assert routes == parse_ip_route(captured("ip_route_container_busybox.txt"))
    default, overlay, _ = routes
    assert (default.destination, default.gateway, default.interface) == ("0.0.0.0/0", "172.18.0.1", "eth1")
    assert (overlay.destination, overlay.gateway, overlay.source) == ("10.88.0.0/24", "", "10.88.0.2")


def test_odd_routes_are_read_too(captured) -> None:
    routes = {item.destination: item for item in parse_ip_route(captured("ip_route_odd.txt"))}
    assert routes["10.66.0.0/16"].interface == ""
    assert routes["10.67.0.1/32"].gateway == "172.18.0.1"
    assert routes["10.9.8.2/32"].source == "10.9.8.1"


@pytest.mark.parametrize(
    "text", ["RTNETLINK answers: Operation not permitted\n", "blackhole\n", "10.0.0.1/8 dev eth0\n"]
)
def test_a_line_that_is_no_route_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a route"):
        parse_ip_route(text)


# The text is joined from public ones of kernels with these modules: none of the testbeds' kernels has them.
def test_a_device_that_the_kernel_puts_into_every_namespace_leads_nowhere(captured) -> None:
    own = parse_ip_addr(captured("ip_addr_fallback_devices.txt"))
    assert [item.name for item in own][:3] == ["tunl0", "gre0", "gretap0"]
    assert len(own) == 9
    assert {(item.peer, item.peer_index, item.has_peer_or_address) for item in own} == {("NONE", 0, False)}
    cables = parse_ip_addr(captured("ip_addr_container_busybox.txt"))
    assert all(item.has_peer_or_address for item in cables)
