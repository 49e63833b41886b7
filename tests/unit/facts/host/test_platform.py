from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.host.platform import parse_platform
from runbook_lib.facts.sections import Section


@pytest.mark.parametrize(
    ("file", "platform", "source"),
    [
        ("platform_networkd.txt", "systemd-networkd", "/etc/systemd/network/50-eth1.network"),
        ("platform_netplan.txt", "netplan", "/etc/netplan (ethernets.cluster)"),
        (
            "platform_network_manager.txt",
            "NetworkManager",
            "/run/NetworkManager/system-connections/Wired connection 1.nmconnection",
        ),
        ("platform_ifupdown.txt", "ifupdown", "/etc/network/interfaces"),
    ],
)
def test_who_really_controls_the_interface_is_told_from_what_the_host_says(
    captured_sections, file: str, platform: str, source: str
) -> None:
    host = parse_platform("node1", "eth1", captured_sections(file))
    assert (host.platform, host.source, host.method) == (platform, source, "dhcp")
    assert host.gateway == "192.168.99.1"
    assert "eth1" in host.evidence


def test_netplan_is_told_by_what_it_rendered_and_its_definition_may_have_another_name(captured_sections) -> None:
    host = parse_platform("node1", "eth1", captured_sections("platform_netplan.txt"))
    assert (host.definition, host.renderer, host.name_servers) == ("ethernets.cluster", "networkd", ("192.168.99.1",))
    assert host.file("/etc/netplan/50-cloud.yaml").mode == 0o600


def test_the_profile_of_network_manager_is_named(captured_sections) -> None:
    host = parse_platform("node1", "eth1", captured_sections("platform_network_manager.txt"))
    assert host.connection == "69433363-9c77-33a5-ada0-0565fae92e22"
    assert host.name_servers == ("192.168.99.1",)


def test_a_profile_of_the_host_s_own_is_read_as_network_manager_has_it(captured_sections) -> None:
    host = parse_platform("node3", "eth1", captured_sections("platform_profile_of_network_manager.txt"))
    assert host.source == "/etc/NetworkManager/system-connections/eth1.nmconnection"
    assert dict(host.profile)["ipv6.method"] == "disabled"
    assert (host.gateway, host.name_servers) == ("", ())


def test_an_interface_that_no_manager_has_is_nobody_s(captured_sections) -> None:
    host = parse_platform("node1", "eth7", captured_sections("platform_ifupdown.txt"))
    assert host.platform is None
    assert "neither systemd-networkd, netplan, NetworkManager nor ifupdown controls eth7" in host.evidence


def test_two_managers_of_one_interface_are_both_named_and_neither_is_chosen(captured_sections) -> None:
    networkd, ifupdown = captured_sections("platform_networkd.txt"), captured_sections("platform_ifupdown.txt")
    files = Section(networkd["files"].text + ifupdown["files"].text, 0)
    host = parse_platform("node1", "eth1", networkd | {"ifstate": ifupdown["ifstate"], "files": files})
    assert host.platform is None
    assert "systemd-networkd (" in host.evidence
    assert "ifupdown (" in host.evidence


def test_a_host_without_systemd_is_boot2docker_where_its_folder_is() -> None:
    good, bad = Section("", 0), Section("", 1)
    sections = {"init": Section("init\n", 0), "boot2docker": good, "systemd": bad, "files": good}
    assert parse_platform("node1", "eth1", sections).platform == "boot2docker"
    assert parse_platform("node1", "eth1", sections | {"boot2docker": bad}).platform is None


def test_a_static_address_of_the_host_s_own_is_seen(captured_sections) -> None:
    sections = captured_sections("platform_netplan.txt")
    text = "network:\n  ethernets:\n    cluster: {addresses: [10.1.1.7/24]}\n"
    host = parse_platform("node1", "eth1", sections | {"netplan": replace(sections["netplan"], text=text)})
    assert (host.method, host.addresses) == ("static", ("10.1.1.7/24",))
