"""One implementation for each way in which hosts boot and get their addresses, all behind one interface."""

from __future__ import annotations

from runbook_lib.facts.host.platform import HostNetwork
from runbook_lib.model.base import PlatformName
from runbook_lib.steps.platforms.base import Change, FileChange, Platform, PlatformRefusal, Wanted, changes
from runbook_lib.steps.platforms.boot2docker import Boot2docker
from runbook_lib.steps.platforms.ifupdown import Ifupdown
from runbook_lib.steps.platforms.netplan import Netplan
from runbook_lib.steps.platforms.network_manager import NetworkManager
from runbook_lib.steps.platforms.networkd import Networkd

PLATFORMS: dict[PlatformName, Platform] = {
    platform.name: platform for platform in (Boot2docker(), Networkd(), Netplan(), NetworkManager(), Ifupdown())
}


def platform_of(host: HostNetwork, named: str = "auto") -> Platform:
    """The platform of a host, as its facts tell it.

    Raises:
        PlatformRefusal: ``named`` is neither ``auto`` nor what the host runs; or it runs nothing that is known here.
    """
    if host.platform is None:
        raise PlatformRefusal(
            f"nothing known here gives {host.interface} its address: {host.evidence}",
            remedy=f"is network.interface right? known are {', '.join(PLATFORMS)}",
        )
    if named not in ("auto", host.platform):
        raise PlatformRefusal(
            f"the platform {named} is named, the node runs {host.platform} instead ({host.evidence})",
            remedy=f"say platform: auto, or platform: {host.platform} at this node of the inventory",
        )
    return PLATFORMS[host.platform]


__all__ = [
    "PLATFORMS",
    "Change",
    "FileChange",
    "Platform",
    "PlatformRefusal",
    "Wanted",
    "changes",
    "platform_of",
]
