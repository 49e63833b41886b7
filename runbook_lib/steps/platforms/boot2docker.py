"""boot2docker: a marked block in ``bootsync.sh``, which takes effect at the next boot.

There is deliberately no "apply now". The engine advertises the address of its cluster interface, etcd's members listen
on and are configured with those addresses: changing one under a running engine cuts it off from its store and its
peers while everything still looks alive. A boot is the moment at which nothing depends on the address yet. It cannot
cost the node either: its other interface, over which docker-machine reaches it, is not touched.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import ClassVar

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.addresses import BOOTSYNC
from runbook_lib.facts.network_files import HostFile
from runbook_lib.facts.platform import HostNetwork
from runbook_lib.model.platforms import PlatformName
from runbook_lib.steps.base import Say
from runbook_lib.steps.blocks import find_block, put_block, remove_block
from runbook_lib.steps.boot_files import Restoration, check_markers, restore, write_boot_script
from runbook_lib.steps.boot_scripts import STATIC_ADDRESS, address_lines, static_address
from runbook_lib.steps.platforms.base import Change, Platform, Wanted

_ADDRESS = re.compile(r"^    interface=\S+ address=(\S+) ", re.MULTILINE)


class Boot2docker(Platform):
    """Hosts that docker-machine makes."""

    name: ClassVar[PlatformName] = "boot2docker"
    live = False
    ours = "block in bootsync.sh"

    def is_ours(self, host: HostNetwork) -> bool:
        """True when our block is in ``bootsync.sh``."""
        text = host.file(BOOTSYNC).text
        check_markers(host.node, BOOTSYNC, text, STATIC_ADDRESS)
        return find_block(text, STATIC_ADDRESS) is not None

    def describe(self, host: HostNetwork, prefix: IPv4Network) -> str:
        """What ``bootsync.sh`` does at the next boot: our block, else other lines, else nothing (DHCP)."""
        text = host.file(BOOTSYNC).text
        body = find_block(text, STATIC_ADDRESS)
        if body is None:
            foreign = address_lines(text, host.interface)
            return f"bootsync.sh {foreign[-1]}" if foreign else "DHCP at boot"
        found = _ADDRESS.search(body)
        if found and body == static_address(host.interface, found[1], prefix):
            return f"static {found[1]} at boot"
        return "another static-address block"

    def fixed(self, host: HostNetwork, wanted: Wanted) -> tuple[HostFile, ...]:
        """``bootsync.sh`` with the block."""
        file = host.file(BOOTSYNC)
        body = static_address(wanted.interface, wanted.address, wanted.prefix)
        return (file.holding(put_block(file.text, STATIC_ADDRESS, body), mode=0o755),)

    def original(self, host: HostNetwork) -> tuple[HostFile, ...]:
        """``bootsync.sh`` without the block."""
        file = host.file(BOOTSYNC)
        return (file.holding(remove_block(file.text, STATIC_ADDRESS)),)

    def apply(self, cluster: Cluster, node: Node, change: Change, seconds: float, say: Say) -> None:
        """Write the file, or what is left of it."""
        for file in change.files:
            text = file.after.text
            if text is not None and find_block(text, STATIC_ADDRESS) is not None:
                write_boot_script(node, file.path, text)
            else:
                restore(node, Restoration(file.path, text))
