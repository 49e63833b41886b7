"""Interfaces and routes, inside containers and of the nodes themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import CommandError, NodeError
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.host.ip import Interface, parse_ip_addr, parse_ip_route
from runbook_lib.facts.sections import Section, read_sections, reading


@dataclass(frozen=True)
class ContainerInterface:
    """One interface inside a container; an empty ``address`` when it has none.

    ``index`` is its number in the container's namespace, ``peer_index`` the veth peer's in another namespace.
    """

    container: str
    node: str
    name: str
    address: str
    mac: str
    mtu: int
    state: str
    prefix_length: int = 0
    index: int = 0
    peer_index: int = 0


@dataclass(frozen=True)
class Route:
    """One IPv4 route inside a container, or of a node when ``container`` is empty."""

    container: str
    node: str
    destination: str
    gateway: str
    interface: str
    source: str = ""


@dataclass(frozen=True)
class HostInterface:
    """One interface of a node with its first address (CIDR, or empty) and its ``others``.

    ``master`` is the bridge that it is a port of.
    """

    node: str
    name: str
    address: str
    mac: str
    mtu: int
    state: str
    index: int = 0
    peer_index: int = 0
    master: str = ""
    others: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses, in CIDR notation."""
        return (self.address, *self.others) if self.address else ()


@dataclass(frozen=True)
class Inside:
    """A container's interfaces and routes.

    The kernel's default devices (``sit0``, ``tunl0``) are left out.
    """

    container: ContainerFacts
    interfaces: tuple[ContainerInterface, ...]
    routes: tuple[Route, ...]


# The node's own `ip` in the container's namespace: it needs no tool inside the image and costs 2 ms where
# `docker exec` costs 44. Arguments are the pids of the containers.
_INSIDE_SCRIPT = """\
for pid in "$@"; do
    section "addr $pid" nsenter -t "$pid" -n ip addr show
    section "route $pid" nsenter -t "$pid" -n ip route show
done
"""


def read_interfaces(node: Node, container: ContainerFacts) -> tuple[ContainerInterface, ...]:
    """The interfaces inside a running container, the loopback included.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: the container does not run, or neither ``nsenter`` nor ``docker exec`` works.
    """
    return read_inside(node, [container])[0].interfaces


def read_routes(node: Node, container: ContainerFacts) -> tuple[Route, ...]:
    """The IPv4 routes inside a running container; raises as ``read_interfaces`` does."""
    return read_inside(node, [container])[0].routes


def read_inside(node: Node, containers: Sequence[ContainerFacts]) -> tuple[Inside, ...]:
    """Interfaces and routes of several containers of one node, in one round trip and in their order.

    Where the node's user has no sudo or the node no ``nsenter``, each container is asked by ``docker exec ip``.
    """
    for container in containers:
        if not container.running or not container.pid:
            raise NodeError(
                node.name,
                f"container {container.name} is {container.state}: a container has interfaces only while it runs",
                remedy=f"start it: docker start {container.name}",
            )
    if not containers:
        return ()
    try:
        sections = read_sections(node, _INSIDE_SCRIPT, *(str(item.pid) for item in containers), sudo=True)
    except CommandError:
        sections = {}
    found = []
    for container in containers:
        addresses = _inside(node, container, sections.get(f"addr {container.pid}"), "addr")
        routes = _inside(node, container, sections.get(f"route {container.pid}"), "route")
        with reading(node.name, f"interfaces of {container.name}"):
            found.append(parse_inside(container, addresses, routes))
    return tuple(found)


def _inside(node: Node, container: ContainerFacts, section: Section | None, what: str) -> str:
    if section is not None and section.exit_status == 0:
        return section.text
    argv = ["ip", what, "show"]
    status, output = node.engine.execute(container.name, argv)
    if status != 0:
        entered = f" (nsenter: {section.text.strip()})" if section is not None else ""
        raise NodeError(
            node.name,
            f"cannot read the network of {container.name}: 'ip {what}' ended with {status}: {output.strip()}{entered}",
            remedy="the node needs sudo and nsenter, or the image needs 'ip'",
        )
    return output


def parse_inside(container: ContainerFacts, addresses: str, routes: str) -> Inside:
    """Facts from the texts of ``ip addr show`` and ``ip route show`` inside a container. Raises ``ValueError``."""
    return Inside(
        container,
        tuple(
            ContainerInterface(
                container=container.name,
                node=container.node,
                name=item.name,
                address=item.addresses[0].address if item.addresses else "",
                mac=item.mac,
                mtu=item.mtu,
                state=item.state,
                prefix_length=item.addresses[0].prefix_length if item.addresses else 0,
                index=item.index,
                peer_index=item.peer_index,
            )
            for item in parse_ip_addr(addresses)
            if item.has_peer_or_address
        ),
        parse_routes(routes, container.node, container.name),
    )


def parse_routes(text: str, node: str, container: str = "") -> tuple[Route, ...]:
    """Routes from the text of ``ip route show``. Raises ``ValueError``."""
    return tuple(
        Route(container, node, item.destination, item.gateway, item.interface, item.source)
        for item in parse_ip_route(text)
    )


def read_host_network(node: Node) -> tuple[tuple[HostInterface, ...], tuple[Route, ...]]:
    """A node's own interfaces and IPv4 routes, in one round trip. Raises ``UnreachableError`` or ``NodeError``."""
    sections = read_sections(node, "section addr ip addr show\nsection route ip route show\n")
    for what, section in sections.items():
        if section.exit_status != 0:
            raise CommandError(node.name, ["ip", what, "show"], exit_status=section.exit_status, stderr=section.text)
    with reading(node.name, "interfaces and routes"):
        interfaces = tuple(_host_interface(node.name, item) for item in parse_ip_addr(sections["addr"].text))
        return interfaces, parse_routes(sections["route"].text, node.name)


def _host_interface(node: str, item: Interface) -> HostInterface:
    first, *others = [f"{found.address}/{found.prefix_length}" for found in item.addresses] or [""]
    ends = (item.index, item.peer_index, item.master)
    return HostInterface(node, item.name, first, item.mac, item.mtu, item.state, *ends, tuple(others))
