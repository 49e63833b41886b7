"""The sandbox (network namespace) of an overlay: its bridge, its VXLAN interface with its forwarding table (FDB).

Docker creates it with the network's first container on a node and names it ``<number>-<network's ID>``,
cut to 12 characters, under ``/var/run/docker/netns``, where ``ip netns`` does not look. The number counts how often
this engine has created it: ``1-`` leaves room for ten digits of the ID, ``11-`` for nine, ``100-`` for eight
(libnetwork, ``drivers/overlay/ov_network.go``: ``initSandbox``; ``osl/namespace_linux.go``: ``GenerateKey``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from runbook_lib.cluster import Node
from runbook_lib.errors import CommandError
from runbook_lib.facts.host.ip import Interface, parse_ip_addr
from runbook_lib.facts.sections import Section, read_sections, reading

# `hidden_namespace ID` prints the file of a network's namespace; nothing where the node has none. A file alone is not a
# namespace: Docker keeps it for a minute after removing the namespace (libnetwork, osl/namespace_linux.go:
# removeUnusedPaths).
FIND_NAMESPACE = """\
hidden_namespace() {
    for file in /var/run/docker/netns/[0-9]*-?*; do
        name=${file##*/}
        case $1 in
            "${name#*-}"*) if grep -q "/docker/netns/$name " /proc/self/mountinfo; then echo "$file"; return; fi ;;
        esac
    done
}
"""


@dataclass(frozen=True)
class OverlayLink:
    """One interface of the hidden namespace.

    ``kind`` is ``bridge``, ``vxlan`` or ``veth``; ``address`` is CIDR or empty; ``bridge`` is its master. ``vni`` and
    ``port`` (UDP) are those of a vxlan interface. ``index`` and ``peer_index`` identify both ends of a veth.
    """

    name: str
    kind: str
    address: str
    mac: str
    mtu: int
    bridge: str
    index: int
    peer_index: int
    vni: int | None = None
    port: int | None = None


@dataclass(frozen=True)
class ForwardingEntry:
    """One FDB entry: frames for ``mac`` leave through ``interface``.

    ``vtep`` is the node address to which the VXLAN interface sends them, empty in the bridge's own entries.
    ``permanent`` is true for an entry written by Docker, false for a learned one, which ages out.
    """

    mac: str
    interface: str
    vtep: str
    permanent: bool


@dataclass(frozen=True)
class Neighbour:
    """One entry of the neighbour (ARP) table; ``mac`` is empty for an unresolved address."""

    address: str
    interface: str
    mac: str
    state: str


@dataclass(frozen=True)
class HiddenNamespace:
    """One overlay on one node, in the kernel.

    ``links`` are the overlay's own, without the kernel's default devices (``lo``, ``sit0``, ``tunl0``).
    """

    node: str
    path: str
    links: tuple[OverlayLink, ...]
    forwarding: tuple[ForwardingEntry, ...]
    neighbours: tuple[Neighbour, ...]

    @property
    def name(self) -> str:
        """Its file's name, such as ``1-b6aade677f``."""
        return PurePosixPath(self.path).name

    @property
    def vxlan(self) -> OverlayLink | None:
        """Its (first) VXLAN interface; an overlay of several subnets has more."""
        return next((link for link in self.links if link.kind == "vxlan"), None)

    @property
    def bridge(self) -> OverlayLink | None:
        """The bridge of which the VXLAN interface is a port."""
        vxlan = self.vxlan
        return next((link for link in self.links if vxlan is not None and link.name == vxlan.bridge), None)


# Argument: the network's ID.
_SCRIPT = f"""\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
{FIND_NAMESPACE}
hidden=$(hidden_namespace "$1")
if [ -z "$hidden" ]; then exit 0; fi
section path echo "$hidden"
section links nsenter "--net=$hidden" ip -d addr show
# in this order: the engine writes the neighbour first, so its FDB entry exists once the neighbour is seen
section neighbours nsenter "--net=$hidden" ip neigh show
section fdb nsenter "--net=$hidden" bridge fdb show
"""


def read_hidden_namespace(node: Node, network_id: str) -> HiddenNamespace | None:
    """An overlay's hidden namespace on a node, or ``None`` where it has none. Needs root over SSH.

    Raises:
        UnreachableError: the node cannot be reached.
        CommandError: the namespace cannot be read (no sudo, no ``nsenter``, no iproute2).
    """
    sections = read_sections(node, _SCRIPT, network_id, sudo=True)
    for what, section in sections.items():
        if section.exit_status != 0:
            raise CommandError(
                node.name,
                ("nsenter", "the overlay's namespace", what),
                exit_status=section.exit_status,
                stderr=section.text,
                remedy="the node needs root over SSH, nsenter, and iproute2's ip and bridge",
            )
    if not sections:
        return None
    with reading(node.name, "overlay's hidden namespace"):
        return parse_hidden_namespace(node.name, sections)


def parse_hidden_namespace(node: str, sections: Mapping[str, Section]) -> HiddenNamespace:
    """The namespace from the sections path, links, fdb and neighbours. Raises ``ValueError`` or ``KeyError``."""
    return HiddenNamespace(
        node,
        sections["path"].text.strip(),
        tuple(_link(item, kind) for item in parse_ip_addr(sections["links"].text) if (kind := _kind(item))),
        parse_forwarding(sections["fdb"].text),
        parse_neighbours(sections["neighbours"].text),
    )


def _kind(item: Interface) -> str:
    words = (line.split()[0] for line in item.details)
    return next((word for word in words if word in ("bridge", "vxlan", "veth")), "")


def _link(item: Interface, kind: str) -> OverlayLink:
    tunnel = " ".join(item.details) if kind == "vxlan" else ""
    first = item.addresses[0] if item.addresses else None
    return OverlayLink(
        name=item.name,
        kind=kind,
        address=f"{first.address}/{first.prefix_length}" if first else "",
        mac=item.mac,
        mtu=item.mtu,
        bridge=item.master,
        index=item.index,
        # a vxlan interface names its underlying link, which is not a peer
        peer_index=item.peer_index if kind == "veth" else 0,
        vni=_number(r"\bvxlan id (\d+)", tunnel),
        port=_number(r"\bdstport (\d+)", tunnel),
    )


def _number(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return int(match[1]) if match else None


def parse_forwarding(text: str) -> tuple[ForwardingEntry, ...]:
    """The entries of ``bridge fdb show`` without multicast groups. Raises ``ValueError``."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) < 3 or words[1] != "dev":
            raise ValueError(f"not an FDB entry: {line!r}")
        # the lowest bit of the first byte marks a multicast address
        if int(words[0].partition(":")[0], 16) & 1:
            continue
        permanent = "permanent" in words or "static" in words
        rows.append(ForwardingEntry(words[0], words[2], _after(words, "dst"), permanent))
    return tuple(rows)


def parse_neighbours(text: str) -> tuple[Neighbour, ...]:
    """The IPv4 entries of ``ip neigh show``. Raises ``ValueError``."""
    rows = []
    for line in text.splitlines():
        words = line.split()
        if not words or ":" in words[0]:
            continue
        if len(words) < 4 or words[1] != "dev":
            raise ValueError(f"not a neighbour entry: {line!r}")
        rows.append(Neighbour(words[0], words[2], _after(words, "lladdr"), words[-1]))
    return tuple(rows)


def _after(words: list[str], key: str) -> str:
    return words[words.index(key) + 1] if key in words[:-1] else ""
