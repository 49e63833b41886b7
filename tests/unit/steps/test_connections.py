from dataclasses import replace

from runbook_lib.facts.containers import ContainerFacts
from runbook_lib.facts.control_plane import Standing
from runbook_lib.facts.control_planes.etcd import EtcdStore
from runbook_lib.facts.control_planes.swarm_mode import SwarmMode
from runbook_lib.facts.interfaces import ContainerInterface
from runbook_lib.facts.networks import NetworkFacts
from runbook_lib.model.parameters import Etcd, Parameters
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
    assert finding.before == "connected, eth0 10.0.0.2, which Docker has forgotten"


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
    forgot = replace(OFF, network=None, standing=Standing(manages=False))
    assert step.confirm({"node3": ON}, {"node3": forgot}, frozenset())["node3"].verb is Verb.SATISFIED
    still_inside = replace(forgot, interfaces=(ETH0, GWBRIDGE))
    assert step.confirm({"node3": ON}, {"node3": still_inside}, frozenset())["node3"].verb is Verb.PENDING
