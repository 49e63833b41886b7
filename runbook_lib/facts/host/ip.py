"""Pure parsers of ``ip addr`` and ``ip route`` text, iproute2's and busybox's alike, of NAT rules and of sockets."""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import CommandError
from runbook_lib.facts.sections import read_sections, reading

_HEAD = re.compile(r"(?P<index>\d+): (?P<name>[^:@\s]+)(?:@(?P<peer>\S+))?: <(?P<flags>[^>]*)>(?P<rest>.*)")
# The kernel's states TCP_CLOSE and TCP_LISTEN, include/net/tcp_states.h.
_LISTENS = {"udp": "07", "tcp": "0A"}
_LIFETIME = re.compile(r"valid_lft (\S+)")


@dataclass(frozen=True)
class InetAddress:
    """One IPv4 address of an interface; ``lifetime`` in seconds, ``None`` if unlimited."""

    address: str
    prefix_length: int
    lifetime: int | None = None


@dataclass(frozen=True)
class Interface:
    """One interface as ``ip addr`` shows it.

    ``peer`` is what follows the ``@`` in its name, ``master`` its bridge. ``details`` are the
    lines that ``ip -d`` adds, such as ``vxlan id 256 …``.
    """

    name: str
    index: int
    flags: tuple[str, ...]
    mtu: int
    state: str
    mac: str
    peer: str = ""
    addresses: tuple[InetAddress, ...] = ()
    master: str = ""
    details: tuple[str, ...] = ()

    @property
    def peer_index(self) -> int:
        """The index of a veth's other end, in another namespace (``@if8``); 0 where the kernel does not show it."""
        number = self.peer.removeprefix("if")
        return int(number) if self.peer.startswith("if") and number.isdigit() else 0

    @property
    def has_peer_or_address(self) -> bool:
        """Whether it has a peer or an IPv4 address.

        Where the kernel has modules for tunnels, it puts a device of each into every network namespace (``sit0@NONE``,
        ``tunl0@NONE``, ``gre0@NONE``, …) as a fallback. They have neither.
        """
        return bool(self.peer_index or self.addresses)


@dataclass(frozen=True)
class IpRoute:
    """One IPv4 route; ``destination`` is CIDR, ``0.0.0.0/0`` for the default route."""

    destination: str
    gateway: str
    interface: str
    source: str = ""


def parse_ip_addr(text: str) -> tuple[Interface, ...]:
    """The interfaces in the output of ``ip addr show``; IPv6 addresses are left out.

    Busybox prints no operational state for some interfaces; ``state`` is then ``UP`` or ``DOWN`` by the flags.

    Raises:
        ValueError: not such output; names the line.
    """
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if not line[0].isspace():
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line.strip())
        else:
            raise ValueError(f"not the output of 'ip addr': {line!r}")
    return tuple(_interface(block) for block in blocks)


def _interface(lines: list[str]) -> Interface:
    head = _HEAD.fullmatch(lines[0].rstrip())
    if head is None:
        raise ValueError(f"not the output of 'ip addr': {lines[0]!r}")
    words = head["rest"].split()
    settings = dict(zip(words[::2], words[1::2], strict=False))
    flags = tuple(flag for flag in head["flags"].split(",") if flag)
    if "mtu" not in settings:
        raise ValueError(f"no mtu in {lines[0]!r}")
    mac, addresses, details = "", list[InetAddress](), list[str]()
    for line in lines[1:]:
        key, _, rest = line.partition(" ")
        if key.startswith("link/") and not mac:
            mac = rest.split()[0] if key == "link/ether" and rest else ""
        elif key == "inet":
            addresses.append(_inet(line))
        elif key == "inet6":
            addresses.append(InetAddress("", 0))  # takes the lifetime line that belongs to it
        elif key == "valid_lft" and addresses:
            last = addresses[-1]
            addresses[-1] = InetAddress(last.address, last.prefix_length, _lifetime(line))
        else:
            details.append(line)
    return Interface(
        name=head["name"],
        index=int(head["index"]),
        flags=flags,
        mtu=int(settings["mtu"]),
        state=settings.get("state", "UP" if "UP" in flags else "DOWN"),
        mac=mac,
        peer=head["peer"] or "",
        addresses=tuple(item for item in addresses if item.address),
        master=settings.get("master", ""),
        details=tuple(details),
    )


def _inet(line: str) -> InetAddress:
    words = line.split()
    if len(words) < 2:
        raise ValueError(f"no address in {line!r}")
    # point-to-point addresses read 'inet LOCAL peer REMOTE/LEN'
    local = words[1]
    length = (words[3] if len(words) > 3 and words[2] == "peer" else local).partition("/")[2]
    parsed = ipaddress.IPv4Interface(f"{local.partition('/')[0]}/{length or 32}")
    return InetAddress(str(parsed.ip), parsed.network.prefixlen)


def _lifetime(line: str) -> int | None:
    match = _LIFETIME.match(line)
    if match is None or match[1] == "forever":
        return None
    return int(match[1].removesuffix("sec"))


def parse_ip_route(text: str) -> tuple[IpRoute, ...]:
    """The IPv4 routes in the output of ``ip route show``.

    Raises:
        ValueError: a line that is not a route.
    """
    return tuple(_route(line) for line in text.splitlines() if line.strip() and not line[0].isspace())


_ROUTE_TYPES = frozenset(
    {"unicast", "blackhole", "unreachable", "prohibit", "throw", "local", "broadcast", "multicast"}
)


def _route(line: str) -> IpRoute:
    words = line.split()
    if words[0] in _ROUTE_TYPES:
        words = words[1:]
    if not words:
        raise ValueError(f"not a route: {line!r}")
    try:
        destination = ipaddress.IPv4Network("0.0.0.0/0" if words[0] == "default" else words[0])
    except ValueError as error:
        raise ValueError(f"not a route: {line!r}") from error

    def after(key: str) -> str:
        return words[words.index(key) + 1] if key in words[:-1] else ""

    return IpRoute(str(destination), after("via"), after("dev"), after("src"))


_ACTIONS = {"DNAT": "--to-destination", "SNAT": "--to-source", "MASQUERADE": "--to-ports"}


@dataclass(frozen=True)
class NatRule:
    """One NAT rule.

    ``action`` is ``DNAT``, ``SNAT`` or ``MASQUERADE``; ``source`` and ``destination`` are CIDR, empty for any; a port
    is ``None`` for any. ``out`` is the outgoing interface, negated by a leading ``!``.
    ``becomes`` is the new address or port (``127.0.0.11:50864``, ``:53``), empty for ``MASQUERADE``.
    """

    chain: str
    action: str
    protocol: str
    source: str
    destination: str
    source_port: int | None
    destination_port: int | None
    out: str
    becomes: str


# Docker uses one of the iptables variants: the one that has Docker's chain.
_SCRIPT = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
rules() {
    for tool in iptables iptables-legacy iptables-nft; do
        listed=$("$tool" -t nat -S) || continue
        case $listed in *'-N DOCKER'*) break ;; esac
    done
    printf '%s\\n' "$listed"
    [ -n "$listed" ]
}
section rules rules 2>/dev/null
"""


def read_nat_rules(node: Node) -> tuple[NatRule, ...]:
    """A node's NAT rules. Needs root over SSH.

    Raises:
        UnreachableError: the node cannot be reached.
        CommandError: iptables is missing or not permitted.
    """
    section = read_sections(node, _SCRIPT, sudo=True)["rules"]
    if section.exit_status != 0:
        raise CommandError(node.name, ("iptables", "-t", "nat", "-S"), exit_status=section.exit_status)
    with reading(node.name, "rules of iptables"):
        return parse_nat_rules(section.text)


def parse_nat_rules(text: str) -> tuple[NatRule, ...]:
    """The rules in the output of ``iptables -t nat -S`` that rewrite addresses, without those that only jump.

    Raises:
        ValueError: other text.
    """
    rules = []
    for line in text.splitlines():
        words = shlex.split(line)
        if not words or words[0] in ("-P", "-N") or line.startswith("#"):
            continue
        if words[0] != "-A" or len(words) < 2:
            raise ValueError(f"not a rule of iptables: {line!r}")
        action = _after(words, "-j")
        if action not in _ACTIONS:
            continue
        rules.append(
            NatRule(
                chain=words[1],
                action=action,
                protocol=_after(words, "-p"),
                source=_after(words, "-s"),
                destination=_after(words, "-d"),
                source_port=_port(_after(words, "--sport")),
                destination_port=_port(_after(words, "--dport")),
                out=_after(words, "-o"),
                becomes=_after(words, _ACTIONS[action]),
            )
        )
    return tuple(rules)


def _after(words: Sequence[str], key: str) -> str:
    if key not in words[:-1]:
        return ""
    place = words.index(key)
    negated = "!" if place > 0 and words[place - 1] == "!" else ""
    return f"{negated}{words[place + 1]}"


def _port(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def parse_listeners(text: str, protocol: str) -> tuple[tuple[str, int, str], ...]:
    """Address, port and inode of the sockets that wait for packets: ``udp`` or ``tcp``, IPv4 or IPv6.

    Args:
        text: that of ``/proc/net/udp`` or ``tcp``, or of ``udp6`` or ``tcp6``.

    Raises:
        ValueError: other text.
    """
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ValueError(f"not a list of sockets: {text.strip()[:80]!r}")
    found = []
    for line in lines[1:]:
        fields = line.split()
        if len(fields) < 10 or ":" not in fields[1]:
            raise ValueError(f"not a socket: {line!r}")
        if fields[3] == _LISTENS[protocol]:
            address, _, port = fields[1].partition(":")
            found.append((_dotted(address), int(port, 16), fields[9]))
    return tuple(found)


def _dotted(hexadecimal: str) -> str:
    """``6853A8C0`` as 192.168.83.104: the kernel writes an address as numbers of the machine's byte order."""
    packed = bytes.fromhex(hexadecimal)
    words = [packed[place : place + 4] for place in range(0, len(packed), 4)]
    ordered = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(ordered))
