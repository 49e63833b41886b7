"""Docker's embedded DNS server as one container reaches it: an address that NAT maps to a port of dockerd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.host.ip import NatRule, parse_listeners, parse_nat_rules
from runbook_lib.facts.sections import Section, read_sections, reading

NAME_SERVER = "127.0.0.11"


@dataclass(frozen=True)
class Listener:
    """A listening socket in the container's namespace, and its process, if known."""

    protocol: str
    address: str
    port: int
    process: str


@dataclass(frozen=True)
class NameService:
    """How a container reaches its DNS server: the address in ``/etc/resolv.conf``, NAT rules, sockets."""

    container: str
    node: str
    server: str
    rules: tuple[NatRule, ...]
    listeners: tuple[Listener, ...]


# Argument: the container's pid. Docker uses one of the iptables variants.
_SCRIPT = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
namespace=/proc/$1/ns/net
rules() {
    for tool in iptables iptables-legacy iptables-nft; do
        listed=$(nsenter "--net=$namespace" "$tool" -t nat -S 2>/dev/null)
        case $listed in *127.0.0.11*) break ;; esac
    done
    printf '%s\\n' "$listed"
}
held() { ls -l "/proc/$engine/fd" | grep -o 'socket:.*'; }
read -r engine </var/run/docker.pid
section resolv cat "/proc/$1/root/etc/resolv.conf"
section rules rules
section udp nsenter "--net=$namespace" cat /proc/self/net/udp
section tcp nsenter "--net=$namespace" cat /proc/self/net/tcp
section name cat "/proc/$engine/comm"
section held held
"""


def read_name_service(node: Node, container: ContainerFacts) -> NameService:
    """How a running container's names are resolved. Needs root over SSH.

    Raises:
        UnreachableError: the node cannot be reached.
        CommandError, NodeError: the container's namespace cannot be read.
    """
    sections = read_sections(node, _SCRIPT, str(container.pid), sudo=True)
    with reading(node.name, f"name service of {container.name}"):
        return parse_name_service(container, sections)


def parse_name_service(container: ContainerFacts, sections: Mapping[str, Section]) -> NameService:
    """The name service from the sections resolv, rules, udp, tcp, name and held. Raises ``ValueError``."""
    server = re.search(r"^nameserver\s+(\S+)", sections["resolv"].text, re.MULTILINE)
    inodes = set(re.findall(r"socket:\[(\d+)\]", sections["held"].text))
    engine = sections["name"].text.strip()
    listeners = [
        Listener(protocol, address, port, engine if inode in inodes else "")
        for protocol in ("udp", "tcp")
        for address, port, inode in parse_listeners(sections[protocol].text, protocol)
    ]
    return NameService(
        container.name,
        container.node,
        server[1] if server else "",
        parse_nat_rules(sections["rules"].text),
        tuple(listeners),
    )
