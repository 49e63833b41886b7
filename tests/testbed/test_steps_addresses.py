"""Fixed addresses on real nodes: plan, apply, power-cycle in another order, and the way back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.host.addresses import BOOTSYNC, read_bootsync, read_cluster_address
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import Addresses
from runbook_lib.model.results import StepResult, Verdict
from runbook_lib.steps import (
    Reboot,
    RemoveStaticAddresses,
    StaticAddresses,
    check_targets,
    require_success,
    run_step,
    verify_addresses,
)
from runbook_lib.testbed import Testbed

pytestmark = pytest.mark.testbed

# A person's own script, without a final line end, on one node only.
OWN_SCRIPT = "#!/bin/sh\necho theirs >>/tmp/own-script\nkill $(cat /var/run/udhcpc.eth1.pid)"
NOBODY = "02:00:00:00:00:01"


@pytest.fixture(scope="module", autouse=True)
def own_script(run: Run) -> Iterator[None]:
    with Cluster(run.inventory) as cluster:
        require_success(run_step(cluster, RemoveStaticAddresses(run.inventory)))
        cluster.node("node1").ssh.write_file(BOOTSYNC, OWN_SCRIPT.encode(), mode=0o644)
        yield
        cluster.node("node1").ssh.run(["rm", "-f", BOOTSYNC], sudo=True)


def statuses(rows: tuple[StepResult, ...]) -> set[str]:
    return {row.status.value for row in rows}


def step(run: Run) -> StaticAddresses:
    return StaticAddresses(run.inventory, run.parameters.addresses)


def test_targets_are_checked_and_in_the_pool_only_when_allowed(cluster: Cluster) -> None:
    allowed = check_targets(cluster, Addresses(allow_in_dhcp_pool=True))
    assert {check.verdict for check in allowed} == {Verdict.PASS, Verdict.WARN}
    assert {check.check for check in allowed if check.verdict is Verdict.WARN} == {"DHCP pool", "bootsync.sh"}
    refused = [check for check in check_targets(cluster, Addresses()) if check.verdict is Verdict.FAIL]
    assert [check.node for check in refused] == ["node1", "node2", "node3", "node4"]


def test_a_stranger_at_the_target_is_found_by_arp_and_nothing_is_written(run: Run, testbed: Testbed) -> None:
    theirs = run.inventory.node("node4").cluster_address
    mine = run.inventory.node("node1").model_copy(update={"cluster_address": theirs})
    alone = Inventory(network=run.inventory.network, nodes=(mine,))
    with Cluster(alone) as cluster:
        before = read_bootsync(cluster.nodes[0])
        (row,) = run_step(cluster, StaticAddresses(alone, Addresses(allow_in_dhcp_pool=True)))
        assert row.status.value == "failed"
        assert "answers, which is not a node of this inventory" in row.detail
        assert read_bootsync(cluster.nodes[0]) == before


def test_a_plan_touches_nothing(cluster: Cluster, run: Run, footprint: Callable[[], list[object]]) -> None:
    before = footprint()
    rows = run_step(cluster, step(run), plan=True)
    assert statuses(rows) == {"planned"}
    assert [row.after for row in rows] == [f"static {node.cluster_address} at boot" for node in run.inventory.nodes]
    assert footprint() == before


def test_drifted_nodes_are_fixed_and_hold_their_address_through_a_shuffled_reboot(
    cluster: Cluster, run: Run, testbed: Testbed
) -> None:
    cluster.close()
    testbed.reboot(shuffle=True)
    moved = [read_cluster_address(node, run.inventory.network) for node in cluster]
    assert any(not found.as_expected for found in moved)
    assert not any(check.verdict is Verdict.FAIL for check in check_targets(cluster, run.parameters.addresses))
    assert statuses(run_step(cluster, step(run))) == {"changed"}
    assert statuses(run_step(cluster, step(run))) == {"ok"}
    cluster.close()
    testbed.reboot(shuffle=True)
    proved = verify_addresses(cluster)
    assert len(proved) == 6 * 4
    assert {check.verdict for check in proved} == {Verdict.PASS}, [c for c in proved if c.verdict is not Verdict.PASS]
    assert statuses(run_step(cluster, step(run))) == {"ok"}


def test_an_address_that_this_machine_still_has_under_another_mac_is_not_called_silent(
    cluster: Cluster, run: Run, testbed: Testbed
) -> None:
    link = testbed.layout.host_cluster_link
    for node in run.inventory.nodes:
        entry = ["ip", "neigh", "replace", node.cluster_address, "lladdr", NOBODY, "dev", link, "nud", "stale"]
        subprocess.run(entry, check=True)
    proved = [check for check in verify_addresses(cluster) if check.check == "engine at the address"]
    assert [(check.verdict, check.found) for check in proved] == [(Verdict.PASS, "answers")] * 4


def test_the_persons_own_lines_still_run_and_stand_beside_in_a_backup(cluster: Cluster) -> None:
    node = cluster.node("node1")
    assert node.ssh.run(["cat", "/tmp/own-script"]).stdout == "theirs\n"
    assert node.ssh.read_file(f"{BOOTSYNC}.before-overlay-runbook") == OWN_SCRIPT.encode()
    assert node.ssh.run(["stat", "-c", "%a", BOOTSYNC]).stdout == "755\n"
    assert cluster.node("node2").ssh.read_file(f"{BOOTSYNC}.before-overlay-runbook") is None


def test_removal_restores_every_file_and_dhcp_is_back_after_a_boot(cluster: Cluster, run: Run) -> None:
    assert statuses(run_step(cluster, RemoveStaticAddresses(run.inventory), plan=True)) == {"planned"}
    assert statuses(run_step(cluster, RemoveStaticAddresses(run.inventory))) == {"changed"}
    assert statuses(run_step(cluster, RemoveStaticAddresses(run.inventory))) == {"ok"}
    assert read_bootsync(cluster.node("node1")) == OWN_SCRIPT
    assert read_bootsync(cluster.node("node2")) is None
    assert cluster.node("node1").ssh.read_file(f"{BOOTSYNC}.before-overlay-runbook") is None
    require_success(run_step(cluster, Reboot(["node2"])))
    assert read_cluster_address(cluster.node("node2"), run.inventory.network).assigned_by == "dhcp"


def test_markers_that_do_not_match_stop_their_node_only(cluster: Cluster, run: Run) -> None:
    node = cluster.node("node3")
    node.ssh.write_file(BOOTSYNC, b"# >>> overlay-runbook static-address >>>\necho\n")
    rows = {row.node: row for row in run_step(cluster, step(run), plan=True)}
    assert rows["node3"].status.value == "failed"
    assert "markers of the block 'static-address' do not match" in rows["node3"].detail
    assert rows["node4"].status.value == "planned"
    node.ssh.run(["rm", BOOTSYNC], sudo=True)
