from collections.abc import Callable
from dataclasses import replace
from threading import Event

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes.base import OverlayAccess
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.docker.containers import ContainerFacts
from runbook_lib.facts.docker.networks import Endpoint, NetworkFacts
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import ContainerSpec, Etcd, Overlay
from runbook_lib.steps.base import (
    CONTAINERS_NOTEBOOK,
    EXTERNAL_LABEL,
    EXTERNAL_NOTEBOOK,
    OWNER_LABEL,
    Finding,
    Verb,
    owner_labels,
    run_step,
)
from runbook_lib.steps.containers import ContainersReading, Job, RemoveContainers, RunContainers
from runbook_lib.transport.docker.engine import Engine
from tests.waiting import PATIENCE_SECONDS

OVR0 = NetworkFacts("node1", "a" * 64, "ovr0", "overlay", "global", "10.0.0.0/24", "10.0.0.1")
EMPTY = ContainersReading((), OVR0, frozenset({"alpine:latest"}))
RUNNING = ContainerFacts(
    "node2",
    "1" * 64,
    "alpine1",
    "alpine",
    "sha256:1",
    "/bin/sh",
    "running",
    "running since now",
    "no",
    networks=("ovr0",),
    labels={OWNER_LABEL: "mine"},
    addresses={"ovr0": "10.0.0.2"},
    endpoint_ids={"ovr0": "e1"},
)
PINNED = ContainerSpec(name="alpine1", node="node2")


def assess(
    spec: ContainerSpec, node2: ContainersReading, *missing: str, node1: ContainersReading = EMPTY
) -> dict[str, Finding[tuple[Job, ...]]]:
    step = RunContainers([spec], Overlay(), EtcdStore(Etcd()), "mine")
    return dict(step.assess({"node1": node1, "node2": node2}, frozenset(missing)))


def with_container(**changes: object) -> ContainersReading:
    return replace(EMPTY, containers=(replace(RUNNING, **changes),))


def test_an_absent_container_is_created_and_started_on_its_node() -> None:
    findings = assess(PINNED, EMPTY)
    assert findings["node2"].work == (Job(PINNED, create=True, start=True),)
    assert findings["node1"].verb is Verb.SATISFIED


def test_a_running_container_satisfies() -> None:
    finding = assess(PINNED, with_container())["node2"]
    assert (finding.verb, finding.before) == (Verb.SATISFIED, "alpine1 running 10.0.0.2")


def test_a_stopped_one_is_started() -> None:
    finding = assess(PINNED, with_container(state="exited", addresses={}, endpoint_ids={}))["node2"]
    assert finding.work == (Job(PINNED, start=True),)


def test_one_of_ours_without_its_network_is_connected_again() -> None:
    finding = assess(PINNED, with_container(networks=(), addresses={}, endpoint_ids={}))["node2"]
    assert finding.work == (Job(PINNED, connect=True),)


def test_somebody_elses_container_without_the_network_is_left_alone() -> None:
    finding = assess(PINNED, with_container(networks=(), addresses={}, labels={}))["node2"]
    assert finding.verb is Verb.REFUSED
    assert "network: expected ovr0, found none" in finding.detail


def test_another_image_or_network_is_a_failure_that_names_the_difference_and_the_remedy() -> None:
    finding = assess(PINNED, with_container(image="busybox:1.36", networks=("bridge",)))["node2"]
    assert finding.verb is Verb.REFUSED
    assert "image: expected alpine:latest, found busybox:1.36" in finding.detail
    assert "network: expected ovr0, found bridge" in finding.detail
    assert "docker rm -f alpine1" in finding.detail


def test_a_container_on_another_node_than_wanted_is_a_failure() -> None:
    elsewhere = replace(EMPTY, containers=(replace(RUNNING, node="node1"),))
    finding = assess(PINNED, EMPTY, node1=elsewhere)["node2"]
    assert finding.verb is Verb.REFUSED
    assert "node: expected node2, found node1" in finding.detail


def test_one_name_on_two_nodes_is_a_failure() -> None:
    elsewhere = replace(EMPTY, containers=(replace(RUNNING, node="node1"),))
    finding = assess(PINNED, with_container(), node1=elsewhere)["node2"]
    assert finding.verb is Verb.REFUSED
    assert "node1/alpine1, node2/alpine1" in finding.detail


def test_a_stale_endpoint_of_the_name_is_taken_off_first() -> None:
    network = replace(OVR0, endpoints=(Endpoint("alpine1", "e9", "", "10.0.0.9"),))
    reading = replace(EMPTY, network=network)
    finding = assess(PINNED, reading, node1=reading)["node2"]
    assert finding.work == (Job(PINNED, release=True, create=True, start=True),)
    assert "stale endpoint alpine1" in finding.detail
    crashed = with_container(state="exited", addresses={}, endpoint_ids={"ovr0": "e9"})
    finding = assess(PINNED, replace(crashed, network=network), node1=reading)["node2"]
    assert finding.work == (Job(PINNED, start=True),)


def test_an_endpoint_that_may_be_a_silent_nodes_is_not_touched() -> None:
    reading = replace(EMPTY, network=replace(OVR0, endpoints=(Endpoint("alpine1", "e9", "", "10.0.0.9"),)))
    finding = assess(PINNED, reading, "node3", node1=reading)["node2"]
    assert finding.verb is Verb.REFUSED
    assert "node3" in finding.detail


def test_nothing_is_spread_while_a_node_is_silent() -> None:
    findings = assess(ContainerSpec(name="alpine1"), EMPTY, "node3")
    assert findings["node1"].verb is Verb.REFUSED
    assert "node3 did not answer" in findings["node1"].detail


def test_a_spread_container_that_exists_stays_where_it_is() -> None:
    findings = assess(ContainerSpec(name="alpine1"), with_container())
    assert findings["node2"].before == "alpine1 running 10.0.0.2"
    assert {finding.verb for finding in findings.values()} == {Verb.SATISFIED}


def test_a_missing_image_network_or_store_each_has_its_remedy() -> None:
    assert "docker pull alpine:latest" in assess(PINNED, replace(EMPTY, images=frozenset()))["node2"].detail
    nowhere = replace(EMPTY, network=None)
    assert "notebook 03_create_overlay" in assess(PINNED, nowhere, node1=nowhere)["node2"].detail
    storeless = replace(EMPTY, network=None, access=OverlayAccess("the engine has no cluster store: none"))
    assert "notebook 02_autostart_etcd" in assess(PINNED, storeless)["node2"].detail


def test_only_nodes_with_the_network_are_spread_over() -> None:
    findings = assess(ContainerSpec(name="alpine1"), EMPTY, node1=replace(EMPTY, network=None))
    assert findings["node2"].verb is Verb.PENDING


def test_removal_is_by_id_and_says_the_names() -> None:
    finding = RemoveContainers("mine").assess({"node2": (RUNNING,)}, frozenset())["node2"]
    assert (finding.before, finding.work) == ("alpine1", ("1" * 64,))


def test_containers_start_in_the_order_of_the_parameters_on_whatever_node(
    monkeypatch: pytest.MonkeyPatch, make_inventory: Callable[..., Inventory]
) -> None:
    specs = [ContainerSpec(name=f"c{n}", node=node) for n, node in enumerate(["node2", "node1", "node3", "node2"])]
    started: list[str] = []

    class Slow(RunContainers):
        def read(self, node: Node) -> ContainersReading:
            found = [spec for spec in specs if spec.name in started and spec.node == node.name]
            own = [replace(RUNNING, node=node.name, name=spec.name, id=spec.name, endpoint_ids={}) for spec in found]
            return replace(EMPTY, containers=tuple(own))

    # node2, which has the first container, is the last to be ready
    ready = {"node1": Event(), "node3": Event()}

    def create(engine: Engine, name: str, *arguments: object, **more: object) -> str:
        waiting = {"c0": list(ready.values())}.get(name, [])
        assert all(event.wait(PATIENCE_SECONDS) for event in waiting)
        for spec in specs:
            if spec.name == name and spec.node in ready:
                ready[spec.node].set()
        return name

    monkeypatch.setattr(Engine, "create_container", create)
    monkeypatch.setattr(Engine, "start", lambda engine, name: started.append(name))
    monkeypatch.setattr("runbook_lib.steps.containers.wait_for_gossip", lambda *arguments: None)
    monkeypatch.setattr("runbook_lib.steps.containers.read_container", lambda node, name: None)
    step = Slow(specs, Overlay(), EtcdStore(Etcd()), "mine")
    rows = run_step(Cluster(make_inventory(3)), step)
    assert [row.status.value for row in rows] == ["changed"] * 3, rows
    assert started == ["c0", "c1", "c2", "c3"]


def test_a_started_container_whose_address_the_engine_does_not_keep_is_connected_until_it_does(
    monkeypatch: pytest.MonkeyPatch, make_inventory: Callable[..., Inventory]
) -> None:
    calls: list[str] = []

    def look(node: Node, name: str) -> ContainerFacts:
        kept = calls.count("connect") == 2
        return replace(RUNNING, state="running" if calls else "created", addresses={"ovr0": "10.0.0.2"} if kept else {})

    monkeypatch.setattr("runbook_lib.steps.containers.read_container", look)
    monkeypatch.setattr("runbook_lib.steps.containers.wait_for_gossip", lambda *arguments: None)
    monkeypatch.setattr("runbook_lib.steps.containers.connect_with_address", lambda *arguments: calls.append("connect"))
    monkeypatch.setattr(Engine, "start", lambda engine, name: calls.append("start"))
    step = RunContainers([PINNED], Overlay(), EtcdStore(Etcd()), "mine")
    cluster = Cluster(make_inventory(2))
    step.apply(cluster, cluster.node("node2"), (Job(PINNED, start=True),), lambda state: None)
    assert calls == ["start", "connect", "start", "connect", "start"]


def test_undoing_one_notebook_leaves_the_containers_of_another_and_says_so() -> None:
    old = replace(RUNNING, id="2" * 64, name="web-old", labels={OWNER_LABEL: "mine", EXTERNAL_LABEL: "macvlan"})
    new = replace(RUNNING, id="3" * 64, name="web-new", labels=owner_labels("mine", EXTERNAL_NOTEBOOK))
    run = replace(RUNNING, id="4" * 64, name="alpine2", labels=owner_labels("mine", CONTAINERS_NOTEBOOK))
    step = RemoveContainers("mine", CONTAINERS_NOTEBOOK)
    findings = step.assess({"node1": (old, new), "node2": (RUNNING, old, run)}, frozenset())
    assert (findings["node1"].verb, findings["node1"].before) == (Verb.SATISFIED, "none created by 04_run_containers")
    assert findings["node2"].work == ("1" * 64, "4" * 64)
    assert findings["node2"].before == "alpine1, alpine2"
    assert findings["node2"].detail == "web-old stays: notebook 08_fixed_external_address created it"
    everything = RemoveContainers("mine").assess({"node1": (old, new)}, frozenset())["node1"]
    assert everything.work == ("2" * 64, "3" * 64)


def test_a_container_whose_address_docker_has_forgotten_is_connected_anew() -> None:
    finding = assess(PINNED, with_container(addresses={}))["node2"]
    assert finding.verb is Verb.PENDING
    assert finding.work == (Job(PINNED, connect=True),)


def test_a_worker_of_a_swarm_runs_a_container_on_a_network_that_it_has_not_seen_yet() -> None:
    worker = replace(EMPTY, network=None, access=OverlayAccess(manages=False))
    assert assess(PINNED, worker)["node2"].work == (Job(PINNED, create=True, start=True),)
    nowhere = assess(PINNED, worker, node1=replace(worker, network=None))["node2"]
    assert nowhere.verb is Verb.BLOCKED
    assert "03_create_overlay" in nowhere.detail


def test_a_network_that_one_engine_does_not_find_is_not_called_missing() -> None:
    step = RunContainers([PINNED], Overlay(), EtcdStore(Etcd()), "mine")
    readings = {"node1": EMPTY, "node2": replace(EMPTY, network=None)}
    assert list(step.contradicted(readings)) == ["node2"]
    assert list(step.contradicted({"node1": EMPTY, "node2": EMPTY})) == []
    detail = step.assess(readings, frozenset())["node2"].detail
    assert "node2's engine does not find ovr0 (aaaaaaaaaaaa), which node1 has" in detail
    assert "restart dockerd on node2" in detail
    assert "03_create_overlay" not in detail
