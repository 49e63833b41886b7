"""Containers with addresses of the cluster's own network, on real nodes: made, reached, kept, undone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from runbook_lib.cluster import Cluster
from runbook_lib.facts.docker.containers import read_container, read_containers
from runbook_lib.facts.docker.networks import read_network
from runbook_lib.facts.host.host import read_link_types
from runbook_lib.model.loading import Run
from runbook_lib.model.parameters import MODES, PORT, External, ExternalMode, external
from runbook_lib.model.results import StepResult, Verdict
from runbook_lib.session.catalog import StepCatalog, clean_up_steps
from runbook_lib.steps import Reboot, require_success, run_step, run_steps
from runbook_lib.verify.external import (
    find_candidates,
    judge_candidates,
    judge_kept,
    judge_reach,
    ping_nodes,
    probe_external,
)
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.testbed

Footprint = Callable[[], list[object]]


@pytest.fixture(scope="module", autouse=True)
def nothing_left(run: Run) -> Iterator[None]:
    yield
    with Cluster(run.inventory) as cluster:
        require_success(run_steps(cluster, clean_up_steps(run.parameters)))


@pytest.fixture
def steps(run: Run) -> StepCatalog:
    return StepCatalog(run.inventory, run.parameters)


@pytest.fixture
def specs(run: Run) -> tuple[External, ...]:
    return tuple(external(run.inventory, run.parameters, mode) for mode in MODES)


def statuses(rows: tuple[StepResult, ...]) -> list[str]:
    return [row.status.value for row in rows]


def made(cluster: Cluster, spec: External) -> str:
    """What a step must say: ``skipped`` for a way that this machine's kernel does not know."""
    if spec.mode == "published":
        return "changed"
    return "skipped" if read_link_types(cluster.node(spec.node), spec.mode)[spec.mode] else "changed"


def fetch(address: str) -> bytes:
    """What is served at an address, asked from this machine, which is on the cluster's network too."""
    with socket.create_connection((address, PORT), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_plan_touches_nothing(cluster: Cluster, steps: StepCatalog, footprint: Footprint) -> None:
    before = footprint()
    assert statuses(run_step(cluster, steps.external_address("macvlan"), plan=True)) == ["planned"] * 2
    assert footprint() == before


def test_a_taken_address_is_left_out_and_reserved(
    cluster: Cluster, steps: StepCatalog, specs: tuple[External, ...]
) -> None:
    _, macvlan, _ = specs
    assert macvlan.block is not None
    taken, free = str(macvlan.block[0]), str(macvlan.block[1])
    stranger = cluster.node("node4")
    stranger.ssh.run(["ip", "addr", "add", f"{taken}/32", "dev", "eth1"], sudo=True)
    try:
        (candidate, _) = find_candidates(cluster, specs)
        assert candidate.address == free
        checks = judge_candidates(cluster.inventory, [candidate])
        assert {check.verdict for check in checks} == {Verdict.PASS}
        rows = run_step(cluster, steps.external_address("macvlan"))
        assert statuses(rows) == ["changed"] * 2, rows
    finally:
        stranger.ssh.run(["ip", "addr", "del", f"{taken}/32", "dev", "eth1"], sudo=True)
    network = read_network(cluster.node(macvlan.node), macvlan.network)
    container = read_container(cluster.node(macvlan.node), macvlan.container)
    assert network is not None
    assert container is not None
    assert network.reserved == {taken}
    assert container.fixed_addresses == {macvlan.network: free}
    assert fetch(free).endswith(b"web-macvlan\n")


@pytest.mark.parametrize("mode", MODES)
def test_each_way_is_made_once(
    cluster: Cluster, steps: StepCatalog, specs: tuple[External, ...], mode: ExternalMode
) -> None:
    expected = made(cluster, specs[MODES.index(mode)])
    rows = run_step(cluster, steps.external_address(mode))
    assert set(statuses(rows)) == ({"ok"} if mode == "macvlan" else {expected}), rows
    again = run_step(cluster, steps.external_address(mode))
    assert set(statuses(again)) == ({"skipped"} if expected == "skipped" else {"ok"}), again


def test_whoever_must_reach_them_does_and_they_come_back_at_their_addresses_after_a_power_cut(
    cluster: Cluster, run: Run, specs: tuple[External, ...]
) -> None:
    before, looks = probe_external(cluster, specs)
    checks = judge_reach(before, looks)
    assert Verdict.FAIL not in {check.verdict for check in checks}, checks
    own_node = next(look for look in looks if (look.mode, look.seen_from) == ("macvlan", "its own node"))
    assert own_node.reach is not None
    assert not own_node.reached
    answering = {node for _, node, _, _, answers in ping_nodes(cluster, specs[1], run.parameters.probes) if answers}
    assert answering == {"node1", "node2", "node3", "node4"} - {specs[1].node}
    nodes = tuple(dict.fromkeys(item.spec.node for item in before if not item.trouble))
    require_success(run_step(cluster, Reboot(nodes, graceful=False)))
    after, looks = probe_external(cluster, specs)
    kept = judge_kept(before, after)
    assert [check.verdict for check in kept[:2]] == [Verdict.PASS, Verdict.PASS], kept
    assert Verdict.FAIL not in {check.verdict for check in (*kept, *judge_reach(after, looks))}


def test_undoing_removes_just_these_and_cleaning_up_knows_them_too(
    cluster: Cluster, run: Run, steps: StepCatalog, specs: tuple[External, ...]
) -> None:
    node = cluster.node(specs[1].node)
    spared = run_step(cluster, steps.remove_containers())
    assert set(statuses(spared)) == {"ok"}
    assert f"{specs[1].container} stays: notebook 08_fixed_external_address created it" in spared[0].detail
    node.engine.create_container("bystander", "alpine", command=["sleep", "600"], network=specs[1].network)
    refused = run_step(cluster, steps.remove_external_addresses())
    assert statuses(refused)[0] == "failed"
    assert "disconnect bystander first" in refused[0].detail
    refused = run_steps(cluster, clean_up_steps(run.parameters), plan=True)
    assert f"other owners' containers are on it: {node.name}/bystander" in " ".join(row.detail for row in refused)
    node.engine.remove_container("bystander", force=True)
    assert "changed" in statuses(run_step(cluster, steps.remove_external_addresses()))
    assert set(statuses(run_step(cluster, steps.remove_external_addresses()))) == {"ok"}
    assert read_network(node, specs[1].network) is None
    require_success(run_step(cluster, steps.external_address("macvlan")))
    assert "changed" in statuses(run_steps(cluster, clean_up_steps(run.parameters)))
    assert read_network(node, specs[1].network) is None
    left = {item.name for each in cluster for item in read_containers(each)}
    assert left == {"etcd1", "etcd2", "etcd3"}
