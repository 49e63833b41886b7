"""Verdicts on the ports between the nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runbook_lib.cluster import Cluster
from runbook_lib.facts.addresses import read_cluster_address
from runbook_lib.facts.control_plane import ControlPlane, Ports
from runbook_lib.facts.engine import EngineFacts
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.ports import PROBES, PortReading, try_ports

ENGINE_PORT = 2376
GOSSIP_PORT = 7946
VXLAN_PORT = 4789
_WHY = {
    GOSSIP_PORT: "without it no node learns where the others' containers are",
    VXLAN_PORT: "names resolve, but every ping between nodes is lost",
}


def check_ports(cluster: Cluster, engines: Mapping[str, EngineFacts], control_plane: ControlPlane) -> tuple[Check, ...]:
    """Cluster store, engine, gossip and vxlan ports, along all ordered pairs of nodes; one row a port and receiver."""
    names = [node.name for node in cluster]
    network = cluster.inventory.network
    addresses: dict[str, str] = {}
    for outcome in cluster.each(lambda node: read_cluster_address(node, network)):
        if outcome.value is not None and outcome.value.address:
            addresses[outcome.node] = outcome.value.address
    needed = control_plane.ports(engines)
    engine_port = [ENGINE_PORT] if any(node.spec.docker.via == "tls" for node in cluster) else []
    tcp = {
        name: [*needed.members.get(name, ()), *_others(addresses, name, [GOSSIP_PORT, *engine_port])]
        for name in addresses
    }
    reading = try_ports(cluster, addresses, tcp, (GOSSIP_PORT, needed.data_path))
    return tuple(judge_ports(names, addresses, needed, engine_port, reading))


def _others(addresses: Mapping[str, str], name: str, ports: Sequence[int]) -> list[tuple[str, int]]:
    return [(address, port) for other, address in addresses.items() if other != name for port in ports]


def judge_ports(
    names: Sequence[str],
    addresses: Mapping[str, str],
    needed: Ports,
    engine_port: Sequence[int],
    reading: PortReading,
) -> Iterator[Check]:
    """Rows from what the trials gave."""
    for name in names:
        yield _store_row(name, needed, reading)
    for port in (*engine_port, GOSSIP_PORT):
        for name in names:
            yield _tcp_row(name, port, addresses, reading)
    for port in (GOSSIP_PORT, needed.data_path):
        for name in names:
            yield _udp_row(name, port, addresses, reading)


def _store_row(name: str, needed: Ports, reading: PortReading) -> Check:
    store, port = needed.members.get(name, ()), needed.port
    check, expected = f"tcp {port} to {needed.members_title}", "every one of them can be reached"
    if name in reading.errors:
        return Check(check, name, Verdict.FAIL, expected, reading.errors[name])
    if not store:
        return Check(check, name, Verdict.FAIL, expected, "the engine knows none", needed.remedy)
    results = {host: reading.tcp.get((name, ("tcp", host, port)), "not tried") for host, port in store}
    closed = [f"{host} {result}" for host, result in results.items() if result != "connected"]
    if not closed:
        return Check(check, name, Verdict.PASS, expected, f"connected to {', '.join(results)}")
    # a refusal travelled both ways, so the path is open: a member that does not run is for notebook 02
    lost = [result for result in results.values() if result not in ("connected", "refused")]
    verdict = Verdict.FAIL if lost else Verdict.WARN
    remedy = "refused: nothing serves there (notebook 02_autostart_etcd); timeout: open the port"
    return Check(check, name, verdict, expected, ", ".join(closed), remedy)


def _tcp_row(name: str, port: int, addresses: Mapping[str, str], reading: PortReading) -> Check:
    check, expected = f"tcp {port} between nodes", f"{name} accepts a connection from every other node"
    skipped = _impossible(check, expected, name, addresses, reading)
    if skipped is not None:
        return skipped
    results = {
        other: reading.tcp.get((other, ("tcp", addresses[name], port)), reading.errors.get(other, "not tried"))
        for other in addresses
        if other != name
    }
    closed = [f"from {other}: {result}" for other, result in results.items() if result != "connected"]
    if not closed:
        return Check(check, name, Verdict.PASS, expected, f"connected from {', '.join(results)}")
    # a refusal travelled both ways, so the path is open: the engine just does not listen (yet)
    refused = all(result == "refused" for result in results.values())
    verdict = Verdict.WARN if refused and port == GOSSIP_PORT else Verdict.FAIL
    remedy = "the engine listens once it has its control plane" if refused else f"open tcp {port} on {name}"
    return Check(check, name, verdict, expected, ", ".join(closed), remedy)


def _udp_row(name: str, port: int, addresses: Mapping[str, str], reading: PortReading) -> Check:
    check = f"udp {port} between nodes"
    expected = f"{PROBES} probes from every other node pass {name}'s firewall"
    skipped = _impossible(check, expected, name, addresses, reading)
    if skipped is not None:
        return skipped
    if name not in reading.tables:
        reason = reading.uncounted.get(name, "nothing was counted")
        remedy = "counting needs root over SSH and iptables on the node"
        return Check(check, name, Verdict.WARN, expected, f"not proven: {reason}", remedy)
    how = f"counted by iptables (table {reading.tables[name]}, INPUT) behind the filter"
    arrived, lost = [], []
    for other, address in addresses.items():
        if other == name:
            continue
        packets = reading.counted.get((name, address, port), 0)
        result = reading.sent.get((other, ("udp", addresses[name], port)), reading.errors.get(other, "not sent"))
        if packets >= PROBES:
            arrived.append(other)
        elif result != "sent":
            lost.append(f"from {other}: {result}")
        else:
            lost.append(f"from {other}: {packets} of {PROBES}")
    if not lost:
        return Check(check, name, Verdict.PASS, expected, f"{PROBES} each from {', '.join(arrived)}, {how}")
    remedy = f"open udp {port} (not tcp) on {name} and on the way to it: {_WHY.get(port, _WHY[VXLAN_PORT])}"
    return Check(check, name, Verdict.FAIL, expected, f"{', '.join(lost)}, {how}", remedy)


def _impossible(
    check: str, expected: str, name: str, addresses: Mapping[str, str], reading: PortReading
) -> Check | None:
    if name in reading.errors:
        return Check(check, name, Verdict.FAIL, expected, reading.errors[name])
    if name not in addresses:
        return Check(check, name, Verdict.FAIL, expected, "the node has no address on the cluster's network")
    if len(addresses) < 2:
        return Check(check, name, Verdict.SKIP, expected, "there is no other node to send from")
    return None
