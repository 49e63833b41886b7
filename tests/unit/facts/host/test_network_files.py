from __future__ import annotations

import pytest

from runbook_lib.facts.host.network_files import (
    HostFile,
    find_stanza,
    netplan_definition,
    parse_files,
    parse_network_unit,
)


def test_a_file_is_read_with_its_mode_and_every_byte() -> None:
    files = parse_files("file 600 /etc/a b\nAAEC\nAwQ=\nfile 644 /etc/empty\n")
    assert files == (HostFile("/etc/a b", b"\0\1\2\3\4", 0o600), HostFile("/etc/empty", b"", 0o644))
    with pytest.raises(ValueError, match="not a file"):
        parse_files("cat: no such file\n")


def test_a_file_keeps_its_mode_when_its_text_changes_and_a_new_one_gets_the_wanted() -> None:
    assert HostFile("/etc/a", b"x", 0o640).with_text("y", mode=0o600).mode == 0o640
    assert HostFile("/etc/a").with_text("y", mode=0o600).mode == 0o600


STANZAS = """\
auto lo eth1
iface lo inet loopback

iface eth1 inet6 auto
allow-hotplug eth1
iface eth1 inet static
    address 10.1.1.7
    # a comment
    netmask 255.255.255.0
    up ip route add 10.9.0.0/16 via 10.1.1.1

# the next one
iface eth2 inet dhcp
"""


def test_a_stanza_ends_with_its_last_option() -> None:
    stanza = find_stanza(STANZAS, "eth1")
    assert stanza is not None
    assert (stanza.first, stanza.last, stanza.method, stanza.addresses) == (5, 9, "static", ("10.1.1.7/24",))
    assert stanza.options[-1] == ("up", "ip route add 10.9.0.0/16 via 10.1.1.1")
    assert find_stanza(STANZAS, "eth3") is None


def test_several_stanzas_of_one_interface_are_refused() -> None:
    with pytest.raises(ValueError, match="eth1 has 2 inet stanzas"):
        find_stanza(STANZAS + "iface eth1 inet dhcp\n", "eth1")


def test_assignments_of_a_network_unit_keep_their_section_and_order() -> None:
    text = "[Match]\nName=eth1\n# no\n[Network]\nAddress = 10.1.1.7/24\nDNS=a\nDNS=b\n"
    assert parse_network_unit(text) == (
        ("Match", "Name", "eth1"),
        ("Network", "Address", "10.1.1.7/24"),
        ("Network", "DNS", "a"),
        ("Network", "DNS", "b"),
    )


@pytest.mark.parametrize("text", ["a: [", "just words", "- a list"])
def test_what_is_no_yaml_of_netplan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not YAML"):
        netplan_definition(text, "eth1")


def test_a_definition_is_found_whatever_its_kind() -> None:
    text = "network:\n  version: 2\n  bonds:\n    bond0: {dhcp4: true}\n"
    assert netplan_definition(text, "bond0") == ("bonds", {"dhcp4": True})
    assert netplan_definition(text, "eth1") is None
