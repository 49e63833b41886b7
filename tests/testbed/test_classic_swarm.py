"""The article's notebooks through a classic Swarm manager's endpoint: nothing but the parameter file differs.

The manager is a stand-in (classic_swarm_manager.py) in front of the testbed's real engines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runbook_lib.cluster import Cluster
from runbook_lib.errors import EngineConflict, UnreachableError
from runbook_lib.facts.docker.containers import find_container, read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.loading import Run
from runbook_lib.testbed import Testbed
from tests.testbed.classic_swarm_manager import CONSTRAINTS, Manager, swarm_manager
from tests.unit.transport.docker.classic_swarm_server import CERTIFICATES, ENGINE_CERTIFICATES, VARIABLE

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
UNHEARD = 20
CONTRACT = ROOT / "tests" / "unit" / "transport" / "docker" / "test_classic_swarm_contract.py"


@pytest.fixture(scope="module")
def managed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Manager, Inventory]]:
    """A manager over the testbed's engines, and the inventory that names it."""
    with swarm_manager(run.inventory, tmp_path_factory.mktemp("manager") / "tls") as (manager, access):
        yield manager, run.inventory.model_copy(update={"swarm_manager": access})


@pytest.fixture
def swarm(managed: tuple[Manager, Inventory], run: Run) -> Iterator[Cluster]:
    """The testbed's nodes as the manager shows them."""
    with Cluster(managed[1], run.parameters.timeouts) as cluster:
        yield cluster


def test_1_the_overlay_is_made_used_and_tested_through_the_manager(
    store: None, managed: tuple[Manager, Inventory], tmp_path: Path
) -> None:
    manager, inventory = managed
    values = yaml.safe_load((ROOT / "params" / "testbed.yaml").read_text())
    values |= {
        "name": "classic",
        "control_plane": "classic-swarm",
        "inventory": inventory.model_dump(mode="json", exclude_none=True),
    }
    parameters = tmp_path / "classic-swarm.yaml"
    parameters.write_text(yaml.safe_dump(values))
    # So often it is asked before 03 has looked around: each node's own engine answers, and the network waits.
    manager.unheard = UNHEARD
    argv = [sys.executable, "-m", "runbook_lib", "run", "03", "04", "05", "06", "-f", str(parameters)]
    result = subprocess.run(
        [*argv, "--records", str(tmp_path / "records")], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (page,) = (tmp_path / "records").glob("*_03_create_overlay_*/notebook.html")
    assert "the Swarm manager lists no node yet" in page.read_text()
    calls = [(method, path) for method, path in manager.requests if path != "/version"]
    assert calls[:UNHEARD] == [("GET", "/info")] * UNHEARD
    made = [path for method, path in manager.requests if method == "POST"]
    assert made.count("/networks/create") == 1
    assert made.count("/containers/create") == 2
    assert {path for path in made if path.endswith("/start")} == {
        "/containers/node3/alpine1/start",
        "/containers/node4/alpine2/start",
    }
    assert [sum(path.endswith(end) for path in made) for end in ("/disconnect", "/connect")] == [1, 1]


def test_2_every_container_is_on_the_node_that_it_was_pinned_to(swarm: Cluster) -> None:
    for name, node in [("alpine1", "node3"), ("alpine2", "node4")]:
        found = find_container(swarm, name)
        assert found is not None
        assert (found.node, found.running) == (node, True)
        assert found.labels[CONSTRAINTS] == f'["node=={node}"]'
        assert found.addresses["ovr0"].startswith("10.0.0.")


def test_2_a_node_sees_the_global_network_and_its_own_local_ones(swarm: Cluster, cluster: Cluster) -> None:
    for through, own in zip(swarm.each(read_networks), cluster.each(read_networks), strict=True):
        assert {(item.name, item.id) for item in through.result} == {(item.name, item.id) for item in own.result}
        assert "ovr0" in {item.name for item in through.result}


def test_2_what_runs_is_listed_though_the_manager_has_missed_its_start(
    managed: tuple[Manager, Inventory], swarm: Cluster
) -> None:
    engine = swarm.node("node3").engine
    (backend,) = [item for item in managed[0].backends if item.name == "node3"]
    backend.stale = {engine.container("alpine1")["Id"]}
    try:
        listed = {name: item["State"] for item in engine.containers() for name in item["Names"]}
        assert listed["/alpine1"] == "exited"
        assert "alpine1" in {item.name for item in read_containers(swarm.node("node3"), every=False)}
    finally:
        backend.stale = set()


def test_2_a_name_is_taken_in_the_whole_cluster(swarm: Cluster) -> None:
    with pytest.raises(EngineConflict, match="node3/alpine1 has it"):
        swarm.node("node4").engine.create_container("alpine1", "alpine:latest")


def test_2_what_a_real_manager_would_be_asked_is_answered_by_this_one(
    managed: tuple[Manager, Inventory], tmp_path: Path
) -> None:
    access = managed[1].swarm_manager
    assert access is not None
    for name in ("ca", "cert", "key"):
        shutil.copy(getattr(access, name), tmp_path / f"{name}.pem")
    engines = Path(str(managed[1].nodes[0].docker.ca)).parent
    environment = os.environ | {
        VARIABLE: f"tcp://{access.host}:{access.port}",
        CERTIFICATES: str(tmp_path),
        ENGINE_CERTIFICATES: str(engines),
    }
    # The gate wants to see a testbed, which these tests, asked alone, do without.
    environment.pop("OVERLAY_RUNBOOK_REQUIRE_TESTBED", None)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(CONTRACT)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_3_a_node_that_the_manager_loses_is_unreachable_and_no_other(swarm: Cluster, testbed: Testbed) -> None:
    testbed.poweroff(["node2"], hard=True)
    outcomes = {outcome.node: outcome for outcome in swarm.each(lambda node: node.engine.containers())}
    assert isinstance(outcomes["node2"].error, UnreachableError)
    assert "the Swarm manager does not reach this node" in outcomes["node2"].error.message
    assert {name for name, outcome in outcomes.items() if outcome.error} == {"node2"}
