from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.errors import EngineError, EngineNotFound, NodeError, StoreUnavailable
from runbook_lib.facts.control_planes.base import OverlayAccess
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.facts.overlay.interfaces import ContainerInterface
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Etcd, Parameters
from runbook_lib.steps import connections, leftovers
from runbook_lib.steps.base import Verb
from runbook_lib.steps.connections import AttachmentReading, Connect, Disconnect

OVR0 = NetworkFacts("node3", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "10.0.0.1")
ALPINE1 = ContainerFacts(
    *("node3", "1" * 64, "alpine1", "alpine", "sha256:1", "sh", "running", "running", "no"),
    pid=7,
    networks=("ovr0",),
    addresses={"ovr0": "10.0.0.2"},
)
ETH0 = ContainerInterface("alpine1", "node3", "eth0", "10.0.0.2", "02:42:0a:00:00:02", 1450, "up")
GWBRIDGE = replace(ETH0, name="eth1", address="172.18.0.2")
ON = AttachmentReading(ALPINE1, (ETH0, GWBRIDGE), OVR0)
OFF = AttachmentReading(replace(ALPINE1, networks=(), addresses={}), (GWBRIDGE,), OVR0)
NOT_HERE = AttachmentReading(None)
STORE = EtcdStore(Etcd())
CONNECT, DISCONNECT = Connect("alpine1", "ovr0", STORE), Disconnect("alpine1", "ovr0", STORE)


def verbs(step: Connect | Disconnect, reading: AttachmentReading) -> dict[str, Verb]:
    findings = step.assess({"node1": NOT_HERE, "node3": reading}, frozenset())
    return {name: finding.verb for name, finding in findings.items()}


def test_the_node_that_has_the_container_is_changed_and_the_others_are_skipped() -> None:
    assert verbs(DISCONNECT, ON) == {"node1": Verb.SKIPPED, "node3": Verb.PENDING}
    assert verbs(CONNECT, OFF) == {"node1": Verb.SKIPPED, "node3": Verb.PENDING}


def test_what_is_already_so_is_satisfied() -> None:
    assert verbs(DISCONNECT, OFF)["node3"] is Verb.SATISFIED
    assert verbs(CONNECT, ON)["node3"] is Verb.SATISFIED


def test_dockers_word_alone_proves_nothing() -> None:
    assert verbs(CONNECT, replace(ON, interfaces=(GWBRIDGE,)))["node3"] is Verb.PENDING
    still_inside = replace(OFF, interfaces=(ETH0, GWBRIDGE))
    assert verbs(DISCONNECT, still_inside)["node3"] is Verb.PENDING


def test_an_address_that_docker_has_forgotten_is_to_be_connected_anew() -> None:
    forgotten = replace(ON, container=replace(ALPINE1, addresses={}))
    assert verbs(CONNECT, forgotten)["node3"] is Verb.PENDING
    assert verbs(DISCONNECT, forgotten)["node3"] is Verb.PENDING
    finding = CONNECT.assess({"node3": forgotten}, frozenset())["node3"]
    assert finding.before == "connected, eth0 10.0.0.2, but Docker has lost the address"


def test_a_container_that_is_nowhere_is_a_failure_with_the_notebook_that_makes_it() -> None:
    finding = CONNECT.assess({"node1": NOT_HERE}, frozenset({"node3"}))["node1"]
    assert finding.verb is Verb.BLOCKED
    assert "node3 did not" in finding.detail
    assert "04_run_containers" in finding.detail


def test_a_stopped_container_or_a_missing_network_is_a_failure() -> None:
    assert verbs(CONNECT, replace(OFF, container=replace(ALPINE1, state="exited")))["node3"] is Verb.BLOCKED
    assert verbs(CONNECT, replace(OFF, network=None))["node3"] is Verb.BLOCKED


def test_one_name_on_two_nodes_is_a_failure() -> None:
    findings = CONNECT.assess({"node1": ON, "node3": ON}, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.REFUSED}


def test_a_worker_of_a_swarm_forgets_the_network_and_the_container_is_still_proved_from_inside() -> None:
    step = Disconnect("alpine1", "ovr0", SwarmMode(Parameters(control_plane="swarm-mode")))
    forgot = replace(OFF, network=None, access=OverlayAccess(manages=False))
    assert step.confirm({"node3": ON}, {"node3": forgot}, frozenset())["node3"].verb is Verb.SATISFIED
    still_inside = replace(forgot, interfaces=(ETH0, GWBRIDGE))
    assert step.confirm({"node3": ON}, {"node3": still_inside}, frozenset())["node3"].verb is Verb.PENDING


class Store:
    """The endpoints that all engines share."""

    def __init__(self) -> None:
        self.endpoints: list[str] = []


class Engine:
    """What dockerd 20.10 did here when some of its calls ran on a thread in a namespace that had vanished."""

    def __init__(self, store: Store, *, has_container: bool, lost_calls: int = 0) -> None:
        self.store, self.has_container, self.lost_calls = store, has_container, lost_calls
        self.listed = self.attached = False

    def _lose(self, call: str) -> None:
        if self.lost_calls:
            self.lost_calls -= 1
            raise StoreUnavailable("node3", call, "dial tcp 192.168.99.104:2379: connect: network is unreachable")

    def connect(self, container: str, network: str) -> None:
        if container in self.store.endpoints:
            raise EngineError("node3", "network connect", f"endpoint with name {container} already exists in {network}")
        self.listed = True
        self.store.endpoints.append(container)  # rolling it back fails as well
        self._lose("network connect")
        self.attached = True

    def disconnect(self, container: str, network: str, *, force: bool = False) -> None:
        if self.has_container:
            if not self.attached:
                raise EngineError("node3", "network disconnect", f"container 1 is not connected to network {network}")
            self._lose("network disconnect")
            self.listed = self.attached = False
        else:
            assert force
        self.store.endpoints.remove(container)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that makes the stand-ins of two nodes, and lets the step's facts come from them."""

    def make(*, lost_calls: int, elsewhere: bool = False) -> Any:
        store = Store()
        engines = {
            "node3": Engine(store, has_container=True, lost_calls=lost_calls),
            "node4": Engine(store, has_container=elsewhere),
        }

        def read_container(node: Any, name: str) -> ContainerFacts | None:
            engine = engines[node.name]
            networks = ("ovr0",) if engine.listed else ()
            addresses = {"ovr0": "10.0.0.2"} if engine.attached else {}
            return replace(ALPINE1, networks=networks, addresses=addresses) if engine.has_container else None

        def read_network(node: Any, name: str) -> NetworkFacts:
            return replace(OVR0, endpoints=tuple(Endpoint(item, "e" * 64, "", "") for item in store.endpoints))

        for module in (connections, leftovers):
            monkeypatch.setattr(module, "read_container", read_container)
            monkeypatch.setattr(module, "read_network", read_network)
        monkeypatch.setattr(EtcdStore, "read_foreign_engine", lambda *_: "")
        monkeypatch.setattr(connections, "_PAUSE", 0.0)
        return SimpleNamespace(
            nodes=[SimpleNamespace(name=name, engine=engine) for name, engine in engines.items()], engines=engines
        )

    return make


@pytest.mark.parametrize("lost_calls", [0, 1, 2])
def test_a_call_that_the_engine_lost_is_made_again_and_what_it_left_behind_is_removed(
    cluster: Callable[..., Any], lost_calls: int
) -> None:
    nodes = cluster(lost_calls=lost_calls)
    connections.connect_with_address(nodes, nodes.nodes[0], STORE, "alpine1", "ovr0")
    assert nodes.engines["node3"].attached
    assert nodes.engines["node3"].store.endpoints == ["alpine1"]
    nodes.engines["node3"].lost_calls = lost_calls
    connections.disconnect_and_release(nodes, nodes.nodes[0], STORE, "alpine1", "ovr0")
    assert not nodes.engines["node3"].attached
    assert nodes.engines["node3"].store.endpoints == []


def test_an_engine_that_never_reaches_its_store_is_an_error_in_the_end(cluster: Callable[..., Any]) -> None:
    nodes = cluster(lost_calls=1000)
    with pytest.raises(StoreUnavailable, match="network is unreachable"):
        connections.connect_with_address(nodes, nodes.nodes[0], STORE, "alpine1", "ovr0")


def test_an_endpoint_that_may_be_of_another_nodes_container_is_left_alone(cluster: Callable[..., Any]) -> None:
    nodes = cluster(lost_calls=0, elsewhere=True)
    nodes.engines["node3"].store.endpoints.append("alpine1")
    with pytest.raises(NodeError, match="may belong to the container on node4"):
        connections.connect_with_address(nodes, nodes.nodes[0], STORE, "alpine1", "ovr0")
    assert nodes.engines["node3"].store.endpoints == ["alpine1"]


def test_a_network_that_docker_lists_without_an_endpoint_is_not_left_any_more() -> None:
    listed = AttachmentReading(replace(ALPINE1, addresses={}), (), OVR0)
    assert verbs(DISCONNECT, listed)["node3"] is Verb.SATISFIED
    assert verbs(CONNECT, listed)["node3"] is Verb.PENDING


def test_connecting_waits_for_a_network_that_the_engine_cannot_read_at_this_moment(
    monkeypatch: pytest.MonkeyPatch, make_inventory: Callable[..., Inventory]
) -> None:
    calls: list[str] = []

    def connect(*arguments: object) -> None:
        calls.append("connect")
        if len(calls) == 1:
            raise EngineNotFound("node1", "network connect", "network ovr0 not found", status=404)

    monkeypatch.setattr(connections, "wait_for_gossip", lambda *arguments: None)
    monkeypatch.setattr(connections, "connect_with_address", connect)
    nodes, said = Cluster(make_inventory(1)), list[str]()
    CONNECT.apply(nodes, nodes.node("node1"), "alpine1", said.append)
    assert len(calls) == 2
    assert said == ["waiting until the cluster store answers the engine"]


def test_an_interface_that_a_lost_call_left_down_is_no_connection_and_has_its_remedy() -> None:
    for listed in (ON, OFF):
        reading = replace(listed, interfaces=(replace(ETH0, name="eth472", state="DOWN"),))
        finding = CONNECT.assess({"node3": reading}, frozenset())["node3"]
        assert finding.verb is Verb.REFUSED
        assert "docker restart alpine1" in finding.detail
        finding = DISCONNECT.assess({"node3": reading}, frozenset())["node3"]
        assert finding.verb is Verb.PENDING
        assert "eth472 10.0.0.2 (down)" in finding.before


def test_a_network_that_one_engine_does_not_find_is_asked_for_again_and_then_named_as_lost() -> None:
    alpine1 = replace(ALPINE1, network_ids={"ovr0": "a" * 64})
    lost, other = replace(ON, container=alpine1, network=None), replace(NOT_HERE, network=OVR0)
    for step, readings, holder in (
        (CONNECT, {"node1": other, "node3": replace(OFF, network=None)}, "node1 has"),
        (DISCONNECT, {"node1": other, "node3": lost}, "node1 has"),
        (DISCONNECT, {"node1": NOT_HERE, "node3": lost}, "node3/alpine1 is on"),
    ):
        assert list(step.contradicted(readings)) == ["node3"]
        finding = step.assess(readings, frozenset())["node3"]
        assert finding.verb is Verb.BLOCKED
        assert f"node3's engine does not find ovr0 (aaaaaaaaaaaa), which {holder}" in finding.detail
        assert "remedy: restart dockerd on node3" in finding.detail
        assert "there is no network" not in finding.detail
    assert list(DISCONNECT.contradicted({"node1": other, "node3": ON})) == []
    assert list(CONNECT.contradicted({"node1": NOT_HERE, "node3": replace(OFF, network=None)})) == []
