"""Whether packets as large as the overlay makes them pass between the nodes, not only small ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.interfaces import HostInterface, read_host_network
from runbook_lib.model.parameters import Overlay
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.port_checks import MTU_OPTION, NO_ADDRESS, NO_ANSWER, judge_udp
from runbook_lib.verify.ports import PortReading, try_ports

VXLAN_OVERHEAD = 50
_ASSUMED = 1500  # what Docker takes for the nodes' network where no option says otherwise
CHECK = "full-size packets between nodes"


@dataclass(frozen=True)
class Link:
    """A node's interface on the cluster's network: its name, address and MTU (bytes)."""

    interface: str
    address: str
    mtu: int


def needed_bytes(overlay: Overlay) -> int:
    """The size of the largest packet (an IP packet, in bytes) that the nodes' network has to carry for the overlay."""
    wanted = overlay.options.get(MTU_OPTION, "")
    return int(wanted) + VXLAN_OVERHEAD if wanted.isdigit() else _ASSUMED


def mtu_remedy(interface: str, node: str, needed: int, room: int) -> str:
    """What to do where an interface takes only ``room`` bytes of the ``needed`` ones."""
    return (
        f"ip link set {interface} mtu {needed} on {node}, and in its configuration; where its network carries no more,"
        f" make the overlay with overlay.options {MTU_OPTION}: {room - VXLAN_OVERHEAD}"
    )


def check_full_size(cluster: Cluster, overlay: Overlay, port: int, ports: Sequence[Check]) -> tuple[Check, ...]:
    """Each node's MTU, and UDP packets of full size to the overlay's port along all ordered pairs; a row a receiver.

    ``ports`` are the rows of ``check_ports``: a port where small packets do not pass is not tried with large ones.
    """
    interface, needed = cluster.inventory.network.interface, needed_bytes(overlay)

    def ask(node: Node) -> Link | None:
        for item in read_host_network(node)[0]:
            if item.name == interface and item.address:
                return Link(interface, probed_address(item, cluster.inventory.network.prefix), item.mtu)
        return None

    outcomes = cluster.each(ask)
    links = {outcome.node: outcome.value for outcome in outcomes if outcome.value is not None}
    errors = {outcome.node: outcome.error.message for outcome in outcomes if outcome.error is not None}
    closed = {row.node for row in ports if row.check == f"udp {port} between nodes" and row.verdict is Verdict.FAIL}
    addresses = {name: link.address for name, link in links.items()}
    # one byte less than the full packets of a transfer, which would be counted as ours
    reading = try_ports(cluster, addresses, {}, (port,), length=needed - 1)
    return tuple(judge_full_size([node.name for node in cluster], needed, port, links, errors, closed, reading))


def probed_address(interface: HostInterface, subnet: IPv4Network) -> str:
    """The interface's first address in the cluster's subnet: the one that its own packets there come from.

    Packets are counted by their source, so it may be another than the one that the engine advertises.
    """
    found = [item.ip for item in map(IPv4Interface, interface.addresses) if item.ip in subnet]
    return str(found[0]) if found else interface.address.partition("/")[0]


def judge_full_size(
    names: Sequence[str],
    needed: int,
    port: int,
    links: Mapping[str, Link],
    errors: Mapping[str, str],
    closed: set[str],
    reading: PortReading,
) -> Iterator[Check]:
    """Rows from the nodes' interfaces (``links``) and from what was counted of packets of that size."""
    expected = f"{needed} bytes from every other node"
    # whoever cannot take part has a row that says so, and accuses nobody else
    able = {name: link for name, link in links.items() if link.mtu >= needed and name not in (*errors, *closed)}
    addresses = {name: link.address for name, link in able.items()}
    interface = next((link.interface for link in able.values()), "")
    judged = {row.node: row for row in judge_udp(list(able), addresses, reading, interface, port, needed)}
    for name in names:
        link, error = links.get(name), errors.get(name, "")
        if error or link is None:
            found = (error or "the node has no address on the cluster's network").splitlines()[0]
            yield Check(CHECK, name, Verdict.FAIL, expected, found, NO_ANSWER if error else NO_ADDRESS)
        elif link.mtu < needed:
            found = f"its {link.interface} takes {link.mtu}"
            yield Check(CHECK, name, Verdict.FAIL, expected, found, mtu_remedy(link.interface, name, needed, link.mtu))
        elif name in closed:
            yield Check(CHECK, name, Verdict.SKIP, expected, f"not tried: small ones do not pass (udp {port})")
        else:
            yield replace(judged[name], check=CHECK, expected=expected)
