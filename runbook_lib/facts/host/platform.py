"""A node's platform: which network manager controls the cluster interface, and by which files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.facts.host.addresses import BOOTSYNC
from runbook_lib.facts.host.network_files import (
    INTERFACES,
    HostFile,
    Method,
    find_stanza,
    netplan_definition,
    network_unit_method,
    parse_assignments,
    parse_files,
    parse_network_unit,
    parse_nmcli,
    text_of,
)
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.base import PlatformName


@dataclass(frozen=True)
class HostNetwork:
    """How a host sets up one interface.

    ``platform`` is the manager that controls the interface, ``None`` if there is no supported one or several;
    ``evidence`` is how that was found out. ``source`` is the file (of ifupdown and NetworkManager, the stanza or
    profile) that is in effect, ``method`` and ``addresses`` (CIDR) its content. ``connection`` is the id of
    NetworkManager's active profile and ``profile`` its settings, ``definition`` netplan's (``ethernets.eth1``), which
    the ``renderer`` (``networkd`` or ``NetworkManager``) carries out. ``gateway`` is that of the default route through
    the interface, ``name_servers`` those of the lease. ``files`` are the existing ones that a change may concern.
    """

    node: str
    interface: str
    platform: PlatformName | None
    evidence: str
    source: str = ""
    method: Method = "other"
    addresses: tuple[str, ...] = ()
    connection: str = ""
    definition: str = ""
    renderer: str = ""
    profile: tuple[tuple[str, str], ...] = ()
    gateway: str = ""
    name_servers: tuple[str, ...] = ()
    files: tuple[HostFile, ...] = ()

    def file(self, path: str) -> HostFile:
        """The file of that path, without content if it does not exist."""
        return next((file for file in self.files if file.path == path), HostFile(path))


# `show FILE…` prints each file that is there: its name and mode, then its content in base64.
_PLATFORM_SCRIPT = """\
interface=$1
show() {
    for file in "$@"; do
        if [ -f "$file" ]; then
            printf 'file %s %s\\n' "$(stat -c %a "$file")" "$file"
            base64 "$file"
        fi
    done
}
section init cat /proc/1/comm
section boot2docker test -d /var/lib/boot2docker
if ! section systemd test -d /run/systemd/system; then
    section files show /var/lib/boot2docker/bootsync.sh
    exit 0
fi
index=$(cat "/sys/class/net/$interface/ifindex")
section networkd systemctl is-active systemd-networkd
section link cat "/run/systemd/netif/links/$index"
section lease cat "/run/systemd/netif/leases/$index"
section route ip -4 route show default dev "$interface"
section ifstate cat /run/network/ifstate
if section nm systemctl is-active NetworkManager; then
    section device nmcli -t -f GENERAL.STATE,GENERAL.CON-UUID,IP4.DNS device show "$interface"
    section profiles nmcli -t -f UUID,FILENAME connection show
    profile=$(nmcli -g GENERAL.CON-UUID device show "$interface")
    section profile nmcli -t -f connection.id,connection.type,ipv4.method,ipv4.addresses,ipv6.method \\
        connection show "${profile:-none}"
fi
if command -v netplan >/dev/null; then section netplan netplan get; fi
unit=$(sed -n 's/^NETWORK_FILE=//p' "/run/systemd/netif/links/$index" 2>/dev/null)
section files show "$unit" /etc/systemd/network/*overlay-runbook* \\
    /etc/netplan/*.yaml /etc/network/interfaces /etc/network/interfaces.d/* \\
    /etc/NetworkManager/system-connections/*overlay-runbook*
"""


def read_platform(node: Node, interface: str) -> HostNetwork:
    """Read, in one round trip and as root, how a node sets up an interface.

    Raises ``UnreachableError`` or ``NodeError``.
    """
    sections = read_sections(node, _PLATFORM_SCRIPT, interface, sudo=True)
    with reading(node.name, "network configuration"):
        return parse_platform(node.name, interface, sections)


def parse_platform(node: str, interface: str, sections: Mapping[str, Section]) -> HostNetwork:
    """How a host sets up an interface, from the sections of the script. Raises ``ValueError``."""
    files = parse_files(sections["files"].text)
    if sections["systemd"].exit_status != 0:
        init = sections["init"].text.strip()
        if sections["boot2docker"].exit_status == 0:
            return HostNetwork(
                node, interface, "boot2docker", f"/var/lib/boot2docker, and process 1 is {init}", BOOTSYNC, files=files
            )
        return HostNetwork(node, interface, None, f"process 1 is {init}, and there is no /var/lib/boot2docker")
    found = [host for host in _managers(node, interface, sections, files) if host is not None]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(f"{host.platform} ({host.evidence})" for host in found)
        return HostNetwork(node, interface, None, f"several managers control {interface}: {both}")
    return HostNetwork(
        node,
        interface,
        None,
        f"systemd, and neither systemd-networkd, netplan, NetworkManager nor ifupdown controls {interface}",
    )


def _managers(
    node: str, interface: str, sections: Mapping[str, Section], files: tuple[HostFile, ...]
) -> tuple[HostNetwork | None, ...]:
    route = re.search(r"^default via (\S+)", _good(sections, "route"), re.MULTILINE)
    base = HostNetwork(node, interface, None, "", gateway=route[1] if route else "", files=files)
    return _networkd(base, sections), _network_manager(base, sections), _ifupdown(base, sections)


def _networkd(base: HostNetwork, sections: Mapping[str, Section]) -> HostNetwork | None:
    link = parse_assignments(_good(sections, "link"))
    source = link.get("NETWORK_FILE", "")
    if sections["networkd"].exit_status != 0 or not source or link.get("ADMIN_STATE") == "unmanaged":
        return None
    servers = tuple(parse_assignments(_good(sections, "lease")).get("DNS", "").split())
    evidence = f"systemd-networkd has {base.interface} by {source}"
    rendered = re.fullmatch(r"/run/systemd/network/10-netplan-(.+)\.network", source)
    if rendered:
        return _netplan(base, sections, rendered[1], "networkd", evidence, servers)
    settings = parse_network_unit(text_of(base.files, source))
    method, addresses = network_unit_method(settings)
    return _with(base, "systemd-networkd", evidence, source, method, addresses, name_servers=servers)


def _network_manager(base: HostNetwork, sections: Mapping[str, Section]) -> HostNetwork | None:
    device = parse_nmcli(_good(sections, "device"))
    profile = device.get("GENERAL.CON-UUID", "")
    if not profile or device.get("GENERAL.STATE", "").startswith(("10 ", "20 ", "0 ")):
        return None
    names = dict(line.split(":", 1) for line in _good(sections, "profiles").splitlines() if ":" in line)
    source = names.get(profile, "").replace("\\:", ":")
    settings = parse_nmcli(_good(sections, "profile"))
    evidence = f"NetworkManager has {base.interface} by the profile {settings.get('connection.id', profile)}"
    servers = tuple(value for key, value in device.items() if key.startswith("IP4.DNS"))
    rendered = re.fullmatch(r"/run/NetworkManager/system-connections/netplan-(.+)\.nmconnection", source)
    if rendered:
        host = _netplan(base, sections, rendered[1], "NetworkManager", evidence, servers)
        return _with(host, "netplan", evidence, host.source, host.method, host.addresses, connection=profile)
    method: Method = {"auto": "dhcp", "manual": "static"}.get(settings.get("ipv4.method", ""), "other")  # type: ignore[assignment]
    addresses = tuple(settings.get("ipv4.addresses", "").replace(",", " ").split())
    return _with(
        base,
        "NetworkManager",
        evidence,
        source,
        method,
        addresses,
        connection=profile,
        profile=tuple(settings.items()),
        name_servers=servers,
    )


def _netplan(
    base: HostNetwork,
    sections: Mapping[str, Section],
    name: str,
    renderer: str,
    evidence: str,
    servers: tuple[str, ...],
) -> HostNetwork:
    found = netplan_definition(_good(sections, "netplan"), name)
    if found is None:
        raise ValueError(f"netplan has no definition {name} although {evidence}")
    kind, settings = found
    addresses = tuple(str(item) if not isinstance(item, dict) else next(iter(item)) for item in _list(settings))
    dhcp = settings.get("dhcp4") in (True, "yes", "true")
    method: Method = "dhcp" if dhcp else "static" if addresses else "other"
    return _with(
        base,
        "netplan",
        evidence,
        f"/etc/netplan ({kind}.{name})",
        method,
        addresses,
        definition=f"{kind}.{name}",
        renderer=renderer,
        name_servers=servers,
    )


def _ifupdown(base: HostNetwork, sections: Mapping[str, Section]) -> HostNetwork | None:
    if base.interface not in (line.partition("=")[0] for line in _good(sections, "ifstate").splitlines()):
        return None
    for file in base.files:
        if not file.path.startswith(INTERFACES):
            continue
        stanza = find_stanza(file.text or "", base.interface)
        if stanza is not None:
            evidence = f"ifupdown brought {base.interface} up by {file.path}"
            method: Method = {"dhcp": "dhcp", "static": "static"}.get(stanza.method, "other")  # type: ignore[assignment]
            return _with(base, "ifupdown", evidence, file.path, method, stanza.addresses)
    return None


def _with(
    base: HostNetwork,
    platform: PlatformName,
    evidence: str,
    source: str,
    method: Method,
    addresses: tuple[str, ...],
    **more: Any,
) -> HostNetwork:
    values = {**vars(base), "platform": platform, "evidence": evidence, "source": source, **more}
    return HostNetwork(**{**values, "method": method, "addresses": addresses})


def _list(settings: Mapping[str, Any]) -> list[Any]:
    found = settings.get("addresses")
    return found if isinstance(found, list) else []


def _good(sections: Mapping[str, Section], name: str) -> str:
    section = sections.get(name)
    return section.text if section is not None and section.exit_status == 0 else ""
