"""A small overlay for the proofs by real packets: its store, its network and two containers on two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineConflict, EngineError, EngineNotFound
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.model.parameters import Etcd
from runbook_lib.steps import require_success, run_step
from runbook_lib.steps.gossip import JoinGossip, wait_for_gossip
from tests.waiting import wait_until

STORE = EtcdStore(Etcd())
NETWORK = "verify0"
FIRST, SECOND = "verify1", "verify2"
PLACES = {FIRST: "node3", SECOND: "node4"}


def start_store(cluster: Cluster) -> None:
    """Start every etcd container, and make the overlay as soon as the store takes it.

    All at once: a member alone has no quorum, and engines that ask it meanwhile wait half a minute.
    """
    for outcome in cluster.each(_start_member):
        assert outcome.error is None, outcome.error
    wait_until(lambda: _has_network(cluster), "the store takes a network", pause=0.3)
    for outcome in cluster.each(lambda node: wait_for_gossip(node, STORE, lambda state: None)):
        assert outcome.error is None, outcome.error
    require_success(run_step(cluster, JoinGossip(STORE)))


def _has_network(cluster: Cluster) -> bool:
    try:
        cluster.nodes[-1].engine.create_network(NETWORK, subnet="10.91.0.0/24")
    except EngineConflict:
        return True
    except EngineError:
        return False
    return True


def _start_member(node: Node) -> None:
    for container in read_containers(node):
        if container.name.startswith("etcd") and not container.running:
            node.engine.start(container.name)


def start_containers(cluster: Cluster) -> None:
    """Two containers on different nodes."""
    for name, place in PLACES.items():
        engine = cluster.node(place).engine
        engine.create_container(name, "alpine", command=["sleep", "100000"], network=NETWORK)
        engine.start(name)


def remove(cluster: Cluster) -> None:
    """Take containers and network away, as far as they are there."""
    for name, place in PLACES.items():
        try:
            cluster.node(place).engine.remove_container(name, force=True)
        except EngineNotFound:
            continue
    # An engine that was cut off from its store says for a moment that there is no such network.
    wait_until(lambda: _without_network(cluster), f"{NETWORK} is removed")


def _without_network(cluster: Cluster) -> bool:
    """Remove the network through any engine that knows it; whether none does."""
    known = False
    for node in cluster.nodes:
        with suppress(EngineNotFound):
            known = known or any(network.name == NETWORK for network in read_networks(node))
            node.engine.remove_network(NETWORK)
    return not known


@contextmanager
def broken(node: Node, act: str, mend: str) -> Iterator[None]:
    """A node on which root has done something, until it is mended."""
    node.ssh.run(["sh", "-c", act], sudo=True)
    try:
        yield
    finally:
        node.ssh.run(["sh", "-c", mend], sudo=True)


def dropping(node: Node, rule: str) -> AbstractContextManager[None]:
    """A node that drops packets: ``rule`` is iptables' chain and match."""
    return broken(node, f"iptables -I {rule} -j DROP", f"iptables -D {rule} -j DROP")
