"""The same walkthrough on a swarm of three managers and a worker, and what is said of what is no such swarm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook_lib.cluster import Cluster
from runbook_lib.errors import ExitCode, InputError
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.engine import read_swarm
from runbook_lib.facts.docker.networks import read_network
from runbook_lib.facts.host.addresses import BOOTSYNC
from runbook_lib.facts.host.host import read_boot
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.record import CellState, Record, RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.store.reading import read_record
from runbook_lib.session.questions import power
from runbook_lib.steps import CreateNetwork, run_step
from runbook_lib.testbed import Testbed
from runbook_lib.testbed.machine.kind import choose_kind
from tests.waiting import wait_until

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
NAME = f"swarm-{os.getpid()}"
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-8]_*.ipynb"))]


@pytest.fixture(scope="module")
def swarm() -> Iterator[Testbed]:
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, kind=choose_kind(control_plane="swarm-mode"), subnet="auto")
    yield bed
    bed.down()


@pytest.fixture(scope="module")
def values(swarm: Testbed) -> dict[str, Any]:
    """The committed parameters, for this testbed; one restart of all nodes fewer."""
    values = yaml.safe_load((ROOT / "params" / "testbed-swarm-mode.yaml").read_text())
    return values | {"name": NAME, "inventory": f"testbed:{swarm.name}", "show_drift": False}


@pytest.fixture(scope="module")
def run(values: dict[str, Any]) -> Run:
    return load_run(values)


@pytest.fixture
def cluster(run: Run) -> Iterator[Cluster]:
    with Cluster(run.inventory, run.parameters.timeouts) as nodes:
        yield nodes


def command(folder: Path, values: dict[str, Any], *notebooks: str) -> subprocess.CompletedProcess[str]:
    """``runbook run`` with these parameters; its records are in the folder, both streams in ``stdout``."""
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(values))
    argv = [
        sys.executable,
        "-m",
        "runbook_lib",
        "run",
        *notebooks,
        "-f",
        str(path),
        "--records",
        str(folder / "records"),
    ]
    return subprocess.run(
        argv,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "200"},
    )


def record_of(folder: Path, notebook: str) -> Record:
    (found,) = (folder / "records").glob(f"*_{notebook}_*")
    return read_record(found)


def refusal(run: Run, cluster: Cluster) -> InputError:
    """What a session would refuse the cluster with."""
    infos = {node.name: node.engine.info() for node in cluster}
    refused = control_plane_of(run.parameters).refusal(infos)
    assert refused is not None
    return refused


def test_1_an_etcd_parameter_file_is_bad_input_that_says_why_and_what_to_choose(
    values: dict[str, Any], tmp_path: Path
) -> None:
    done = command(tmp_path, values | {"control_plane": "etcd"}, "01")
    assert done.returncode == ExitCode.BAD_INPUT, done.stdout
    assert "node1 has Docker 26.1" in done.stdout
    assert "Docker 20.10 was the last series that keeps networks in etcd (--cluster-store)" in done.stdout
    assert "remedy: choose control_plane: swarm-mode" in done.stdout
    assert "Traceback" not in done.stdout
    assert record_of(tmp_path, "01_fix_node_ips").steps == ()


@pytest.mark.timeout(1800)
def test_2_the_whole_article_happens_on_a_swarm(values: dict[str, Any], tmp_path: Path, cluster: Cluster) -> None:
    done = command(tmp_path, values)
    assert done.returncode == ExitCode.PASS, done.stdout
    for notebook in NOTEBOOKS:
        record = record_of(tmp_path, notebook)
        assert record.verdict is RecordVerdict.PASS, notebook
        assert {cell.state for cell in record.cells} == {CellState.COMPLETED}
    found = {node.name: read_network(node, "ovr0") for node in cluster}
    assert [node for node, network in found.items() if network is None] == []
    assert len({network.id for network in found.values() if network is not None}) == 1
    vnis = {network.vni for network in found.values() if network is not None}
    assert len(vnis) == 1
    assert min(vni or 0 for vni in vnis) >= 4096


@pytest.mark.timeout(1800)
def test_3_nothing_changes_the_second_time(values: dict[str, Any], tmp_path: Path) -> None:
    done = command(tmp_path, values, "03", "04")
    assert done.returncode == ExitCode.PASS, done.stdout
    rows = (*record_of(tmp_path, "03_create_overlay").steps, *record_of(tmp_path, "04_run_containers").steps)
    assert {row.status for row in rows} == {Status.OK}


def test_4_managers_that_their_swarm_locks_are_not_restarted_and_one_that_is_locked_is_told_with_the_way_out(
    run: Run, cluster: Cluster, swarm: Testbed
) -> None:
    manager = cluster.node("node1").ssh
    manager.run(["docker", "swarm", "update", "--autolock=true"])
    key = manager.run(["docker", "swarm", "unlock-key", "-q"]).stdout
    boots = [read_boot(node) for node in cluster]
    with pytest.raises(InputError, match="node1, node2, node3 would wait for the swarm's unlock key") as caught:
        power.cycle(cluster, run.parameters, power.Work(), reporter=lambda *told: None)
    assert "docker swarm update --autolock=false" in caught.value.remedy
    assert all(read_boot(node).same_as(boot) for node, boot in zip(cluster, boots, strict=True))
    cluster.close()
    swarm.reboot(["node2"])
    refused = refusal(run, cluster)
    assert refused.message == "the engine of node2 waits for its swarm's unlock key (autolock)"
    assert refused.remedy.startswith("docker swarm unlock there")
    locked = cluster.node("node2")
    locked.ssh.run(["docker", "swarm", "unlock"], stdin=key.encode())
    wait_until(lambda: not read_swarm(locked).trouble, lambda: read_swarm(locked), pause=0.2)
    cluster.node("node1").ssh.run(["docker", "swarm", "update", "--autolock=false"])


def test_5_fixed_addresses_are_taken_back_with_a_record_of_it(
    values: dict[str, Any], tmp_path: Path, cluster: Cluster
) -> None:
    assert None not in [node.ssh.read_file(BOOTSYNC) for node in cluster]
    done = command(tmp_path, values, "01", "02", "--undo")
    assert done.returncode == ExitCode.PASS, done.stdout
    (folder,) = (tmp_path / "records").glob("*_01_undo_*")
    assert "-    interface=eth1 address=" in (folder / "notebook.html").read_text(), "the diff is in the record"
    steps = record_of(tmp_path, "01_undo").steps
    assert [row.node for row in steps if row.status is Status.CHANGED] == ["node1", "node2", "node3", "node4"]
    assert {row.status for row in record_of(tmp_path, "02_undo").steps} == {Status.OK}
    assert [node.ssh.read_file(BOOTSYNC) for node in cluster] == [None] * 4


def test_6_what_the_notebooks_made_is_removed_and_the_swarms_own_networks_stay(
    values: dict[str, Any], tmp_path: Path, cluster: Cluster
) -> None:
    done = command(tmp_path, values, "09")
    assert done.returncode == ExitCode.PASS, done.stdout
    assert [read_network(node, "ovr0") for node in cluster] == [None] * 4
    assert None not in [read_network(node, "ingress") for node in cluster]


def test_7_a_network_that_takes_no_containers_is_a_listed_difference(cluster: Cluster, run: Run) -> None:
    manager = cluster.node("node2").engine
    manager.create_network("closed0", subnet="10.77.0.0/24", attachable=False)
    overlay = run.parameters.overlay.model_copy(update={"name": "closed0", "subnet": "10.77.0.0/24"})
    rows = run_step(cluster, CreateNetwork(overlay, control_plane_of(run.parameters), run.parameters.name))
    assert [row.status.value for row in rows] == ["failed", "failed", "failed", "ok"]
    assert "attachable: expected yes, found no (network closed0 not manually attachable)" in rows[0].detail
    assert "docker network rm closed0" in rows[0].detail
    manager.remove_network("closed0")


def test_8_workers_alone_are_refused_for_a_manager_is_needed(cluster: Cluster, run: Run) -> None:
    refused = refusal(run, cluster.part({"node4"}))
    assert refused.message == "node4: all are workers, but only a manager can create networks"
    assert "docker node promote" in refused.remedy


def test_9_an_engine_that_left_is_in_no_swarm_and_then_in_one_of_its_own(
    values: dict[str, Any], tmp_path: Path, cluster: Cluster, run: Run
) -> None:
    node = cluster.node("node4")
    node.ssh.run(["docker", "swarm", "leave"])
    done = command(tmp_path, values, "03")
    assert done.returncode == ExitCode.BAD_INPUT, done.stdout
    assert "the engine of node4 is not in a swarm" in done.stdout
    assert "remedy: docker swarm join … there" in done.stdout
    node.engine.swarm_init(node.spec.cluster_address)
    refused = refusal(run, cluster)
    assert refused.message == "node4 is not in the same swarm as node1, node2, node3"
    assert "docker swarm leave" in refused.remedy
