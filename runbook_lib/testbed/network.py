"""The switch: two bridges in a namespace of their own, and the host's cable to each of them.

The host's firewall never sees the nodes' frames, and nothing of the host's own network is changed.
"""

from __future__ import annotations

from pathlib import Path

from runbook_lib.testbed import host
from runbook_lib.testbed.layout import Layout, NodeLayout

_NAMESPACES = Path("/run/netns")
MANAGEMENT_BRIDGE = "management"
CLUSTER_BRIDGE = "cluster"


def namespace_exists(name: str) -> bool:
    """Whether the host has a named network namespace of this name."""
    return (_NAMESPACES / name).exists()


def link_exists(name: str) -> bool:
    """Whether the host has an interface of this name."""
    return Path("/sys/class/net", name).exists()


def leftovers(layout: Layout) -> list[str]:
    """The testbed's namespaces and links that exist now."""
    namespaces = [f"network namespace {name}" for name in layout.namespaces if namespace_exists(name)]
    return namespaces + [f"link {name}" for name in layout.host_links if link_exists(name)]


def switch_is_up(layout: Layout) -> bool:
    """Whether the switch and the host's cables exist."""
    return namespace_exists(layout.switch_namespace) and all(link_exists(name) for name in layout.host_links)


def create_switch(layout: Layout) -> None:
    """Make the switch and plug the host into both of its bridges.

    Raises:
        TestbedError: a link or namespace could not be made.
    """
    host.run(["ip", "netns", "add", layout.switch_namespace])
    cluster_prefix, management_prefix = layout.cluster.prefixlen, layout.management.prefixlen
    host.ip_batch(
        [
            "link set lo up",
            f"link add {MANAGEMENT_BRIDGE} type bridge mcast_snooping 0",
            f"link add {CLUSTER_BRIDGE} type bridge mcast_snooping 0",
            f"link set {MANAGEMENT_BRIDGE} up",
            f"link set {CLUSTER_BRIDGE} up",
            f"addr add {layout.dhcp_server}/{cluster_prefix} dev {CLUSTER_BRIDGE}",
        ],
        namespace=layout.switch_namespace,
    )
    management, cluster = layout.host_links
    host.ip_batch(
        [
            f"link add {management} type veth peer name host-m netns {layout.switch_namespace}",
            f"link add {cluster} type veth peer name host-c netns {layout.switch_namespace}",
            f"addr add {layout.host_management_address}/{management_prefix} dev {management}",
            f"addr add {layout.gateway}/{cluster_prefix} dev {cluster}",
            f"link set {management} up",
            f"link set {cluster} up",
        ]
    )
    host.ip_batch(
        [f"link set host-m master {MANAGEMENT_BRIDGE} up", f"link set host-c master {CLUSTER_BRIDGE} up"],
        namespace=layout.switch_namespace,
    )


def remove_switch(layout: Layout) -> None:
    """Remove the switch, the nodes' namespaces and the host's cables; what is gone already is skipped."""
    for name in layout.host_links:
        if link_exists(name):
            host.run(["ip", "link", "del", name])
    for name in layout.namespaces:
        if namespace_exists(name):
            host.run(["ip", "netns", "del", name])


def set_port(layout: Layout, node: NodeLayout, *, up: bool, management: bool = False) -> None:
    """Plug a node's cable into the cluster's switch (and the management's), or pull it.

    A mark in the node's folder makes a pulled cable stay so over a reboot.
    """
    ports = {"cluster": node.cluster_port}
    if management:
        ports["management"] = node.management_port
    for kind, port in ports.items():
        mark = node.folder / f"cut.{kind}"
        if up:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()
        wired = host.run(["ip", "-n", layout.switch_namespace, "link", "show", port], check=False).returncode == 0
        if wired:
            state = "up" if up else "down"
            host.run(["ip", "-n", layout.switch_namespace, "link", "set", port, state])
