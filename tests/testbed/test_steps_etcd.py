"""The members of the store start at boot, by either mechanism, on real nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.containers import ContainerFacts, find_container
from runbook_lib.facts.host.addresses import BOOTLOCAL, read_bootlocal
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Etcd
from runbook_lib.model.results import StepResult
from runbook_lib.steps import (
    CreateNetwork,
    EtcdAutostart,
    Reboot,
    RemoveAutostart,
    StartMembers,
    has_autostart_block,
    require_success,
    run_step,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed

BY_SCRIPT, BY_POLICY = Etcd(autostart="bootlocal"), Etcd(autostart="restart-policy")
ARTICLE = b"\nsleep 5\n/usr/local/bin/docker start no-such-member"


@pytest.fixture(scope="module", autouse=True)
def no_autostart(run: Run) -> Iterator[None]:
    with Cluster(run.inventory) as cluster:
        require_success(run_step(cluster, RemoveAutostart(BY_SCRIPT)))
        yield
        require_success(run_step(cluster, RemoveAutostart(BY_SCRIPT)))


def statuses(rows: tuple[StepResult, ...]) -> list[str]:
    return [row.status.value for row in rows]


def policies(cluster: Cluster) -> set[str]:
    found = [find_container(cluster, name) for name in BY_SCRIPT.members]
    return {item.restart_policy for item in found if item is not None}


def wait_until_members_run(cluster: Cluster) -> None:
    def members() -> list[ContainerFacts | None]:
        return [find_container(cluster, name) for name in BY_SCRIPT.members]

    wait_until(lambda: all(item is not None and item.running for item in members()), members, pause=0.5)


def test_without_autostart_a_power_cycle_leaves_no_store_and_says_what_to_do(cluster: Cluster, run: Run) -> None:
    require_success(run_step(cluster, Reboot()))
    step = CreateNetwork(run.parameters.overlay, control_plane_of(run.parameters), run.parameters.name)
    rows = run_step(cluster, step)
    assert statuses(rows) == ["failed"] * 4
    assert all("the engine has no cluster store" in row.detail for row in rows)
    assert all("02_autostart_etcd" in row.detail for row in rows)


def test_a_plan_touches_nothing(cluster: Cluster, footprint: Callable[[], list[object]]) -> None:
    before = footprint()
    assert statuses(run_step(cluster, EtcdAutostart(BY_SCRIPT), plan=True)) == ["planned"] * 3 + ["ok"]
    assert statuses(run_step(cluster, EtcdAutostart(BY_POLICY), plan=True)) == ["planned"] * 3 + ["ok"]
    assert statuses(run_step(cluster, StartMembers(BY_SCRIPT), plan=True)) == ["planned"] * 3 + ["ok"]
    assert footprint() == before


def test_bootlocal_starts_each_nodes_own_members_after_all_nodes_boot_at_once(cluster: Cluster) -> None:
    cluster.node("node1").ssh.write_file(BOOTLOCAL, ARTICLE)
    rows = run_step(cluster, EtcdAutostart(BY_SCRIPT))
    assert statuses(rows) == ["changed"] * 3 + ["ok"]
    assert rows[3].detail == "no etcd member here"
    assert statuses(run_step(cluster, EtcdAutostart(BY_SCRIPT))) == ["ok"] * 4
    require_success(run_step(cluster, Reboot()))
    wait_until_members_run(cluster)
    log = cluster.node("node2").ssh.read_file("/var/lib/boot2docker/log/overlay-runbook.log") or b""
    assert log.decode().splitlines()[-1].endswith("etcd-autostart: started etcd2")
    assert statuses(run_step(cluster, StartMembers(BY_SCRIPT))) == ["ok"] * 4


def test_exactly_one_mechanism_is_active_after_a_change_of_mind(cluster: Cluster) -> None:
    assert statuses(run_step(cluster, EtcdAutostart(BY_POLICY))) == ["changed"] * 3 + ["ok"]
    assert statuses(run_step(cluster, EtcdAutostart(BY_POLICY))) == ["ok"] * 4
    assert policies(cluster) == {"always"}
    # set since the boot, which so proves nothing of it
    assert EtcdAutostart(BY_POLICY).changed_since_boot(cluster.node("node1")) == "the restart policy of etcd1"
    assert EtcdAutostart(BY_POLICY).changed_since_boot(cluster.node("node4")) == ""
    assert not any(has_autostart_block(read_bootlocal(node)) for node in cluster)
    assert read_bootlocal(cluster.node("node1")) == ARTICLE.decode()
    require_success(run_step(cluster, Reboot()))
    wait_until_members_run(cluster)
    assert statuses(run_step(cluster, EtcdAutostart(BY_SCRIPT))) == ["changed"] * 3 + ["ok"]
    assert policies(cluster) == {"no"}


def test_removal_leaves_neither_and_the_persons_own_lines(cluster: Cluster) -> None:
    assert statuses(run_step(cluster, RemoveAutostart(BY_SCRIPT))) == ["changed"] * 3 + ["ok"]
    assert statuses(run_step(cluster, RemoveAutostart(BY_SCRIPT))) == ["ok"] * 4
    assert read_bootlocal(cluster.node("node1")) == ARTICLE.decode()
    assert read_bootlocal(cluster.node("node2")) is None
    cluster.node("node1").ssh.run(["rm", BOOTLOCAL], sudo=True)
