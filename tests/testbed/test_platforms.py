"""Fixed addresses and autostart on systemd hosts, under each of the four network managers, and nodes that heal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import NodeError
from runbook_lib.facts.host.addresses import read_cluster_address
from runbook_lib.facts.host.platform import read_platform
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.parameters import Timeouts
from runbook_lib.model.record import RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.store.reading import read_record
from runbook_lib.steps import RemoveStaticAddresses, StaticAddresses, run_step
from runbook_lib.steps.platforms import Change, Wanted, changes, platform_of
from runbook_lib.testbed import Testbed
from runbook_lib.testbed.machine.kind import Kind
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
NAME = f"platforms-{os.getpid()}"
PLATFORMS = ["systemd-networkd", "netplan", "NetworkManager", "ifupdown"]
GUARD_SECONDS = 20.0
# Where all nodes must be in the middle of their change at one moment, on a machine that has other things to do.
LONG_GUARD_SECONDS = 45.0
NOBODY = "02:00:00:00:00:01"

# All that fixing addresses and starting etcd at boot could leave: path, type, mode, owner, link, and every content.
FOOTPRINT = """\
cd /
set -- etc/network etc/netplan etc/NetworkManager etc/systemd var/lib/overlay-runbook
find "$@" -path var/lib/overlay-runbook/log -prune -o -printf '%p %y %m %U %G %l\\n' | sort
find "$@" -path var/lib/overlay-runbook/log -prune -o -type f -exec sha256sum {} + | sort -k 2
"""

# Stops for good where the change has taken effect and nobody has confirmed it yet.
UNFINISHED = """\
import os, pathlib, sys, time
from runbook_lib.cluster import Cluster
from runbook_lib.model.loading import load_run
from runbook_lib.steps import StaticAddresses, run_step

def stop(step, node, state):
    if state == "confirming":
        os.write(1, f"{node}\\n".encode())  # whole: print writes the line's end apart, and nodes come together
        time.sleep(600)

run = load_run(pathlib.Path(sys.argv[1]))
with Cluster(run.inventory) as cluster:
    run_step(cluster, StaticAddresses(run.inventory, run.parameters.addresses), reporter=stop)
"""


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, subnet="auto", kind=Kind(platform="debian"))
    yield bed
    bed.down()


@pytest.fixture(scope="module")
def parameters(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = yaml.safe_load((ROOT / "params" / "testbed-debian.yaml").read_text())
    values["addresses"]["guard_seconds"] = LONG_GUARD_SECONDS
    path = tmp_path_factory.mktemp("params") / "debian.yaml"
    path.write_text(yaml.safe_dump(values | {"inventory": f"testbed:{testbed.name}"}))
    return path


@pytest.fixture(scope="module")
def run(parameters: Path) -> Run:
    return load_run(parameters)


@pytest.fixture
def cluster(run: Run) -> Iterator[Cluster]:
    with Cluster(run.inventory) as nodes:
        yield nodes


@pytest.fixture
def only_interface(run: Run) -> Iterator[Cluster]:
    """The nodes as they are reached by the very addresses that are about to be changed, and by nothing else."""
    nodes = tuple(
        node.model_copy(update={"ssh": node.ssh.model_copy(update={"host": node.cluster_address})})
        for node in run.inventory.nodes
    )
    with Cluster(run.inventory.model_copy(update={"nodes": nodes}), Timeouts(connect=5, command=30)) as reached:
        yield reached


@pytest.fixture(scope="module")
def untouched(run: Run) -> list[str]:
    """What the nodes' files are before anybody has done anything."""
    with Cluster(run.inventory) as nodes:
        return footprint(nodes)


def footprint(cluster: Cluster) -> list[str]:
    return [outcome.result for outcome in cluster.each(lambda node: node.ssh.script(FOOTPRINT, sudo=True).stdout)]


def each(cluster: Cluster, ask: Callable[[Node], object]) -> list[object]:
    return [outcome.result for outcome in cluster.each(ask)]


def assigned(cluster: Cluster) -> list[object]:
    network = cluster.inventory.network
    return each(cluster, lambda node: read_cluster_address(node, network).assigned_by)


def wait_until_healed(cluster: Cluster, untouched: list[str]) -> None:
    """Wait until every node is reached again, asks DHCP, and has the very files of before."""

    def healed() -> bool:
        cluster.close()
        try:
            return assigned(cluster) == ["dhcp"] * 4 and footprint(cluster) == untouched
        except NodeError:
            return False

    wait_until(healed, "the nodes heal", pause=0.5)


def change_to(cluster: Cluster, address: str | None = None, gateway: str = "") -> list[str]:
    """Change every node to a configuration that cannot be right; what each node's change ended with."""
    network = cluster.inventory.network

    def one(node: Node) -> None:
        host = read_platform(node, network.interface)
        wanted = Wanted(network.interface, address or node.spec.cluster_address, network.prefix, gateway)
        work = Change(host, changes(host, platform_of(host).fixed(host, wanted)), wanted)
        platform_of(host).apply(cluster, node, work, GUARD_SECONDS, lambda state: None)

    return [str(outcome.error) for outcome in cluster.each(one)]


def test_the_manager_that_controls_the_interface_is_told_by_facts(cluster: Cluster, untouched: list[str]) -> None:
    assert each(cluster, lambda node: read_platform(node, "eth1").platform) == PLATFORMS
    assert assigned(cluster) == ["dhcp"] * 4


def test_a_platform_that_a_host_does_not_run_is_refused_and_nothing_is_written(run: Run, untouched: list[str]) -> None:
    named = dict(zip(run.inventory.names, PLATFORMS[::-1], strict=True))
    nodes = tuple(node.model_copy(update={"platform": named[node.name]}) for node in run.inventory.nodes)
    wrong = Inventory.model_validate(run.inventory.model_dump() | {"nodes": nodes})
    with Cluster(wrong) as cluster:
        rows = run_step(cluster, StaticAddresses(wrong, run.parameters.addresses))
        assert [row.status for row in rows] == [Status.FAILED] * 4
        for row, runs in zip(rows, PLATFORMS, strict=True):
            assert f"the platform {named[row.node]} is named, the node runs {runs} instead" in row.detail
        assert footprint(cluster) == untouched


def test_a_wrong_gateway_on_the_only_interface_is_undone(only_interface: Cluster, untouched: list[str]) -> None:
    network = only_interface.inventory.network
    nobody = str(network.prefix.broadcast_address - 1)
    for error in change_to(only_interface, gateway=nobody):
        assert f"restored its old configuration: no answer from the gateway {nobody}" in error
    wait_until_healed(only_interface, untouched)


def test_a_wrong_address_on_the_only_interface_heals_by_itself(only_interface: Cluster, untouched: list[str]) -> None:
    started = time.monotonic()
    for error in change_to(only_interface, address="198.51.100.7"):
        assert "the node has restored its old configuration" in error
    assert time.monotonic() - started > GUARD_SECONDS, "only the guard could reach the nodes"
    wait_until_healed(only_interface, untouched)


def test_a_runbook_that_is_killed_before_it_confirms_leaves_nodes_that_heal_even_through_a_power_cut(
    parameters: Path, cluster: Cluster, testbed: Testbed, untouched: list[str]
) -> None:
    command = [sys.executable, "-c", UNFINISHED, str(parameters)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as runbook:
        assert runbook.stdout is not None
        try:
            waiting = {runbook.stdout.readline().strip() for _ in range(4)}
        finally:
            runbook.kill()
    assert waiting == {"node1", "node2", "node3", "node4"}
    assert assigned(cluster) == ["static"] * 4, "the change was in effect when the runbook was killed"
    cluster.close()
    testbed.poweroff(["node2", "node4"], hard=True)
    testbed.start(["node2", "node4"])
    wait_until_healed(cluster, untouched)
    for name in ("node2", "node4"):
        log = cluster.node(name).ssh.run(["journalctl", "-b", "-u", "overlay-runbook-guard"], sudo=True).stdout
        assert "its old configuration is put back" in log


def test_notebooks_01_and_02_pass_under_every_manager(
    parameters: Path, cluster: Cluster, untouched: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "runbook_lib", "run", "01", "02", "-f", str(parameters)]
    result = subprocess.run(
        [*command, "--records", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for notebook in ("01_fix_node_ips", "02_autostart_etcd"):
        (folder,) = tmp_path.glob(f"*_{notebook}_*")
        record = read_record(folder)
        assert record.verdict is RecordVerdict.PASS
        if notebook == "01_fix_node_ips":
            fixed = [row for row in record.steps if row.step == "static addresses" and row.status is Status.CHANGED]
            assert [row.after.partition(" by ")[2] for row in fixed] == PLATFORMS
    assert assigned(cluster) == ["static"] * 4


def test_undo_restores_every_file_and_mode_and_dhcp_and_leaves_records(
    cluster: Cluster, parameters: Path, run: Run, untouched: list[str], tmp_path: Path, testbed: Testbed
) -> None:
    assert footprint(cluster) != untouched
    link = testbed.layout.host_cluster_link
    for node in run.inventory.nodes:
        entry = ["ip", "neigh", "replace", node.cluster_address, "lladdr", NOBODY, "dev", link, "nud", "stale"]
        subprocess.run(entry, check=True)
    command = [sys.executable, "-m", "runbook_lib", "run", "01", "02", "--undo", "-f", str(parameters)]
    result = subprocess.run(
        [*command, "--records", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, result.stdout + result.stderr
    changed = {}
    for notebook in ("02_undo", "01_undo"):
        (folder,) = tmp_path.glob(f"*_{notebook}_*")
        record = read_record(folder)
        assert record.verdict is RecordVerdict.PASS
        changed[notebook] = sum(row.status is Status.CHANGED for row in record.steps)
    assert changed == {"02_undo": 3, "01_undo": 4}
    assert footprint(cluster) == untouched
    assert assigned(cluster) == ["dhcp"] * 4
    table = subprocess.run(["ip", "neigh", "show", "dev", link], capture_output=True, text=True, check=True).stdout
    assert NOBODY not in table, "each node told its neighbours of its new address"
    again = run_step(cluster, RemoveStaticAddresses(run.inventory))
    assert [row.status for row in again] == [Status.OK] * 4
