"""What the platforms of systemd hosts share: a change takes effect at once, under the protection of a guard.

Why at once, where boot2docker waits for the next boot: here the file may concern the only interface by which the node
is reached, and a mistake that shows at some later, unattended boot costs the node. Taken up now, it is proved, or
undone by the node itself, while somebody looks. An engine whose address changes by it has to be restarted afterwards;
notebook 01 restarts the nodes right after, which also proves that the file persists.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.addresses import read_cluster_address
from runbook_lib.facts.arp import arp_owner
from runbook_lib.facts.platform import HostNetwork
from runbook_lib.steps.base import Say
from runbook_lib.steps.platforms import guard
from runbook_lib.steps.platforms.base import Change, Platform


class SystemdPlatform(Platform):
    """A platform whose network manager takes a change up at once."""

    live = True

    def describe(self, host: HostNetwork, prefix: IPv4Network) -> str:
        """The method, and who says so."""
        addresses = ", ".join(address.partition("/")[0] for address in host.addresses)
        what = {"dhcp": "DHCP", "static": f"static {addresses}"}.get(host.method, "neither DHCP nor an address")
        return f"{what} by {self.name}"

    def settings(self, change: Change) -> Mapping[str, str]:
        """What the guard's script is told: ``manager``, and NetworkManager's profile afterwards and before."""
        return {"manager": self.name, "connection": "", "connection_before": ""}

    def apply(self, cluster: Cluster, node: Node, change: Change, seconds: float, say: Say) -> None:
        """Change the files under a guard, and confirm once the node is reached anew and has what is wanted."""
        network = cluster.inventory.network
        gateway = (change.wanted.gateway or network.gateway) if change.wanted else ""

        def trouble(fresh: Node) -> str:
            current = read_cluster_address(fresh, network)
            if change.wanted is None:
                return "" if current.address else f"{current.interface} has no address yet"
            if (current.address, current.assigned_by) != (change.wanted.address, "static") or current.others:
                found = ", ".join([current.address or "no address", *current.others])
                return f"{current.interface} has {found} ({current.assigned_by}), not {change.wanted.address} by static"
            if gateway and arp_owner(fresh, network.interface, gateway) is None:
                return f"nobody answers at the gateway {gateway}"
            return ""

        guard.change(node, change, self.settings(change), cluster.timeouts, seconds=seconds, trouble=trouble, say=say)
