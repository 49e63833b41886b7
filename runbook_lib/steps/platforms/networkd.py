"""systemd-networkd: a ``.network`` file of our own that comes before the one in effect and says the same otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from runbook_lib.facts.host.network_files import HostFile, parse_network_unit, text_of
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.platforms.base import Wanted
from runbook_lib.steps.platforms.systemd_host import SystemdPlatform

_DHCP_ALSO_IPV6 = ("yes", "true", "on", "1", "both", "ipv6", "v6")


def unit_path(interface: str) -> str:
    """Where our file is. The first in lexical order that matches an interface is the only one in effect."""
    return f"/etc/systemd/network/00-overlay-runbook-{interface}.network"


class Networkd(SystemdPlatform):
    """Hosts whose cluster interface systemd-networkd sets up from its own files."""

    name: ClassVar[PlatformName] = "systemd-networkd"
    ours = "our file for systemd-networkd"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our file is there."""
        return host.file(unit_path(host.interface)).content is not None

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """Our file: the address, and everything else that the file in effect says."""
        return (host.file(unit_path(host.interface)).with_text(_unit(host, wanted)),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """Our file is removed: the previous one is in effect again."""
        return (HostFile(unit_path(host.interface)),)


def _unit(host: HostNetwork, wanted: Wanted) -> str:
    ours = unit_path(host.interface)
    source = ours if host.file(ours).content is not None else host.source
    kept = tuple(_kept(text_of(host.files, source)))
    network = [line for section, line in kept if section == "Network"]
    if not any(line.startswith("DNS=") for line in network):
        network += [f"DNS={server}" for server in wanted.name_servers]
    lines = [
        f"# overlay-runbook: {wanted.interface} has a fixed address. To undo, delete this file: networkctl reload.",
        "[Match]",
        f"Name={wanted.interface}",
        "",
        "[Network]",
        f"Address={wanted.cidr}",
        *([f"Gateway={wanted.gateway}"] if wanted.gateway else []),
        *network,
    ]
    current = "Network"
    for section, line in kept:
        if section == "Network":
            continue
        # A repeated section starts again with its first key.
        if section != current:
            lines += ["", f"[{section}]"]
            current = section
        lines.append(line)
    return "\n".join(lines) + "\n"


def _kept(text: str) -> Iterator[tuple[str, str]]:
    """What stays of a unit: all but what it is for, IPv4's addresses and DHCP, and the gateway."""
    for section, key, value in parse_network_unit(text):
        ipv4 = "." in value
        if section in ("Match", "DHCPv4", "DHCP") or (section == "Address" and ipv4):
            continue
        if section == "Network" and key == "DHCP":
            if value.lower() in _DHCP_ALSO_IPV6:
                yield section, "DHCP=ipv6"
        elif not (section == "Network" and key in ("Address", "Gateway") and ipv4):
            yield section, f"{key}={value}"
