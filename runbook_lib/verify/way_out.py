"""Whether containers reach addresses outside the overlay, and if not, what on their node prevents it.

The path out of a container on an overlay: its default route, docker_gwbridge, the node's forwarding, the chain FORWARD,
and masquerading, since docker_gwbridge's addresses are not routed outside. All nodes with a container are tested at
once, in one round trip per node.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.sections import Section, read_sections, reading
from runbook_lib.model.results import Check, Verdict

GATEWAY_BRIDGE = "docker_gwbridge"
CHECK = "containers have a way out"
_MOST = 8
_RULES_AGAIN = "restart dockerd there, which writes its rules again, then run notebook 04_run_containers"

# usage (as root): sh -s ADDRESSES NAME:PID…; one address that answers is enough
_SCRIPT = """\
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
addresses=$1
shift
inside() {
    process=$1
    shift
    nsenter "--net=/proc/$process/ns/net" "$@"
}
knock() {
    for _ in 1 2; do
        answers=$(
            for address in $addresses; do
                inside "$1" ping -c 1 -W 1 "$address" 2>&1 | sed -n "s/.*time=.*/answer $address/p" &
            done
            wait
        )
        if [ -n "$answers" ]; then break; fi
    done
    echo "$answers"
}
for container; do
    who=${container%:*}
    process=${container##*:}
    section "knock $who" knock "$process"
    section "routes $who" inside "$process" ip route show
    section "addresses $who" inside "$process" ip -o -4 addr show
done
section bridge ip link show docker_gwbridge
section bridge-address ip -o -4 addr show docker_gwbridge
section forwarding cat /proc/sys/net/ipv4/ip_forward
section filter iptables -w 5 -S FORWARD
section nat iptables -w 5 -t nat -S POSTROUTING
"""


def check_ways_out(cluster: Cluster, containers: Sequence[ContainerFacts], network: str) -> tuple[Check, ...]:
    """A row for each node that runs one of the containers: whether each gets an answer from another node.

    Changes nothing; needs root over SSH.
    """
    by_node: dict[str, list[ContainerFacts]] = {}
    for container in containers:
        if container.running:
            by_node.setdefault(container.node, []).append(container)
    addresses = {node.name: node.spec.cluster_address for node in cluster}
    nodes = [node for node in cluster if node.name in by_node]
    rows = []
    for outcome in cluster.each(lambda node: _look(node, by_node[node.name], network, addresses), nodes=nodes):
        if outcome.error is not None:
            message = outcome.error.message.splitlines()[0]
            rows.append(Check(CHECK, outcome.node, Verdict.FAIL, "an answer", message, outcome.error.remedy))
        else:
            rows.append(outcome.result)
    return tuple(rows)


def _look(node: Node, containers: Sequence[ContainerFacts], network: str, addresses: Mapping[str, str]) -> Check:
    outside = [address for name, address in addresses.items() if name != node.name][:_MOST]
    names = [f"{container.name}:{container.pid}" for container in containers]
    sections = read_sections(node, _SCRIPT, " ".join(outside), *names, sudo=True)
    own = {container.name: container.addresses.get(network, "") for container in containers}
    with reading(node.name, "containers' way out"):
        return judge_way_out(node.name, own, outside, sections)


def judge_way_out(
    node: str, containers: Mapping[str, str], outside: Sequence[str], sections: Mapping[str, Section]
) -> Check:
    """The row of one node.

    Args:
        containers: name and address on the overlay of each that was tried.
        outside: the addresses that were tried.

    Raises:
        KeyError: a section that is missing.
    """
    expected = f"an answer from {' or '.join(outside)}"
    silent = [name for name in containers if "answer " not in sections[f"knock {name}"].text]
    if not silent:
        words = f"{', '.join(containers)}: answered"
        return Check(CHECK, node, Verdict.PASS, expected, words)
    faults = list(_node_faults(node, sections))
    for name in silent:
        faults += _container_faults(node, name, containers[name], sections)
    if not faults:
        faults = [
            (
                f"{GATEWAY_BRIDGE} is up, the node forwards and masquerades",
                f"something on {node} or on the way drops it: 'iptables -S' and 'nft list ruleset' there, and whether"
                " the node itself reaches that address",
            )
        ]
    found = f"{', '.join(silent)}: no answer; {'; '.join(dict.fromkeys(words for words, _ in faults))}"
    remedy = "; ".join(dict.fromkeys(remedy for _, remedy in faults))
    return Check(CHECK, node, Verdict.FAIL, expected, found, remedy)


def _node_faults(node: str, sections: Mapping[str, Section]) -> Iterator[tuple[str, str]]:
    """What is wrong with a node, each with its remedy."""
    bridge = sections["bridge"]
    if bridge.exit_status != 0:
        yield (
            f"{node} has no interface {GATEWAY_BRIDGE}",
            f"restart dockerd on {node}, which makes it again, then run notebook 04_run_containers",
        )
        return
    if not re.search(r"<(\S*,)?UP[,>]", bridge.text):
        yield f"{GATEWAY_BRIDGE} is down on {node}", f"ip link set {GATEWAY_BRIDGE} up on {node}"
    if sections["forwarding"].text.strip() == "0":
        yield (
            f"{node} does not forward (net.ipv4.ip_forward is 0)",
            f"sysctl -w net.ipv4.ip_forward=1 on {node}, and correct what set it to 0 (/etc/sysctl.d)",
        )
    rules = sections["filter"]
    if rules.exit_status == 0 and "-P FORWARD DROP" in rules.text and not _accepts(rules.text):
        yield (
            f"{node}'s chain FORWARD drops all, and Docker's rules for {GATEWAY_BRIDGE} are not in it (something"
            " flushed them)",
            f"on {node}: {_RULES_AGAIN}",
        )
    nat = sections["nat"]
    if nat.exit_status == 0 and not _masquerades(nat.text, _inet(sections["bridge-address"].text)):
        yield (
            f"{node} does not masquerade what leaves {GATEWAY_BRIDGE} (something flushed Docker's rules)",
            f"on {node}: {_RULES_AGAIN}",
        )


def _accepts(rules: str) -> bool:
    pattern = rf"^-A FORWARD( -i {GATEWAY_BRIDGE}( ! -o {GATEWAY_BRIDGE})?)? -j ACCEPT$|-j DOCKER-FORWARD"
    return re.search(pattern, rules, re.MULTILINE) is not None


def _masquerades(rules: str, gateway: str) -> bool:
    for rule in re.findall(r"^-A POSTROUTING (.*-j (?:MASQUERADE|SNAT).*)$", rules, re.MULTILINE):
        source = re.search(r"-s (\S+)", rule)
        if source is None or (gateway and ipaddress.ip_address(gateway) in ipaddress.ip_network(source[1], False)):
            return True
    return False


def _container_faults(node: str, name: str, own: str, sections: Mapping[str, Section]) -> Iterator[tuple[str, str]]:
    """What is wrong inside a container, each with its remedy."""
    routes, gateway = sections[f"routes {name}"], _inet(sections["bridge-address"].text)
    default = next((line.strip() for line in routes.text.splitlines() if line.startswith("default")), "")
    inside = dict(re.findall(r"^\d+: (\S+)\s+inet ([\d.]+)", sections[f"addresses {name}"].text, re.MULTILINE))
    exits = [interface for interface, address in inside.items() if interface != "lo" and address != own]
    again = f"docker restart {name} on {node}"
    if routes.exit_status != 0:
        yield f"{name}'s network namespace cannot be entered: {routes.text.strip()}", again
    elif not exits:
        yield (
            f"{name} has no interface on {GATEWAY_BRIDGE}",
            f"{again}, unless its network is internal (--internal): such a network has no way out",
        )
    elif not default:
        yield f"{name} has no default route", f"{again}, which sets its routes again"
    elif gateway and f"via {gateway} " not in f"{default} ":
        yield f"{name}'s default route is '{default}', not via {GATEWAY_BRIDGE}'s {gateway}", again


def _inet(text: str) -> str:
    found = re.search(r"\binet ([\d.]+)", text)
    return found[1] if found else ""
