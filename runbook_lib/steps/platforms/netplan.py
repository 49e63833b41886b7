"""netplan: a file of our own that netplan merges over the others (netplan-generate(8): later ones win)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import yaml

from runbook_lib.facts.host.network_files import HostFile
from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.platforms.base import Change, PlatformRefusal, Wanted
from runbook_lib.steps.platforms.systemd_host import SystemdPlatform


def yaml_path(interface: str) -> str:
    """Where our file is; netplan reads its files in lexical order."""
    return f"/etc/netplan/99-overlay-runbook-{interface}.yaml"


class Netplan(SystemdPlatform):
    """Hosts whose network is described for netplan, whichever renderer carries it out."""

    name: ClassVar[PlatformName] = "netplan"
    ours = "our file for netplan"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our file is there."""
        return host.file(yaml_path(host.interface)).content is not None

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """Our file. netplan adds lists up, so an address that another file gives would stay: that is refused."""
        file = host.file(yaml_path(host.interface))
        present = _definition(file, host.definition)
        foreign = [address for address in host.addresses if address not in present.get("addresses", ())]
        if foreign:
            raise PlatformRefusal(
                f"netplan's own files give {host.interface} the address {', '.join(foreign)}, and netplan adds them up",
                remedy=f"delete the addresses of {host.definition} from the files in /etc/netplan, then run this again",
            )
        kind, _, name = host.definition.partition(".")
        settings: dict[str, Any] = {"dhcp4": False, "addresses": [wanted.cidr]}
        if wanted.gateway:
            settings["routes"] = [{"to": "default", "via": wanted.gateway}]
        servers = present.get("nameservers") or ({"addresses": [*wanted.name_servers]} if wanted.name_servers else None)
        if servers:
            settings["nameservers"] = servers
        text = yaml.safe_dump({"network": {"version": 2, kind: {name: settings}}}, sort_keys=False)
        note = f"# overlay-runbook: {host.interface} has a fixed address. To undo, delete this file: netplan apply.\n"
        return (file.with_text(note + text, mode=0o600),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """No file of ours."""
        return (HostFile(yaml_path(host.interface)),)

    def settings(self, change: Change) -> Mapping[str, str]:
        """The renderer does the work; NetworkManager's profile has netplan's name for it."""
        profile = f"netplan-{change.host.definition.partition('.')[2]}"
        return {"manager": f"netplan-{change.host.renderer}", "connection": profile, "connection_before": profile}


def _definition(file: HostFile, definition: str) -> dict[str, Any]:
    kind, _, name = definition.partition(".")
    network = (yaml.safe_load(file.text or "") or {}).get("network") or {}
    found = (network.get(kind) or {}).get(name)
    return found if isinstance(found, dict) else {}
