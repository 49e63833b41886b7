"""Checks of the ports between the nodes, each on the node at fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes.base import ControlPlane, Ports
from runbook_lib.facts.docker.engine import EngineFacts
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.facts.overlay.gossip import common_node
from runbook_lib.model.results import Check, Verdict
from runbook_lib.verify.ports import PROBES, NodeCounts, PortReading, try_ports

ENGINE_PORT = 2376
GOSSIP_PORT = 7946
VXLAN_PORT = 4789
MTU_OPTION = "com.docker.network.driver.mtu"
NO_ANSWER = "check that it is up and that SSH works as in the inventory, then run it again"
NO_ADDRESS = "give its interface an address there (notebook 01_fix_node_ips; in the inventory: network)"
_ON_THE_WAY = "on the way to it"
_AT_ALL = "in its filter or on the way to it"
_AND_WAY = " and on the way to it"
_WHY = {
    GOSSIP_PORT: "without it no node learns where the others' containers are",
    VXLAN_PORT: "names resolve, but every ping between nodes is lost",
}


def check_ports(cluster: Cluster, engines: Mapping[str, EngineFacts], control_plane: ControlPlane) -> tuple[Check, ...]:
    """Cluster store, engine, gossip and vxlan ports, along all ordered pairs of nodes; one row per port and node."""
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
    return tuple(judge_ports(names, addresses, needed, engine_port, reading, network.interface))


def _others(addresses: Mapping[str, str], name: str, ports: Sequence[int]) -> list[tuple[str, int]]:
    return [(address, port) for other, address in addresses.items() if other != name for port in ports]


def judge_ports(
    names: Sequence[str],
    addresses: Mapping[str, str],
    needed: Ports,
    engine_port: Sequence[int],
    reading: PortReading,
    interface: str = "",
) -> Iterator[Check]:
    """Rows from the probes' results; ``interface`` is that of the cluster's network."""
    judge = _Judge(names, addresses, reading, interface)
    yield from judge.store(needed)
    for port in (*engine_port, GOSSIP_PORT):
        yield from judge.between("tcp", port)
    for port in (GOSSIP_PORT, needed.data_path):
        yield from judge.between("udp", port)


def judge_udp(
    names: Sequence[str], addresses: Mapping[str, str], reading: PortReading, interface: str, port: int, needed: int
) -> Iterator[Check]:
    """The rows of one UDP port between the nodes with an address; each loss with the node at fault.

    The probes are packets of ``needed`` bytes, and smaller ones pass.
    """
    yield from _Judge(names, addresses, reading, interface, needed).between("udp", port)


@dataclass(frozen=True)
class _Loss:
    """A loss from one node to another, and the node at fault: ``culprit``, empty if unknown.

    ``refused``: a refusal came back, so the path works both ways. ``partial``: some probes arrived.
    """

    sender: str
    receiver: str
    words: str
    culprit: str = ""
    remedy: str = ""
    refused: bool = False
    partial: bool = False

    @property
    def ends(self) -> frozenset[str]:
        return frozenset((self.sender, self.receiver))


@dataclass(frozen=True)
class _Judge:
    names: Sequence[str]
    addresses: Mapping[str, str]
    reading: PortReading
    interface: str
    needed: int = 0  # bytes, where the probes are large ones and small ones pass

    def store(self, needed: Ports) -> Iterator[Check]:
        """A row per node: whether its engine's members can be reached."""
        port = needed.port
        check, expected = f"tcp {port} to {needed.members_title}", "all of them can be reached"
        owners = {address: name for name, address in self.addresses.items()}
        tried = [(name, host) for name in self.names for host, _ in needed.members.get(name, ())]
        results = {(name, host): self.reading.tcp.get((name, ("tcp", host, port)), "not tried") for name, host in tried}
        # only a loss between nodes can be another node's fault; a node that refuses runs no member (notebook 02)
        lost = [
            (name, owners[host], result)
            for (name, host), result in results.items()
            if host in owners and name not in self.reading.errors and result not in ("connected", "refused")
        ]
        losses = self._with_culprits([self._tcp_loss(*each, port) for each in lost], "tcp", port)
        for name in self.names:
            own = {host: result for (sender, host), result in results.items() if sender == name}
            if name in self.reading.errors:
                yield Check(check, name, Verdict.FAIL, expected, self.reading.errors[name], NO_ANSWER)
                continue
            if not own:
                yield Check(check, name, Verdict.FAIL, expected, "the engine knows none", needed.remedy)
                continue
            mine = [loss for loss in losses if loss.culprit == name]
            others = [f"{self.addresses[loss.receiver]}: see {loss.culprit}" for loss in losses if loss.sender == name]
            strange = {host: result for host, result in own.items() if result != "connected" and host not in owners}
            refused = [f"{host} refused" for host, result in own.items() if result == "refused" and host in owners]
            found = [*_told(mine, name)] + [f"{host} {result}" for host, result in strange.items()]
            if found:
                remedies = [loss.remedy for loss in mine]
                remedies += [f"timeout: open tcp {port} on the way to it"] if strange else []
                yield Check(check, name, Verdict.FAIL, expected, ", ".join([*found, *refused]), _joined(remedies))
            elif refused:
                remedy = "refused: nothing serves there (notebook 02_autostart_etcd)"
                yield Check(check, name, Verdict.WARN, expected, ", ".join([*refused, *others]), remedy)
            else:
                connected = [host for host, result in own.items() if result == "connected"]
                verdict = Verdict.PASS if connected else Verdict.SKIP
                words = [f"connected to {', '.join(connected)}"] if connected else []
                yield Check(check, name, verdict, expected, ", ".join([*words, *others]))

    def between(self, protocol: Literal["tcp", "udp"], port: int) -> Iterator[Check]:
        """A row per node: whether probes of a port reach it, and its own the others."""
        check = f"{protocol} {port} between nodes"
        losses = self._with_culprits(list(self._losses(protocol, port)), protocol, port)
        for name in self.names:
            expected = f"{name} accepts a connection from every other node"
            if protocol == "udp":
                expected = f"{PROBES} probes from every other node pass {name}'s firewall"
            row = self._impossible(check, expected, name)
            yield row or self._row(Check(check, name, Verdict.FAIL, expected), protocol, port, losses)

    def _impossible(self, check: str, expected: str, name: str) -> Check | None:
        if name in self.reading.errors:
            return Check(check, name, Verdict.FAIL, expected, self.reading.errors[name], NO_ANSWER)
        if name not in self.addresses:
            found = "the node has no address on the cluster's network"
            return Check(check, name, Verdict.FAIL, expected, found, NO_ADDRESS)
        if len(self.addresses) < 2:
            return Check(check, name, Verdict.SKIP, expected, "there is no other node to send from")
        return None

    def _row(self, row: Check, protocol: str, port: int, losses: Sequence[_Loss]) -> Check:
        name, how = row.node, ""
        mine = [loss for loss in losses if loss.culprit == name]
        elsewhere = [loss for loss in losses if loss.receiver == name and loss.culprit != name]
        if protocol == "udp" and name in self.reading.counts and not any(loss.sender == name for loss in mine):
            how = f", counted by iptables (table {self.reading.counts[name].table}, INPUT) behind the filter"
        if mine:
            refused = protocol == "tcp" and port == GOSSIP_PORT and all(loss.refused for loss in mine)
            verdict = Verdict.WARN if refused else Verdict.FAIL
            found = ", ".join(_told(mine, name))
            return replace(row, verdict=verdict, found=found + how, remedy=_joined(loss.remedy for loss in mine))
        if protocol == "udp" and name not in self.reading.counts:
            reason = self.reading.uncounted.get(name, "nothing was counted")
            remedy = "counting needs root over SSH and iptables on the node"
            if not reason.startswith("cannot"):
                remedy = "run it again; if it stays so, see what else calls iptables on the node all the time"
            return replace(row, verdict=Verdict.WARN, found=f"not proven: {reason}", remedy=remedy)
        lost = {loss.sender for loss in elsewhere}
        arrived = [other for other in self.addresses if other != name and other not in lost]
        words = f"{PROBES} each from" if protocol == "udp" else "connected from"
        found = f"{words} {', '.join(arrived)}{how}" if arrived else "nothing proven"
        notes = [f"from {loss.sender}: {loss.words} (see {loss.culprit})" for loss in elsewhere]
        return replace(row, verdict=Verdict.PASS if arrived else Verdict.SKIP, found=", ".join([found, *notes]))

    def _losses(self, protocol: str, port: int) -> Iterator[_Loss]:
        pairs = [(one, other) for other in self.addresses for one in self.addresses if one != other]
        for sender, receiver in pairs:
            silent = next((end for end in (sender, receiver) if end in self.reading.errors), "")
            if silent:
                yield _Loss(sender, receiver, self.reading.errors[silent], silent)
            elif protocol == "tcp":
                result = self.reading.tcp.get((sender, ("tcp", self.addresses[receiver], port)), "not tried")
                if result != "connected":
                    yield self._tcp_loss(sender, receiver, result, port)
            else:
                loss = self._udp_loss(sender, receiver, port)
                if loss is not None:
                    yield loss

    def _tcp_loss(self, sender: str, receiver: str, result: str, port: int) -> _Loss:
        loss = _Loss(sender, receiver, result)
        if receiver in self.reading.errors:
            return replace(loss, culprit=receiver)
        if sender == receiver:  # probes to itself are not counted
            return replace(loss, culprit=receiver, remedy=self._opened(loss, "tcp", port, receiver))
        if result == "refused":
            remedy = "the engine listens once it has its control plane"
            if port == ENGINE_PORT:
                remedy = f"check that dockerd runs on {receiver} and listens there (-H tcp://0.0.0.0:{port})"
            return replace(loss, culprit=receiver, refused=True, remedy=remedy)
        return self._located(loss, "tcp", port, 1)

    def _udp_loss(self, sender: str, receiver: str, port: int) -> _Loss | None:
        target, source = self.addresses[receiver], self.addresses[sender]
        result = self.reading.sent.get((sender, ("udp", target, port)), "not sent")
        counts = self.reading.counts.get(receiver)
        if result != "sent":
            return self._blocked_by_sender(_Loss(sender, receiver, _short(result)), "udp", port)
        if counts is None:
            return None  # the receiver's row reports it as not proven
        packets = counts.of("passed", "udp", source, port) or 0
        if packets >= PROBES:
            return None
        loss = _Loss(sender, receiver, f"{packets} of {PROBES}", partial=packets > 0)
        return self._located(loss, "udp", port, PROBES)

    def _located(self, loss: _Loss, protocol: str, port: int, whole: int) -> _Loss:
        """The loss with the node at fault, as far as the counts at both ends show."""
        source, target = self.addresses[loss.sender], self.addresses[loss.receiver]
        sending, receiving = self.reading.counts.get(loss.sender), self.reading.counts.get(loss.receiver)
        left = sending.of("left", protocol, target, port) if sending else None
        arrived = receiving.of("arrived", protocol, source, port) if receiving else None
        passed = receiving.of("passed", protocol, source, port) if receiving else None
        if left is not None and left < whole:
            return self._blocked_by_sender(loss, protocol, port)
        detour = self._detour(sending, target)
        if detour and not arrived:
            return replace(
                loss,
                words=f"{loss.words} (it goes out of {detour})",
                culprit=loss.sender,
                remedy=f"{loss.sender}'s route to {target} leads out of {detour}, not {self.interface}: correct it"
                f" (ip route get {target})",
            )
        if receiving is None or arrived is None or passed is None or arrived < whole or passed >= whole:
            if not loss.partial:
                return loss
            return replace(
                loss, words=f"{loss.words} (the rest lost {_ON_THE_WAY if arrived is not None else _AT_ALL})"
            )
        detour = self._detour(receiving, source)
        if detour and receiving.rp_filtered > 0:
            return replace(
                loss,
                words=f"{loss.words} (dropped by its reverse-path filter)",
                culprit=loss.receiver,
                remedy=f"{loss.receiver}'s route back to {source} leads out of {detour}, so that its strict"
                f" reverse-path filter drops what comes in at {self.interface}: correct the route (ip route get"
                f" {source}), or loosen the filter (sysctl -w net.ipv4.conf.{self.interface}.rp_filter=2)",
            )
        words = f"{loss.words} (the rest lost in its filter)" if loss.partial else loss.words
        return replace(
            loss, words=words, culprit=loss.receiver, remedy=self._opened(loss, protocol, port, loss.receiver)
        )

    def _opened(self, loss: _Loss, protocol: str, port: int, name: str, place: str = "") -> str:
        """The remedy on a node where some or all probes of a port are lost."""
        if loss.partial:
            where = f"on the way to {name}, or in its filter" if place else f"in {name}'s filter"
            return (
                f"{protocol} {port} is open, but packets to it are lost {where}: look at what 'iptables -nvL INPUT'"
                f" counts as dropped on {name}{', and at the network on the way to it' if place else ''}"
            )
        return self._by_length(name, port, place) if self.needed else _opened(protocol, port, name, place)

    def _by_length(self, name: str, port: int, place: str = "") -> str:
        way = f", and for an MTU below {self.needed}{place.removeprefix(' and')}" if place else ""
        return (
            f"small packets pass and large ones do not: check on {name} what drops udp {port} by its length"
            f" (iptables -S){way}; or create the overlay with a smaller MTU (overlay.options {MTU_OPTION})"
        )

    def _blocked_by_sender(self, loss: _Loss, protocol: str, port: int) -> _Loss:
        """A loss in the sender's own firewall or interface."""
        if "unreachable" in loss.words or "No route" in loss.words:
            words, remedy = (
                loss.words,
                f"check that {self.interface or 'its interface'} of {loss.sender} is up (ip route)",
            )
        elif loss.partial:
            words = f"{loss.words}, the rest dropped by {loss.sender}'s own firewall as it leaves"
            remedy = f"check what 'iptables -nvL OUTPUT' counts as dropped on {loss.sender}: it blocks some packets"
        else:
            words = f"{loss.words}, dropped by {loss.sender}'s own firewall as it leaves"
            remedy = f"let {protocol} {port} out on {loss.sender} (iptables -S OUTPUT){_why(protocol, port)}"
            remedy = self._by_length(loss.sender, port) if self.needed else remedy
        return replace(loss, words=words, culprit=loss.sender, remedy=remedy)

    def _detour(self, counts: NodeCounts | None, address: str) -> str:
        """The interface of the route to a cluster address, if it is not the cluster's."""
        way = counts.routes.get(address, "") if counts else ""
        return way if self.interface and way not in ("", self.interface, "lo") else ""

    def _with_culprits(self, losses: Sequence[_Loss], protocol: str, port: int) -> list[_Loss]:
        """Each loss with a culprit: by default the one node that all losses share, or the receiver."""
        unknown = [loss for loss in losses if not loss.culprit]
        common = common_node(loss.ends for loss in unknown)
        blamed = []
        for loss in losses:
            if not loss.culprit:
                culprit = common or loss.receiver
                loss = replace(loss, culprit=culprit, remedy=self._opened(loss, protocol, port, culprit, _AND_WAY))
            blamed.append(loss)
        return blamed


def _told(losses: Sequence[_Loss], name: str) -> Iterator[str]:
    """A node's losses in words, equal ones in one phrase: ``from node1, node3: 0 of 3``."""
    said = [("from" if loss.receiver == name else "to", loss.words) for loss in losses]
    for way, words in dict.fromkeys(said):
        alike = [loss for loss, each in zip(losses, said, strict=True) if each == (way, words)]
        ends = ", ".join(loss.sender if way == "from" else loss.receiver for loss in alike)
        yield f"{way} {ends}: {words}"


def _short(result: str) -> str:
    """``not sent: bash: line 1: printf: write error: Operation not permitted`` without what the shell puts before."""
    return f"not sent: {result.rpartition(': ')[2]}" if result.startswith("not sent: ") else result


def _opened(protocol: str, port: int, name: str, place: str = "") -> str:
    ports = f"udp {port} (not tcp)" if protocol == "udp" else f"tcp {port}"
    return f"open {ports} on {name}{place}{_why(protocol, port)}"


def _why(protocol: str, port: int) -> str:
    if protocol == "tcp":
        return ""
    return f": {_WHY.get(port, _WHY[VXLAN_PORT])}"


def _joined(remedies: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(remedy for remedy in remedies if remedy))
