"""The overlay and its containers on real nodes, with nodes that are down or die in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.containers import find_container, read_containers
from runbook_lib.facts.docker.networks import read_network
from runbook_lib.facts.host.addresses import BOOTSYNC
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import ContainerSpec, Overlay, Timeouts
from runbook_lib.model.results import StepResult
from runbook_lib.session.catalog import StepCatalog, clean_up_steps
from runbook_lib.steps import (
    Connect,
    CreateNetwork,
    Disconnect,
    Reboot,
    RunContainers,
    require_success,
    run_step,
    run_steps,
)
from runbook_lib.steps.base import Say
from runbook_lib.steps.containers import Job
from runbook_lib.testbed import Testbed
from tests.waiting import wait_until

pytestmark = [pytest.mark.testbed, pytest.mark.usefixtures("store")]

Footprint = Callable[[], list[object]]
QUICK = Timeouts(connect=5, command=15)


@pytest.fixture(scope="module", autouse=True)
def nothing_left(run: Run) -> Iterator[None]:
    yield
    with Cluster(run.inventory) as cluster:
        require_success(run_steps(cluster, clean_up_steps(run.parameters)))


def statuses(rows: tuple[StepResult, ...]) -> list[str]:
    return [row.status.value for row in rows]


def create(run: Run, overlay: Overlay | None = None) -> CreateNetwork:
    return CreateNetwork(overlay or run.parameters.overlay, control_plane_of(run.parameters), run.parameters.name)


def containers(run: Run, *specs: ContainerSpec) -> RunContainers:
    parameters = run.parameters
    return RunContainers(
        specs or parameters.containers, parameters.overlay, control_plane_of(parameters), parameters.name
    )


def test_a_plan_touches_nothing(cluster: Cluster, run: Run, footprint: Footprint) -> None:
    before = footprint()
    assert statuses(run_step(cluster, create(run), plan=True)) == ["planned"] * 4
    assert statuses(run_step(cluster, containers(run), plan=True)) == ["ok", "ok", "planned", "planned"]
    assert footprint() == before


def test_the_network_is_made_once_and_has_one_id_on_every_node(cluster: Cluster, run: Run) -> None:
    assert statuses(run_step(cluster, create(run))) == ["changed"] * 4
    assert statuses(run_step(cluster, create(run))) == ["ok"] * 4
    found = [read_network(node, "ovr0") for node in cluster]
    assert len({network.id for network in found if network is not None}) == 1
    assert None not in found


def test_other_settings_are_refused_with_their_differences(cluster: Cluster, run: Run) -> None:
    other = Overlay(subnet="10.7.0.0/24", options={"com.docker.network.driver.mtu": "1400"})
    rows = run_step(cluster, create(run, other))
    assert statuses(rows) == ["failed"] * 4
    assert "subnet: expected 10.7.0.0/24, found 10.0.0.0/24" in rows[0].detail
    assert "option com.docker.network.driver.mtu: expected 1400, found none" in rows[0].detail


def test_containers_run_where_they_are_placed_and_a_second_run_changes_nothing(cluster: Cluster, run: Run) -> None:
    assert statuses(run_step(cluster, containers(run))) == ["ok", "ok", "changed", "changed"]
    assert statuses(run_step(cluster, containers(run))) == ["ok"] * 4
    alpine2 = find_container(cluster, "alpine2")
    assert alpine2 is not None
    assert (alpine2.node, alpine2.command, alpine2.running) == ("node4", "/bin/sh", True)


def test_another_image_of_the_same_name_is_refused_and_left_alone(cluster: Cluster, run: Run) -> None:
    rows = run_step(cluster, containers(run, ContainerSpec(name="alpine1", image="etcd:3.4", node="node2")))
    assert statuses(rows) == ["ok", "failed", "ok", "ok"]
    assert "image: expected etcd:3.4, found alpine:latest" in rows[1].detail
    assert "node: expected node2, found node3" in rows[1].detail
    assert "docker rm -f alpine1" in rows[1].detail


def test_a_stopped_container_is_started_again(cluster: Cluster, run: Run) -> None:
    cluster.node("node3").engine.stop("alpine1", grace=0)
    assert statuses(run_step(cluster, containers(run))) == ["ok", "ok", "changed", "ok"]


def test_disconnect_and_connect_are_seen_from_inside_and_change_nothing_twice(
    cluster: Cluster, run: Run, footprint: Footprint
) -> None:
    control_plane = control_plane_of(run.parameters)
    off, on = Disconnect("alpine1", "ovr0", control_plane), Connect("alpine1", "ovr0", control_plane)
    before = footprint()
    assert statuses(run_step(cluster, off, plan=True)) == ["skipped", "skipped", "planned", "skipped"]
    assert footprint() == before
    rows = run_step(cluster, off)
    assert (rows[2].status.value, rows[2].after) == ("changed", "disconnected")
    assert statuses(run_step(cluster, off))[2] == "ok"
    rows = run_step(cluster, on)
    assert rows[2].status.value == "changed"
    assert rows[2].after.startswith("connected, eth")
    assert statuses(run_step(cluster, on))[2] == "ok"


def test_a_node_that_is_down_is_one_unreachable_row_and_hides_nobody(run: Run, testbed: Testbed) -> None:
    spec = ContainerSpec(name="alpine3", node="node1")
    testbed.cut("node4", management=True)
    try:
        with Cluster(run.inventory, QUICK) as cluster:
            rows = run_step(cluster, containers(run, spec))
            assert statuses(rows) == ["changed", "ok", "ok", "unreachable"]
            assert "does not answer" in rows[3].detail
            spread = run_step(cluster, containers(run, ContainerSpec(name="alpine4")))
            assert "failed" in statuses(spread)
            assert "node4 did not answer" in " ".join(row.detail for row in spread)
    finally:
        testbed.restore("node4")
    with Cluster(run.inventory) as cluster:
        assert statuses(run_step(cluster, containers(run, spec))) == ["ok"] * 4


def test_a_node_that_dies_in_the_middle_fails_alone_and_a_second_run_finishes_it(run: Run, testbed: Testbed) -> None:
    class Dying(RunContainers):
        def apply(self, cluster: Cluster, node: Node, work: tuple[Job, ...], say: Say) -> None:
            if node.name == "node2":
                testbed.cut("node2", management=True)
            super().apply(cluster, node, work, say)

    specs = (ContainerSpec(name="left", node="node1"), ContainerSpec(name="right", node="node2"))
    parameters = run.parameters
    try:
        with Cluster(run.inventory, QUICK) as cluster:
            step = Dying(specs, parameters.overlay, control_plane_of(parameters), parameters.name)
            rows = run_step(cluster, step)
            assert rows[0].status.value == "changed", rows[0]
            assert not rows[1].status.succeeded
            assert [row.status.value for row in rows[2:]] == ["ok", "ok"]
    finally:
        testbed.restore("node2")
    with Cluster(run.inventory) as cluster:
        rows = run_step(cluster, containers(run, *specs))
        assert statuses(rows) == ["ok", "changed", "ok", "ok"], rows


def test_an_engine_that_cannot_read_its_store_for_a_moment_starts_its_container_all_the_same(run: Run) -> None:
    rule = "OUTPUT -p tcp --dport 2379 -j REJECT --reject-with tcp-reset"
    waiting = "waiting until the cluster store answers the engine"
    parameters = run.parameters
    with Cluster(run.inventory) as cluster:
        node = cluster.node("node2")

        def iptables(action: str, *, check: bool = True) -> None:
            node.ssh.run(["iptables", action, *rule.split()], sudo=True, check=check)

        class Hesitating(RunContainers):
            def apply(self, cluster: Cluster, node: Node, work: tuple[Job, ...], say: Say) -> None:
                iptables("-I")
                super().apply(cluster, node, work, say)

        heard = threading.Event()

        def reporter(step: str, node: str, state: str) -> None:
            if state == waiting and not heard.is_set():
                heard.set()
                iptables("-D")  # the store answers again once somebody has been told that it does not

        step = Hesitating(
            [ContainerSpec(name="late", node="node2")],
            parameters.overlay,
            control_plane_of(parameters),
            parameters.name,
        )
        try:
            rows = run_step(cluster, step, reporter=reporter)
        finally:
            if not heard.is_set():  # the step gives up by itself, and has left the rule
                iptables("-D", check=False)
        assert heard.is_set(), rows
        assert statuses(rows) == ["ok", "changed", "ok", "ok"], rows


def test_a_node_that_does_not_come_back_in_time_is_a_failure_that_names_what_was_missing(
    run: Run, testbed: Testbed
) -> None:
    with Cluster(run.inventory, Timeouts(reboot=0.5)) as cluster:
        # The engine starts after this script has ended.
        slow = f"echo 'sleep 5 # slow' >>{BOOTSYNC}"
        cluster.node("node1").ssh.run(["sh", "-c", slow], sudo=True)
        (row,) = run_step(cluster, Reboot(["node1"], graceful=False))
        assert row.status.value == "failed"
        assert "still missing: " in row.detail
    wait_until(lambda: testbed.status().running, testbed.status, pause=0.2)
    with Cluster(run.inventory) as cluster:
        cluster.node("node1").ssh.run(["sed", "-i", "/# slow$/d", BOOTSYNC], sudo=True)
        require_success(run_step(cluster, Reboot(["node1"])))


def test_what_a_power_cut_leaves_in_the_store_is_taken_off_and_named(
    cluster: Cluster, run: Run, start_store: Callable[[], None]
) -> None:
    # on the connections that are used afterwards, as notebooks do it: the step gives up those of before the cut
    require_success(run_step(cluster, Reboot(graceful=False)))
    start_store()
    with Cluster(run.inventory) as cluster:
        cluster.node("node4").engine.remove_container("alpine2", force=True)
        network = read_network(cluster.node("node1"), "ovr0")
        assert network is not None
        assert "alpine2" in [endpoint.name for endpoint in network.endpoints]
        rows = run_step(cluster, containers(run))
        assert rows[3].status.value == "changed", rows[3]
        assert rows[3].detail == "removes the stale endpoint alpine2 from ovr0"
        assert statuses(run_step(cluster, containers(run))) == ["ok"] * 4


def test_clean_up_removes_what_is_ours_and_nothing_else(cluster: Cluster, run: Run, footprint: Footprint) -> None:
    node = cluster.node("node1")
    node.engine.create_network("theirs", driver="bridge", subnet="172.29.0.0/24")
    node.engine.create_container("bystander", "alpine", command=["sleep", "600"], network="theirs")
    before = footprint()
    alone = run_step(cluster, StepCatalog(run.inventory, run.parameters).remove_network())
    assert statuses(alone).count("failed") == 1, "one network has one cause, which is said once"
    assert statuses(alone).count("skipped") == 3
    assert statuses(alone)[0] == "failed"
    assert "containers of notebook 04_run_containers are on it: " in alone[0].detail
    assert "node4/alpine2" in alone[0].detail
    planned = run_steps(cluster, clean_up_steps(run.parameters), plan=True)
    assert "planned" in statuses(planned)
    assert footprint() == before
    assert "changed" in statuses(run_steps(cluster, clean_up_steps(run.parameters)))
    assert set(statuses(run_steps(cluster, clean_up_steps(run.parameters)))) == {"ok"}
    assert [read_network(item, "ovr0") for item in cluster] == [None] * 4
    left = {item.name for each in cluster for item in read_containers(each)}
    assert left == {"bystander", "etcd1", "etcd2", "etcd3"}
    assert read_network(node, "theirs") is not None
    node.engine.remove_container("bystander", force=True)
    node.engine.remove_network("theirs")
