from __future__ import annotations

import io
import shlex
import tarfile
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork, parse_platform
from runbook_lib.facts.sections import parse_sections
from runbook_lib.steps.platforms import PLATFORMS, Change, FileChange, PlatformRefusal, Wanted, changes, platform_of
from runbook_lib.steps.platforms.systemd_host import SystemdPlatform, unpackable

CAPTURED = Path(__file__).parents[2] / "facts" / "captured"
PREFIX = IPv4Network("192.168.99.0/24")
WANTED = Wanted("eth1", "192.168.99.50", PREFIX, "192.168.99.1", ("192.168.99.1",))
LIVE = {
    "systemd-networkd": "platform_networkd.txt",
    "netplan": "platform_netplan.txt",
    "NetworkManager": "platform_network_manager.txt",
    "ifupdown": "platform_ifupdown.txt",
}

each_live_platform = pytest.mark.parametrize("name", LIVE)


def captured(name: str) -> HostNetwork:
    return parse_platform("node1", "eth1", parse_sections((CAPTURED / LIVE[name]).read_text()))


def having(host: HostNetwork, files: tuple[HostFile, ...]) -> HostNetwork:
    """The host once these files are written."""
    paths = {file.path for file in files}
    kept = [file for file in host.files if file.path not in paths]
    return replace(host, files=(*kept, *(file for file in files if file.content is not None)))


def text_of(host: HostNetwork, wanted: Wanted = WANTED) -> str:
    (file,) = platform_of(host).fixed(host, wanted)
    assert file.text is not None
    return file.text


@each_live_platform
def test_a_fixed_host_is_ours_wants_no_second_change_and_is_given_back_byte_for_byte(name: str) -> None:
    host = captured(name)
    platform = platform_of(host, name)
    assert not platform.is_ours(host)
    fixed = having(host, platform.fixed(host, WANTED))
    if name == "systemd-networkd":
        fixed = replace(fixed, source=platform.fixed(host, WANTED)[0].path)
    if name == "netplan":
        fixed = replace(fixed, addresses=(WANTED.cidr,))
    assert platform.is_ours(fixed)
    assert changes(fixed, platform.fixed(fixed, WANTED)) == ()
    back = having(fixed, platform.original(fixed))
    assert sorted(back.files, key=lambda file: file.path) == sorted(host.files, key=lambda file: file.path)


@each_live_platform
def test_another_address_replaces_ours(name: str) -> None:
    host = captured(name)
    platform = platform_of(host)
    fixed = having(host, platform.fixed(host, WANTED))
    other = text_of(fixed, replace(WANTED, address="192.168.99.51"))
    assert "192.168.99.51/24" in other
    assert "192.168.99.50" not in other


@each_live_platform
def test_address_gateway_and_name_servers_are_in_the_file(name: str) -> None:
    text = text_of(captured(name))
    assert "192.168.99.50/24" in text
    assert text.count("192.168.99.1") >= (1 if name == "ifupdown" else 2)
    assert "overlay-runbook" in text


@each_live_platform
def test_an_interface_without_default_route_gets_no_gateway(name: str) -> None:
    text = text_of(captured(name), replace(WANTED, gateway="", name_servers=()))
    assert "192.168.99.1\n" not in text


def test_networkd_keeps_what_its_own_file_says_besides_ipv4() -> None:
    unit = """\
[Match]
MACAddress=02:00:00:00:00:01

[Link]
MTUBytes=1400

[Network]
DHCP=yes
DNS=192.0.2.53
IPForward=ipv4

[DHCPv4]
UseDNS=no

[Route]
Destination=10.9.0.0/16
Gateway=192.168.99.7
"""
    host = captured("systemd-networkd")
    text = text_of(replace(host, files=(HostFile(host.source, unit.encode()),)))
    assert "Name=eth1\n" in text
    assert "MACAddress" not in text
    assert "MTUBytes=1400" in text
    assert "DHCP=ipv6" in text
    assert "UseDNS" not in text
    assert "DNS=192.0.2.53\n" in text
    assert "DNS=192.168.99.1" not in text
    assert "[Route]\nDestination=10.9.0.0/16\nGateway=192.168.99.7\n" in text


def test_netplan_is_given_the_definition_that_it_has_and_nobody_else_may_read_it() -> None:
    (file,) = PLATFORMS["netplan"].fixed(captured("netplan"), WANTED)
    assert (file.path, file.mode) == ("/etc/netplan/99-overlay-runbook-eth1.yaml", 0o600)
    assert yaml.safe_load(file.text or "")["network"]["ethernets"]["cluster"]["dhcp4"] is False


def test_an_address_in_netplan_s_own_files_would_stay_and_is_refused() -> None:
    host = replace(captured("netplan"), method="static", addresses=("192.168.99.9/24",))
    with pytest.raises(PlatformRefusal, match=r"192\.168\.99\.9/24, and netplan adds them up"):
        PLATFORMS["netplan"].fixed(host, WANTED)


def test_a_profile_of_network_manager_is_private_and_preferred_and_only_for_wired_interfaces() -> None:
    host = captured("NetworkManager")
    (file,) = PLATFORMS["NetworkManager"].fixed(host, WANTED)
    assert file.mode == 0o600
    assert "autoconnect-priority=999\n" in (file.text or "")
    assert "address1=192.168.99.50/24,192.168.99.1\n" in (file.text or "")
    with pytest.raises(PlatformRefusal, match="only wired ones"):
        PLATFORMS["NetworkManager"].fixed(replace(host, profile=(("connection.type", "bridge"),)), WANTED)


@pytest.mark.parametrize("end", ["\n", "", "\n\n# more\n"])
def test_ifupdown_keeps_the_old_stanza_as_a_comment_and_its_hooks(end: str) -> None:
    before = f"auto eth1\niface eth1 inet dhcp\n    up echo up\n    hostname x{end}"
    host = replace(captured("ifupdown"), files=(HostFile("/etc/network/interfaces", before.encode(), 0o640),))
    (file,) = PLATFORMS["ifupdown"].fixed(host, WANTED)
    assert "# was: iface eth1 inet dhcp\n" in (file.text or "")
    assert "\niface eth1 inet static\n    address 192.168.99.50/24\n    gateway 192.168.99.1\n    up echo up\n" in (
        file.text or ""
    )
    assert file.mode == 0o640
    (back,) = PLATFORMS["ifupdown"].original(replace(host, files=(file,)))
    assert back == host.files[0]


def test_a_host_that_nothing_known_controls_is_refused() -> None:
    host = HostNetwork("node1", "eth1", None, "process 1 is runit")
    with pytest.raises(PlatformRefusal, match="nothing known here gives eth1 its address: process 1 is runit"):
        platform_of(host)


def test_a_difference_reads_as_diff_u_has_it() -> None:
    new = FileChange(HostFile("/etc/a"), HostFile("/etc/a", b"one\ntwo"))
    assert new.diff == "--- /dev/null\n+++ /etc/a\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
    gone = FileChange(HostFile("/etc/a", b"one\n"), HostFile("/etc/a"))
    assert gone.diff == "--- /etc/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"


def test_the_guard_is_told_files_modes_and_what_is_to_go() -> None:
    host = captured("NetworkManager")
    platform = PLATFORMS["NetworkManager"]
    assert isinstance(platform, SystemdPlatform)
    files = (
        *changes(host, platform.fixed(host, WANTED)),
        FileChange(HostFile("/etc/old", b"x"), HostFile("/etc/old")),
    )
    work = Change(host, files, WANTED)
    with tarfile.open(fileobj=io.BytesIO(unpackable(work, platform.settings(work), 30))) as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        content = {name: file.read().decode() for name, file in members.items() if file is not None}
    assert content["manifest"] == (
        "0600 /etc/NetworkManager/system-connections/overlay-runbook-eth1.nmconnection\n- /etc/old\n"
    )
    assert set(content) == {"guard.sh", "overlay-runbook-guard.service", "settings", "manifest", "wanted/1"}
    settings = dict(word.split("=", 1) for word in shlex.split(content["settings"]))
    assert settings == {
        "manager": "NetworkManager",
        "connection": "overlay-runbook-eth1",
        "connection_before": host.connection,
        "interface": "eth1",
        "seconds": "30.0",
    }
