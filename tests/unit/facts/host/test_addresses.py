from __future__ import annotations

import pytest

from runbook_lib.facts.host.addresses import DhcpClient, cluster_address, parse_dhcp_clients
from runbook_lib.facts.host.ip import parse_ip_addr

UDHCPC = DhcpClient("udhcpc", 36, "eth1")


def address(text: str, *clients: DhcpClient, interface: str = "eth1", expected: str = "192.168.99.104"):
    [found] = [item for item in parse_ip_addr(text) if item.name == interface]
    return cluster_address("node1", found, clients, expected)


def test_an_address_with_a_dhcp_client_beside_it_is_assigned_by_dhcp(captured_sections) -> None:
    sections = captured_sections("addresses_dhcp.txt")
    clients = parse_dhcp_clients(sections["clients"].text)
    assert clients == (UDHCPC,)
    facts = address(sections["interfaces"].text, *clients)
    assert (facts.address, facts.prefix_length) == ("192.168.99.104", 24)
    assert (facts.assigned_by, facts.dhcp_client) == ("dhcp", "udhcpc pid 36")
    assert facts.mac == "02:00:00:00:01:01"
    assert facts.as_expected


def test_an_address_without_any_client_is_static(captured_sections) -> None:
    facts = address(captured_sections("addresses_dhcp.txt")["interfaces"].text)
    assert (facts.assigned_by, facts.dhcp_client) == ("static", "")


def test_another_interface_s_client_does_not_count(captured_sections) -> None:
    text = captured_sections("addresses_dhcp.txt")["interfaces"].text
    assert address(text, DhcpClient("udhcpc", 40, "eth0")).assigned_by == "static"


def test_a_lease_that_ends_is_dhcp_even_without_a_client_process() -> None:
    text = (
        "3: eth1: <UP> mtu 1500\n    inet 10.9.9.9/24 scope global dynamic eth1\n"
        "       valid_lft 600sec preferred_lft 300sec\n"
    )
    assert address(text).assigned_by == "dhcp"


@pytest.mark.parametrize("manager", ["systemd-networkd", "NetworkManager"])
def test_a_manager_that_holds_a_lease_itself_is_the_client(captured_sections, manager: str) -> None:
    [eth1] = [
        item
        for item in parse_ip_addr(captured_sections("addresses_dhcp.txt")["interfaces"].text)
        if item.name == "eth1"
    ]
    facts = cluster_address("node1", eth1, (), "192.168.99.104", [manager])
    assert (facts.assigned_by, facts.dhcp_client) == ("dhcp", manager)


def test_an_interface_without_address_says_none_and_still_names_its_client() -> None:
    facts = address("3: eth1: <UP> mtu 1500\n    link/ether 02:00:00:00:01:01 brd ff:ff:ff:ff:ff:ff\n", UDHCPC)
    assert (facts.address, facts.assigned_by, facts.dhcp_client) == (None, "none", "udhcpc pid 36")
    assert not facts.as_expected


def test_a_second_address_is_seen_and_is_not_as_expected() -> None:
    text = (
        "3: eth1: <UP> mtu 1500\n    inet 192.168.99.104/24 scope global eth1\n"
        "    inet 192.168.99.31/24 scope global eth1\n"
    )
    facts = address(text)
    assert facts.others == ("192.168.99.31",)
    assert not facts.as_expected


def test_processes_that_only_mention_a_client_are_none(captured) -> None:
    clients = parse_dhcp_clients(captured("processes_naming_a_client.txt"))
    assert [client.interface for client in clients] == ["eth1", "eth1"]  # the shell that runs one is left out
    assert all(client.name == "udhcpc" for client in clients)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("36\tbusybox\tudhcpc\t-b\t-i\teth1\t", DhcpClient("udhcpc", 36, "eth1")),
        ("36\t/sbin/udhcpc\t-b\t-ieth1", DhcpClient("udhcpc", 36, "eth1")),
        ("36\tudhcpc\t--interface=eth1\t-b", DhcpClient("udhcpc", 36, "eth1")),
        ("36\tudhcpc\t--interface\teth1", DhcpClient("udhcpc", 36, "eth1")),
        ("36\tudhcpc", DhcpClient("udhcpc", 36, "eth0")),
        ("9\t/sbin/dhclient\t-4\t-pf\t/run/dhclient.pid\teth1", DhcpClient("dhclient", 9, "eth1")),
        ("9\tdhcpcd: eth1 [ip4]", DhcpClient("dhcpcd", 9, "eth1")),
        ("9\t/usr/sbin/dhcpcd\t-q\teth1", DhcpClient("dhcpcd", 9, "eth1")),
    ],
)
def test_every_way_to_call_a_client_is_understood(line: str, expected: DhcpClient) -> None:
    assert parse_dhcp_clients(line) == (expected,)


@pytest.mark.parametrize(
    "line", ["", "40\t", "40\tgrep\t-e\tudhcpc", "40\tsh\t-c\tudhcpc -i eth1", "40\tbusybox", "40\tvi\tudhcpc"]
)
def test_other_processes_are_passed_over(line: str) -> None:
    assert parse_dhcp_clients(line) == ()


def test_a_line_without_pid_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_dhcp_clients("grep: unrecognized option\n")
