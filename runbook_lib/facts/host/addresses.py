"""A node's address on the cluster's network and how it was assigned, and which host answers at an address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runbook_lib.cluster import Node
from runbook_lib.errors import CommandError, NodeError
from runbook_lib.facts.host.ip import InetAddress, Interface, parse_ip_addr
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.inventory import ClusterNetwork

BOOTSYNC = "/var/lib/boot2docker/bootsync.sh"
BOOTLOCAL = "/var/lib/boot2docker/bootlocal.sh"

AssignedBy = Literal["dhcp", "static", "none"]


@dataclass(frozen=True)
class DhcpClient:
    """A DHCP client process and the interface that it serves."""

    name: str
    pid: int
    interface: str

    def __str__(self) -> str:
        return f"{self.name} pid {self.pid}"


@dataclass(frozen=True)
class ClusterAddress:
    """A node's address on the cluster's network.

    ``address`` is the interface's first one, as docker-machine takes it, ``others`` those that follow.
    ``assigned_by`` is ``dhcp`` while a DHCP client serves the interface or the address has a lease that ends,
    ``static`` for an address without either, ``none`` without an address. ``dhcp_client`` names every DHCP
    client process of the interface (``udhcpc pid 123``), and the network manager that holds a lease for it
    (``systemd-networkd``, ``NetworkManager``), or is empty.
    """

    node: str
    interface: str
    address: str | None
    prefix_length: int
    mac: str
    expected: str
    assigned_by: AssignedBy
    dhcp_client: str = ""
    others: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether the node has the inventory's address and no other."""
        return self.address == self.expected and not self.others


# The cluster interface's clients only: a container's udhcpc shows in the node's /proc as well, but it lives in
# another network namespace. Reading another user's namespace link needs root; where the user cannot get it, such a
# client counts as the node's own. Where sudo asks for a password, the whole script runs as root.
_ADDRESS_SCRIPT = """\
clients() {
    own=$(readlink /proc/self/ns/net)
    for file in $(grep -ls -e udhcpc -e dhclient -e dhcpcd /proc/[0-9]*/cmdline); do
        process=${file%/cmdline}
        namespace=$(readlink "$process/ns/net" || sudo -n readlink "$process/ns/net") 2>/dev/null
        case $namespace in "$own"|"") ;; *) continue ;; esac
        printf '%s\\t' "${process#/proc/}"
        cat "$file" 2>/dev/null | tr '\\0' '\\t'
        echo
    done
}
# Two network managers have a DHCP client built in; their lease files show it.
leases() {
    index=$(cat "/sys/class/net/$1/ifindex") || return
    if [ -e "/run/systemd/netif/leases/$index" ]; then echo systemd-networkd; fi
    if grep -qs '^[[]dhcp4[]]' "/run/NetworkManager/devices/$index"; then echo NetworkManager; fi
}
section interfaces ip addr show
section clients clients
section leases leases "$1"
"""


def read_cluster_address(node: Node, network: ClusterNetwork) -> ClusterAddress:
    """The node's address on the cluster's interface, read in one round trip.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: it has no such interface, or the output of its tools is not understood.
    """
    sections = read_sections(node, _ADDRESS_SCRIPT, network.interface, sudo=node.ssh.sudo_takes_the_password)
    with reading(node.name, "addresses"):
        interfaces = parse_ip_addr(_text(node.name, "ip addr show", sections["interfaces"]))
        clients = parse_dhcp_clients(sections["clients"].text)
        leases = sections["leases"].text.split() if sections["leases"].exit_status == 0 else []
    for interface in interfaces:
        if interface.name == network.interface:
            return cluster_address(node.name, interface, clients, node.spec.cluster_address, leases)
    names = ", ".join(interface.name for interface in interfaces)
    raise NodeError(
        node.name,
        f"the node has no interface {network.interface}",
        remedy=f"set network.interface of the inventory to one of {names}",
    )


def cluster_address(
    node: str, interface: Interface, clients: Sequence[DhcpClient], expected: str, leases: Sequence[str] = ()
) -> ClusterAddress:
    """How an interface got its address; ``leases`` names the network managers that hold a lease for it."""
    own = [client for client in clients if client.interface == interface.name]
    first: InetAddress | None = interface.addresses[0] if interface.addresses else None
    assigned: AssignedBy = "none"
    if first is not None:
        assigned = "dhcp" if own or leases or first.lifetime is not None else "static"
    return ClusterAddress(
        node=node,
        interface=interface.name,
        address=first.address if first else None,
        prefix_length=first.prefix_length if first else 0,
        mac=interface.mac,
        expected=expected,
        assigned_by=assigned,
        dhcp_client=", ".join([*(str(client) for client in own), *leases]),
        others=tuple(item.address for item in interface.addresses[1:]),
    )


def parse_dhcp_clients(text: str) -> tuple[DhcpClient, ...]:
    """DHCP clients among processes, one per line: pid, then the arguments, tab-separated.

    A process that only mentions a client's name (a ``grep``, a shell running a script) is left out.

    Raises:
        ValueError: a line that does not start with a pid.
    """
    clients = []
    for line in text.splitlines():
        pid, *argv = line.rstrip("\t").split("\t")
        if not pid.strip():
            continue
        client = _dhcp_client(int(pid), argv)
        if client is not None:
            clients.append(client)
    return tuple(clients)


def _dhcp_client(pid: int, argv: Sequence[str]) -> DhcpClient | None:
    words = [word.rpartition("/")[2] if place == 0 else word for place, word in enumerate(argv)]
    if words[:1] == ["busybox"]:
        words = words[1:]
    if not words:
        return None
    if words[0] == "udhcpc":
        return DhcpClient("udhcpc", pid, _udhcpc_interface(words[1:]))
    if words[0] == "dhclient":
        named = [word for word in words[1:] if not word.startswith("-") and "/" not in word]
        return DhcpClient("dhclient", pid, named[-1] if named else "")
    title = re.match(r"dhcpcd(?:: (\S+)|$)", words[0])
    if title:
        named = [word for word in words[1:] if not word.startswith("-") and "/" not in word]
        return DhcpClient("dhcpcd", pid, title[1] or (named[-1] if named else ""))
    return None


def _udhcpc_interface(words: Sequence[str]) -> str:
    for place, word in enumerate(words):
        if word in ("-i", "--interface") and place + 1 < len(words):
            return words[place + 1]
        if word.startswith("--interface="):
            return word.partition("=")[2]
        if word.startswith("-i") and len(word) > 2:
            return word[2:]
    return "eth0"  # udhcpc's default


def _text(node: str, command: str, section: Section) -> str:
    if section.exit_status != 0:
        raise CommandError(node, command.split(), exit_status=section.exit_status, stderr=section.text)
    return section.text


def read_bootsync(node: Node) -> str | None:
    """The text of bootsync.sh, or ``None`` when there is none. Bytes that are not UTF-8 are kept (surrogateescape)."""
    return _boot_script(node, BOOTSYNC)


def read_bootlocal(node: Node) -> str | None:
    """The text of bootlocal.sh, or ``None`` when there is none. Bytes that are not UTF-8 are kept (surrogateescape)."""
    return _boot_script(node, BOOTLOCAL)


def _boot_script(node: Node, path: str) -> str | None:
    content = node.ssh.read_file(path, sudo=True)
    return None if content is None else content.decode(errors="surrogateescape")


_SENT = re.compile(r"(\d+) packets transmitted, (\d+)(?: packets)? received")
# The last line of iputils says "rtt min/avg/max/mdev", that of busybox "round-trip min/avg/max".
_TIMES = re.compile(r"min/avg/max\S* = [\d.]+/([\d.]+)/")
_MAC = re.compile(r"lladdr ([0-9a-f:]{17})")

# Two seconds at most for an address that does not answer; all are asked at once. netcat is on every node, and unlike
# bash's /dev/tcp it has a timeout. Each output is kept in a variable: reading must not create files.
_SCRIPT = """\
interface=$1 port=$2
shift 2
if busybox nc --help >/dev/null 2>&1; then netcat='busybox nc'; else netcat=nc; fi
fetch() { printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 $netcat -w 2 "$1" "$port"; }
fetch_section() {
    echo "#>> web $1"
    fetch "$1" 2>/dev/null
    ended=$?
    echo "
#<< web $1 $ended"
}
look() {
    section "ping $1" ping -c 2 -W 1 "$1"
    fetch_section "$1"
    section "neighbour $1" ip neigh show to "$1" dev "$interface"
}
for address in "$@"; do
    (output=$(look "$address"); printf '%s\\n' "$output") &
done
wait
"""


@dataclass(frozen=True)
class Reach:
    """What one node sees at an address.

    ``ping_ms`` is the mean round trip, ``None`` when no echo request was answered; ``answer`` the first line that is
    served there, empty when nothing is; ``mac`` the neighbour's on the cluster's interface, empty when there is none
    (the node's own addresses have none).
    """

    node: str
    address: str
    sent: int
    received: int
    ping_ms: float | None
    answer: str
    mac: str

    @property
    def pinged(self) -> bool:
        """Whether every echo request was answered (the first may wait for ARP, but is not lost)."""
        return self.sent > 0 and self.received == self.sent


def read_reach(node: Node, interface: str, addresses: Sequence[str], port: int) -> tuple[Reach, ...]:
    """Ping each address from a node and fetch what it serves at a TCP port; all at once, in at most four seconds.

    Raises:
        UnreachableError, NodeError: the node does not answer, or its output is not understood.
    """
    if not addresses:
        return ()
    sections = read_sections(node, _SCRIPT, interface, str(port), *addresses, sudo=True)
    with reading(node.name, "pings"):
        return tuple(
            parse_reach(
                node.name,
                address,
                sections[f"ping {address}"].text,
                sections[f"web {address}"],
                sections[f"neighbour {address}"].text,
            )
            for address in addresses
        )


def parse_reach(node: str, address: str, ping: str, web: Section, neighbour: str) -> Reach:
    """One reading, from the texts of ``ping``, of the HTTP answer, and of ``ip neigh``.

    Raises:
        ValueError: the ping does not say how many requests were sent and answered.
    """
    counts = _SENT.search(ping)
    if counts is None:
        raise ValueError(ping.strip() or "ping printed nothing")
    times = _TIMES.search(ping)
    mac = _MAC.search(neighbour)
    head, _, body = web.text.replace("\r\n", "\n").partition("\n\n")
    lines = body.strip().splitlines() if head.startswith("HTTP/") else []
    return Reach(
        node=node,
        address=address,
        sent=int(counts[1]),
        received=int(counts[2]),
        ping_ms=float(times[1]) if times else None,
        answer=lines[0] if lines else "",
        mac=mac[1] if mac else "",
    )


_REPLY = re.compile(r"(?:Unicast|Broadcast) reply from \S+ \[([0-9A-Fa-f:]+)\]")
_SUMMARY = re.compile(r"Received (\d+) ")

# A probe has no sender address (-D), so it changes no ARP table. Unanswered it takes two seconds; all are sent at
# once. Each output is kept in a variable: reading must not create files.
_ARP_SCRIPT = """\
interface=$1
shift
if busybox arping --help >/dev/null 2>&1; then tool='busybox arping'; else tool=arping; fi
probe() {
    $tool -D -c 2 -w 2 -I "$interface" "$1"
}
for address in "$@"; do
    (output=$(section "$address" probe "$address"); printf '%s\\n' "$output") &
done
wait
"""


def arp_owner(node: Node, interface: str, address: str) -> str | None:
    """The MAC that answers at ``address`` on the link of ``interface``, or ``None``.

    A node's own addresses do not answer its own probe.

    Raises:
        NodeError: the probe cannot be sent (no such interface, no ``arping``).
    """
    return arp_owners(node, interface, [address])[address]


def arp_owners(node: Node, interface: str, addresses: Sequence[str]) -> dict[str, str | None]:
    """``arp_owner`` for many addresses, all probed at once in one round trip (at most two seconds)."""
    if not addresses:
        return {}
    sections = read_sections(node, _ARP_SCRIPT, interface, *addresses, sudo=True)
    if any(section.exit_status == 127 for section in sections.values()):
        raise NodeError(
            node.name,
            "arping is not installed, so a free address cannot be told from a used one",
            remedy="install iputils-arping or busybox on the node",
        )
    with reading(node.name, f"ARP probe on {interface}"):
        return {address: parse_arping(sections[address].text) for address in addresses}


def parse_arping(text: str) -> str | None:
    """The MAC in the output of ``arping -D`` (iputils or busybox), in lower case, or ``None`` without an answer.

    Raises:
        ValueError: the output does not say how many answers came: the probe was not sent.
    """
    summary = _SUMMARY.search(text)
    if summary is None:
        raise ValueError(text.strip() or "arping printed nothing")
    reply = _REPLY.search(text)
    if reply is not None:
        return reply[1].lower()
    if summary[1] != "0":
        raise ValueError(f"arping reports {summary[1]} answers but shows none: {text.strip()!r}")
    return None
