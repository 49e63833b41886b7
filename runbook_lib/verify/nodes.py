"""Checks every node of an inventory; changes nothing."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import HostKeyError, NodeError, RunbookError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.control_planes.base import ControlPlane
from runbook_lib.facts.docker.engine import EngineFacts, read_engine
from runbook_lib.facts.host.addresses import ClusterAddress, read_cluster_address
from runbook_lib.facts.host.host import HostFacts, read_host
from runbook_lib.facts.host.platform import HostNetwork, read_platform
from runbook_lib.model.base import PlatformName
from runbook_lib.model.commands import inventory_command
from runbook_lib.model.inventory import ClusterNetwork, NodeSpec
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Verdict
from runbook_lib.transport.docker.connection import read_validity
from runbook_lib.verify.members import check_manager
from runbook_lib.verify.preflight import judge_clocks

T = TypeVar("T")

SSH, SUDO, ENGINE, CONTROL_PLANE = "SSH", "sudo", "engine", "control plane"
NETWORK, CLOCK, PLATFORM = "network", "clock", "platform"
#: Every check, in the order in which ``check_nodes`` gives a node's.
CHECKS = (SSH, SUDO, ENGINE, CONTROL_PLANE, NETWORK, CLOCK, PLATFORM)

_EXPIRED = (
    "make a new one: docker-machine regenerate-certs --client-certs MACHINE, or with your own authority; or reach "
    "Docker over SSH (docker: {via: ssh})"
)


@dataclass(frozen=True)
class _Answer(Generic[T]):
    """The result of one test on one node: a value or an error."""

    value: T | None = None
    error: RunbookError | None = None


@dataclass(frozen=True)
class _NodeReadings:
    """All tests of one node; only ``ssh`` is filled in if SSH fails."""

    ssh: _Answer[bool]
    engine: _Answer[EngineFacts]
    sudo: _Answer[bool] = _Answer()
    address: _Answer[ClusterAddress] = _Answer()
    host: _Answer[HostFacts] = _Answer()
    platform: _Answer[HostNetwork] = _Answer()


def check_nodes(cluster: Cluster, parameters: Parameters) -> tuple[Check, ...]:
    """Test every node, all at once: SSH, sudo, engine, control plane, network, clock, platform.

    Returns:
        A row of a classic Swarm manager, where there is one (of the node ``all``). Then a row for each check of each
        node, node by node in the order of the inventory; what depends on a failed check is skipped and names it. If the
        manager fails, the nodes' own engines are tested.
    """
    manager = tuple(check_manager(cluster))
    if any(row.verdict is Verdict.FAIL for row in manager):
        with cluster.without_manager() as own:
            return (*manager, *_check_nodes(own, parameters))
    return (*manager, *_check_nodes(cluster, parameters))


def _check_nodes(cluster: Cluster, parameters: Parameters) -> tuple[Check, ...]:
    network = cluster.inventory.network
    seen = {outcome.node: outcome.result for outcome in cluster.each(lambda node: _read_node(node, network))}
    clocks = {row.node: row for row in _clocks(seen)}
    stores = Counter(each.engine.value.cluster_store for each in seen.values() if each.engine.value is not None)
    usual_store = stores.most_common(1)[0][0] if stores else ""
    plane = control_plane_of(parameters)
    rows: list[Check] = []
    for node in cluster:
        each = seen[node.name]
        rows += (
            _ssh(node.spec, each.ssh, inventory_command("trust")),
            _sudo(node.spec, each),
            _engine(node, each.engine),
            _control_plane(node.name, each.engine, plane, usual_store),
            _network(node.name, each, network),
            clocks.get(node.name) or _skipped(CLOCK, node.name, "no SSH"),
            _platform(node.spec, each, parameters),
        )
    return tuple(rows)


def _read_node(node: Node, network: ClusterNetwork) -> _NodeReadings:
    ssh = _attempt(lambda: node.ssh.run(["true"]).exit_status == 0)  # a login must also run commands
    if ssh.error is not None:
        # over TLS the engine may answer all the same
        engine = _attempt(lambda: read_engine(node)) if node.spec.docker.via == "tls" else _Answer[EngineFacts]()
        return _NodeReadings(ssh, engine)
    return _NodeReadings(
        ssh,
        _attempt(lambda: read_engine(node)),
        sudo=_attempt(lambda: node.ssh.run(["true"], sudo=True).exit_status == 0),
        address=_attempt(lambda: read_cluster_address(node, network)),
        host=_attempt(lambda: read_host(node)),
        platform=_attempt(lambda: read_platform(node, network.interface)),
    )


def _attempt(ask: Callable[[], T]) -> _Answer[T]:
    try:
        return _Answer(ask())
    except RunbookError as error:
        return _Answer(error=error)


def _skipped(check: str, node: str, why: str) -> Check:
    return Check(check, node, Verdict.SKIP, found=f"not checked: {why}")


def _failed(check: str, node: str, expected: str, error: RunbookError) -> Check:
    return Check(check, node, Verdict.FAIL, expected, error.message.splitlines()[0], error.remedy)


def _ssh(spec: NodeSpec, ssh: _Answer[bool], trust: str) -> Check:
    login = f"{spec.ssh.user}@{spec.ssh.host}:{spec.ssh.port}"
    if ssh.error is None:
        return Check(SSH, spec.name, Verdict.PASS, f"a login as {login}", login)
    row = _failed(SSH, spec.name, f"a login as {login}", ssh.error)
    if isinstance(ssh.error, HostKeyError) and ssh.error.expected is None:
        row = replace(row, remedy=f"{trust} shows its fingerprint, and records the key after you confirm")
    return row


def _sudo(spec: NodeSpec, seen: _NodeReadings) -> Check:
    if seen.ssh.error is not None:
        return _skipped(SUDO, spec.name, "no SSH")
    expected = f"{spec.ssh.user} may run everything as root"
    if seen.sudo.error is not None:
        return _failed(SUDO, spec.name, expected, seen.sudo.error)
    return Check(SUDO, spec.name, Verdict.PASS, expected, "works")


def _engine(node: Node, engine: _Answer[EngineFacts]) -> Check:
    spec = node.spec
    expected = f"Docker answers over {'TLS' if spec.docker.via == 'tls' else 'SSH'}"
    if engine.value is not None:
        facts = engine.value
        return Check(ENGINE, spec.name, Verdict.PASS, expected, f"{facts.version}, API {facts.api_version}")
    if engine.error is None:
        return _skipped(ENGINE, spec.name, "no SSH")
    row = _failed(ENGINE, spec.name, expected, engine.error)
    if spec.docker.via == "tls":
        fault = _certificate_fault(str(spec.docker.cert))
        return replace(row, found=fault, remedy=_EXPIRED) if fault else row
    remedy = (
        f"check that Docker is installed and running there, and that {spec.ssh.user} is in the group docker, or root"
    )
    # what a Swarm manager says of the node has a remedy of its own
    return replace(row, remedy=remedy) if isinstance(engine.error, NodeError) and node.manager is None else row


def _certificate_fault(path: str) -> str:
    """Why the engine cannot accept the client certificate by its dates; else empty."""
    try:
        fault = read_validity(path).fault()
    except RunbookError as error:
        return error.message
    return f"the client certificate {path} {fault}" if fault else ""


def _control_plane(node: str, engine: _Answer[EngineFacts], plane: ControlPlane, usual_store: str) -> Check:
    if engine.value is None:
        return _skipped(CONTROL_PLANE, node, "no engine")
    return judge_control_plane(engine.value, plane, usual_store)


def judge_control_plane(facts: EngineFacts, plane: ControlPlane, usual_store: str) -> Check:
    """Whether an engine uses the parameters' control plane, and the same store as most nodes."""
    kinds = {"etcd": facts.cluster_store, "swarm": "part of a swarm", "other": facts.cluster_store}
    found = kinds.get(facts.mode, "no cluster store, and not in a swarm")
    remedy = plane.incompatibility(facts)
    if not remedy and facts.cluster_store != usual_store:
        remedy = f"the other nodes have {usual_store}: give all the same, or leave this node out"
    verdict = Verdict.FAIL if remedy else Verdict.PASS
    return Check(CONTROL_PLANE, facts.node, verdict, plane.engines, f"{facts.version}, {found}", remedy)


def _network(node: str, seen: _NodeReadings, network: ClusterNetwork) -> Check:
    if seen.address.value is not None:
        return judge_network(seen.address.value, network)
    if seen.address.error is not None:
        return _failed(NETWORK, node, f"{network.interface} in {network.subnet}", seen.address.error)
    return _skipped(NETWORK, node, "no SSH")


def judge_network(facts: ClusterAddress, network: ClusterNetwork) -> Check:
    """Whether the interface has an address of the subnet; another one than the inventory's is a warning."""
    verdict, found, remedy = Verdict.PASS, facts.address or f"{network.interface} has no address", ""
    if facts.address is None:
        verdict, remedy = Verdict.FAIL, "check network.interface, then give it an address (01_fix_node_ips)"
    elif ipaddress.IPv4Address(facts.address) not in network.prefix:
        verdict, remedy = Verdict.FAIL, "correct network.interface and network.subnet in the inventory"
        found = f"{facts.address}/{facts.prefix_length}"
    elif facts.address != facts.expected:
        verdict, remedy = Verdict.WARN, "correct cluster_address; or let 01_fix_node_ips give the node that address"
        found = f"{facts.address}, but the inventory says {facts.expected}"
    return Check(NETWORK, facts.node, verdict, f"{network.interface} in {network.subnet}", found, remedy)


def _clocks(seen: dict[str, _NodeReadings]) -> Iterator[Check]:
    """The clocks of the nodes that SSH reaches, compared with each other."""
    outcomes: Sequence[Outcome[HostFacts]] = [
        Outcome(node, each.host.value, each.host.error, 0.0) for node, each in seen.items() if each.ssh.error is None
    ]
    yield from judge_clocks(outcomes)


def _platform(spec: NodeSpec, seen: _NodeReadings, parameters: Parameters) -> Check:
    wanted = spec.platform or parameters.platform
    if seen.ssh.error is not None or seen.sudo.error is not None:
        return _skipped(PLATFORM, spec.name, "no SSH" if seen.ssh.error is not None else "no sudo")
    if seen.platform.value is None:
        assert seen.platform.error is not None  # else it was read
        return _failed(PLATFORM, spec.name, wanted, seen.platform.error)
    return judge_platform(spec.name, seen.platform.value.platform, seen.platform.value.evidence, wanted)


def judge_platform(node: str, platform: PlatformName | None, evidence: str, wanted: str) -> Check:
    """Whether the platform is the configured one, or any supported one for ``auto``."""
    expected = "a supported platform" if wanted == "auto" else wanted
    remedy = "" if wanted in ("auto", platform) else f"set platform: {platform}, or auto"
    if platform is None:
        remedy = "notebook 01 cannot fix its address: leave that notebook out, or give the node another network manager"
    verdict = Verdict.FAIL if remedy else Verdict.PASS
    found = f"{platform}, by {evidence}" if platform else evidence
    return Check(PLATFORM, node, verdict, expected, found, remedy)
