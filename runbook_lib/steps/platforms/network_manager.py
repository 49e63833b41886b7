"""NetworkManager: a profile of our own, preferred to the one in effect, which stays as it is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import ClassVar

from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.platforms.base import Change, PlatformRefusal, Wanted
from runbook_lib.steps.platforms.systemd_host import SystemdPlatform

_HIGHEST_PRIORITY = 999
_ETHERNET = "802-3-ethernet"


def profile_path(interface: str) -> str:
    """Where our profile is. NetworkManager ignores one that others may read."""
    return f"/etc/NetworkManager/system-connections/overlay-runbook-{interface}.nmconnection"


class NetworkManager(SystemdPlatform):
    """Hosts whose cluster interface NetworkManager sets up."""

    name: ClassVar[PlatformName] = "NetworkManager"
    ours = "our profile for NetworkManager"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our profile is there."""
        return host.file(profile_path(host.interface)).content is not None

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """Our profile, for wired interfaces."""
        profile = dict(host.profile)
        if profile.get("connection.type", _ETHERNET) != _ETHERNET:
            raise PlatformRefusal(
                f"{host.interface} is a {profile['connection.type']} for NetworkManager, and only wired ones are done",
                remedy=f"fix it by hand: nmcli connection modify {host.connection} ipv4.method manual …",
            )
        file = host.file(profile_path(host.interface))
        return (file.with_text(_keyfile(file, profile.get("ipv6.method", ""), wanted), mode=0o600),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """No profile of ours."""
        return (HostFile(profile_path(host.interface)),)

    def settings(self, change: Change) -> Mapping[str, str]:
        """Ours while it is to be there; without it the device takes the best of the others."""
        ours = f"overlay-runbook-{change.host.interface}"
        before = change.host.connection
        return {"manager": self.name, "connection": ours if change.wanted else "", "connection_before": before}


def _keyfile(file: HostFile, ipv6_method: str, wanted: Wanted) -> str:
    name = f"overlay-runbook-{wanted.interface}"
    servers = [line for line in (file.text or "").splitlines() if line.startswith("dns=")]
    if not servers and wanted.name_servers:
        servers = [f"dns={';'.join(wanted.name_servers)};"]
    return "\n".join(
        [
            f"# overlay-runbook: {wanted.interface} has a fixed address. To undo: nmcli connection delete {name}",
            "[connection]",
            f"id={name}",
            f"uuid={uuid.uuid5(uuid.NAMESPACE_DNS, name)}",
            "type=ethernet",
            f"interface-name={wanted.interface}",
            f"autoconnect-priority={_HIGHEST_PRIORITY}",
            "",
            "[ipv4]",
            "method=manual",
            f"address1={wanted.cidr}{f',{wanted.gateway}' if wanted.gateway else ''}",
            *servers,
            "",
            "[ipv6]",
            f"method={ipv6_method or 'auto'}",
            "",
        ]
    )
