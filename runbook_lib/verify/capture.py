"""One ping between two containers, captured on the wire at both of their nodes.

No tcpdump is needed: each node runs a few lines of perl (``capture.pl``) that read a packet socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import CommandError, InputError, NodeError
from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.hidden_namespace import OverlayLink, read_hidden_namespace
from runbook_lib.facts.networks import NetworkFacts, read_network
from runbook_lib.facts.reading import reading
from runbook_lib.model.results import Check, Verdict
from runbook_lib.transport.ssh import without_marks
from runbook_lib.verify.packets import Direction, WirePacket, between, decode
from runbook_lib.verify.prober import program
from runbook_lib.verify.two_nodes import on_two_nodes

# Only bounds: a capture ends as soon as the ping has, and takes what is between the two containers alone.
SECONDS = 15.0
_LIMIT = 200
_VXLAN_OVERHEAD = 50
_NEEDS = "capturing needs root over SSH (sudo), nsenter, and perl with Socket and POSIX"


@dataclass(frozen=True)
class Capture:
    """What was seen on the wire of one ping from ``source`` to ``target``.

    ``sender`` and ``receiver`` are their containers, ``tunnel`` is the VXLAN interface on the sender's node. Without
    packets, ``impossible`` says why the nodes could not capture.
    """

    source: ContainerFacts
    target: ContainerFacts
    network: str
    tunnel: OverlayLink | None
    packets: tuple[WirePacket, ...]
    checks: tuple[Check, ...]
    impossible: str = ""


def capture_ping(cluster: Cluster, source: str, target: str, network: str, *, size: int = 56) -> Capture:
    """Ping once with ``size`` bytes of data and capture it on the cluster's network at both nodes.

    Changes nothing. A node that cannot capture (no perl, no root) gives a result without packets that says why.

    Raises:
        PreconditionError: no such containers, not running, not on the network.
        InputError: both on one node, or a size that no ping has.
        UnreachableError: a node cannot be reached.
    """
    if not 0 <= size <= 65507:
        raise InputError(f"no ping carries {size} bytes", place="size", remedy="0 to 65507")
    one, other = on_two_nodes(cluster, source, target, network)
    facts = read_network(cluster.node(one.node), network)
    tunnel = _tunnel(cluster.node(one.node), facts)
    if facts is not None and "encrypted" in facts.options:
        return _impossible(one, other, network, tunnel, f"{network} is encrypted: on the wire there is only ESP")
    nodes = (cluster.node(one.node), cluster.node(other.node))
    ends = (one.addresses[network], other.addresses[network])
    vni = tunnel.vni if tunnel else None
    wanted = _Wanted(cluster.inventory.network.interface, (tunnel.port if tunnel else None) or 4789, *ends, vni)
    try:
        with ExitStack() as stack:
            taps = [stack.enter_context(_tap(node, wanted)) for node in nodes]
            answered = _ping(nodes[0], one, ends[1], size)
            packets = [packet for tap, node in zip(taps, nodes, strict=True) for packet in tap.packets(node.name)]
    except CommandError as error:
        return _impossible(one, other, network, tunnel, error.message)
    found = between(packets, *ends, vni)
    checks = judge(found, one, other, network, tunnel, answered, _addresses(cluster))
    return Capture(one, other, network, tunnel, found, checks)


def _tunnel(node: Node, facts: NetworkFacts | None) -> OverlayLink | None:
    hidden = read_hidden_namespace(node, facts.id) if facts is not None else None
    return hidden.vxlan if hidden is not None else None


def _addresses(cluster: Cluster) -> dict[str, str]:
    return {node.name: node.spec.cluster_address for node in cluster}


def _impossible(
    source: ContainerFacts, target: ContainerFacts, network: str, tunnel: OverlayLink | None, why: str
) -> Capture:
    check = Check("the ping is captured on the wire", source.node, Verdict.SKIP, found=why, remedy=_NEEDS)
    return Capture(source, target, network, tunnel, (), (check,), why)


@dataclass(frozen=True)
class _Wanted:
    """The packets that are captured: where, VXLAN's port there, between which containers, in which overlay."""

    interface: str
    port: int
    one: str
    other: str
    vni: int | None

    @property
    def argv(self) -> tuple[str, ...]:
        """The program that captures them."""
        bounds = (f"{SECONDS:g}", str(_LIMIT))
        what = (self.one, self.other, *([] if self.vni is None else [str(self.vni)]))
        return ("perl", "-e", program("capture.pl"), self.interface, str(self.port), *bounds, *what)


class _Tap:
    """A running capture: it is ready once made, and what it caught can be read when the ping is over."""

    def __init__(self, node: Node, wanted: _Wanted, stack: ExitStack) -> None:
        self._channel = node.ssh.stream(wanted.argv, sudo=True)
        stack.callback(self._channel.close)
        # perl ends by itself; this bounds a node that hangs
        self._channel.settimeout(SECONDS + 10)
        self._output = self._channel.makefile("r")
        try:
            ready = self._output.readline().strip()
        except TimeoutError as error:
            raise CommandError(
                node.name, wanted.argv[:1], exit_status=None, reason="it keeps silent", remedy=_NEEDS
            ) from error
        if ready != "ready":
            complaint = without_marks("".join(self._channel.makefile_stderr("r")))
            raise CommandError(
                node.name,
                ("perl", "capture.pl", wanted.interface),
                exit_status=self._channel.recv_exit_status(),
                stderr=complaint,
                remedy=_NEEDS,
            )

    def packets(self, node: str) -> tuple[WirePacket, ...]:
        """End the capture and take apart what it caught."""
        self._channel.shutdown_write()
        with reading(node, "captured packets"):
            try:
                return parse_capture(node, "".join(self._output))
            except TimeoutError as error:
                raise NodeError(node, "the capture did not end", remedy="is the node overloaded?") from error


@contextmanager
def _tap(node: Node, wanted: _Wanted) -> Iterator[_Tap]:
    with ExitStack() as stack:
        yield _Tap(node, wanted, stack)


def _ping(node: Node, source: ContainerFacts, address: str, size: int) -> bool:
    namespace = f"--net=/proc/{source.pid}/ns/net"
    words = ("nsenter", namespace, "ping", "-c", "1", "-W", "2", "-s", str(size), address)
    return node.ssh.run(words, sudo=True, check=False, timeout=10).exit_status == 0


def parse_capture(node: str, text: str) -> tuple[WirePacket, ...]:
    """The packets in what capture.pl printed.

    Raises:
        ValueError: the capture was cut off, or a packet was.
    """
    if not re.search(r"^end\t\d+$", text, re.MULTILINE):
        raise ValueError("the capture was cut off")
    found = []
    for time, direction, frame in re.findall(r"^packet\t([\d.]+)\t(sent|received)\t([0-9a-f]+)$", text, re.MULTILINE):
        way: Direction = "sent" if direction == "sent" else "received"
        packet = decode(node, way, float(time), bytes.fromhex(frame))
        if packet is not None:
            found.append(packet)
    return tuple(found)


def judge(
    packets: Sequence[WirePacket],
    source: ContainerFacts,
    target: ContainerFacts,
    network: str,
    tunnel: OverlayLink | None,
    answered: bool,
    addresses: dict[str, str],
) -> tuple[Check, ...]:
    """What the packets of one ping must show. ``addresses`` are the nodes' on the cluster's network."""

    def check(claim: str, expected: str, found: str, node: str = source.node) -> Check:
        verdict = Verdict.PASS if found == expected else Verdict.FAIL
        return Check(claim, node, verdict, expected, found, "" if found == expected else "repeat it; then see 05")

    left = [packet for packet in packets if packet.node == source.node and packet.direction == "sent"]
    came = [packet for packet in packets if packet.node == target.node and packet.direction == "received"]
    checks = [
        check("the ping is answered", "yes", "yes" if answered else "no"),
        check("it leaves its node inside a VXLAN packet", "yes", "yes" if left else "no"),
        check("the same packet arrives at the other node", "yes", "yes" if came else "no", target.node),
    ]
    if not left or not came:
        return tuple(checks)
    outer, inner = left[0].header("outer IPv4"), left[0].header("inner IPv4")
    ends = f"{addresses[source.node]} to {addresses[target.node]}"
    contained = f"{source.addresses[network]} to {target.addresses[network]}"
    vni = tunnel.vni if tunnel else None
    intact = [packet.inner for packet in left] == [packet.inner for packet in came]
    return (
        *checks,
        check("outside it goes from node to node", ends, f"{outer.source} to {outer.destination}"),
        check("inside it goes from container to container", contained, f"{inner.source} to {inner.destination}"),
        check("its VNI is that of the VXLAN interface", str(vni), str(left[0].vni)),
        check("it arrives untouched", "yes", "yes" if intact else "no", target.node),
        check("the headers in between cost 50 bytes", str(_VXLAN_OVERHEAD), str(left[0].overhead)),
    )
