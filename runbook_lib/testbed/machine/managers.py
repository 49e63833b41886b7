"""The four network managers of Debian hosts: the files of each on a new host whose eth1 uses DHCP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook_lib.model.base import PlatformName

MANAGERS: tuple[PlatformName, ...] = ("systemd-networkd", "netplan", "NetworkManager", "ifupdown")
"""The managers of the first four nodes; further nodes repeat them."""

_LIB = "/lib/systemd/system"


@dataclass(frozen=True)
class Manager:
    """Files (path without the leading slash: text), their mode, and links (path: target) of one manager."""

    files: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    mode: int = 0o644


def _enabled(unit: str, *targets: str, alias: str = "") -> dict[str, str]:
    """The links that ``systemctl enable`` makes."""
    links = {f"etc/systemd/system/{target}.wants/{unit}": f"{_LIB}/{unit}" for target in targets}
    return links | ({f"etc/systemd/system/{alias}": f"{_LIB}/{unit}"} if alias else {})


_NETWORKD = Manager(
    files={
        "etc/systemd/network/20-eth1.network": "[Match]\nName=eth1\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n"
    },
    links={
        **_enabled("systemd-networkd.service", "multi-user.target", alias="dbus-org.freedesktop.network1.service"),
        **_enabled("systemd-networkd.socket", "sockets.target"),
        **_enabled("systemd-networkd-wait-online.service", "network-online.target"),
    },
)

# Its generator enables networkd at each boot.
_NETPLAN = Manager(
    files={
        "etc/netplan/50-cluster.yaml": """\
network:
  version: 2
  renderer: networkd
  ethernets:
    eth1:
      dhcp4: true
      link-local: []
"""
    },
    mode=0o600,
)

_NETWORK_MANAGER = Manager(
    files={
        "etc/NetworkManager/system-connections/eth1.nmconnection": """\
[connection]
id=eth1
uuid=6f4b2a0e-3c43-4f7e-9c55-0d2a4f1e7b01
type=ethernet
interface-name=eth1

[ipv4]
method=auto

[ipv6]
method=disabled
"""
    },
    links={
        **_enabled("NetworkManager.service", "multi-user.target"),
        **_enabled("NetworkManager-wait-online.service", "network-online.target"),
    },
    mode=0o600,
)

_IFUPDOWN = Manager(
    files={
        "etc/network/interfaces": """\
# interfaces(5) file used by ifup(8) and ifdown(8)
# Include files from /etc/network/interfaces.d:
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

auto eth1
iface eth1 inet dhcp
"""
    },
    links=_enabled("networking.service", "multi-user.target", "network-online.target"),
)

_BY_NAME: Mapping[PlatformName, Manager] = {
    "systemd-networkd": _NETWORKD,
    "netplan": _NETPLAN,
    "NetworkManager": _NETWORK_MANAGER,
    "ifupdown": _IFUPDOWN,
}


def manager_of(index: int) -> PlatformName:
    """The manager of the node with this number (from 1)."""
    return MANAGERS[(index - 1) % len(MANAGERS)]


def manager(platform: PlatformName) -> Manager:
    """The files of a host with this manager. Raises ``KeyError`` for boot2docker, which has none."""
    return _BY_NAME[platform]
