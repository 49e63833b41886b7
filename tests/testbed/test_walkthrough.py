"""The article's walkthrough through the command line, as a person or a scheduler would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.addresses import read_bootlocal, read_bootsync
from runbook_lib.facts.containers import read_containers
from runbook_lib.facts.host import read_host
from runbook_lib.facts.networks import read_networks
from runbook_lib.model.events import EVENT_MIME, FinishEvent, StepEvent, read_events
from runbook_lib.model.loading import load_run
from runbook_lib.model.results import Status
from runbook_lib.testbed import Testbed

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
NAME = f"walkthrough-{os.getpid()}"
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-6]_*.ipynb"))]


@pytest.fixture(scope="module")
def own_testbed() -> Iterator[Testbed]:
    """A cluster on which nobody has done anything: the walkthrough begins where the article does."""
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, subnet="auto")
    yield bed
    bed.down()


@pytest.fixture(scope="module")
def parameters(own_testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = yaml.safe_load((ROOT / "params" / "testbed.yaml").read_text())
    path = tmp_path_factory.mktemp("params") / "walkthrough.yaml"
    path.write_text(yaml.safe_dump(values | {"inventory": f"testbed:{own_testbed.name}"}))
    return path


def command(parameters: Path, records: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runbook_lib", "run", "-f", str(parameters), "--records", str(records), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)


def events(records: Path, notebook: str) -> list[object]:
    (path,) = records.glob(f"*/{notebook}.ipynb")
    cells = json.loads(path.read_text())["cells"]
    displays = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [event for data in displays if EVENT_MIME in data for event in read_events(data)]


def steps(records: Path, notebook: str) -> list[StepEvent]:
    return [event for event in events(records, notebook) if isinstance(event, StepEvent)]


def host_state(node: Node) -> tuple[object, ...]:
    """All that a notebook could change on a node."""
    return (
        read_host(node).boot,
        read_bootsync(node),
        read_bootlocal(node),
        [(item.id, item.state, item.restart_policy, item.networks) for item in read_containers(node)],
        sorted(item.id for item in read_networks(node)),
    )


def snapshot(parameters: Path) -> list[tuple[object, ...]]:
    with Cluster(load_run(parameters).inventory) as cluster:
        return [outcome.result for outcome in cluster.each(host_state)]


def test_1_a_notebook_alone_says_what_must_be_there_and_which_notebook_makes_it(
    parameters: Path, tmp_path: Path
) -> None:
    for notebook, maker in [("02", "01_fix_node_ips"), ("03", "02_autostart_etcd"), ("06", "02_autostart_etcd")]:
        result = command(parameters, tmp_path / notebook, notebook)
        assert result.returncode == 1
        assert f"run the notebook {maker} first" in result.stdout + result.stderr
        assert "Traceback" not in result.stdout + result.stderr


def test_2_plan_mode_shows_every_change_on_a_new_cluster_and_makes_none(parameters: Path, tmp_path: Path) -> None:
    before = snapshot(parameters)
    result = command(parameters, tmp_path, "--plan")
    assert result.returncode == 0, result.stdout + result.stderr
    assert snapshot(parameters) == before
    for notebook in ("01_fix_node_ips", "02_autostart_etcd"):
        rows = steps(tmp_path, notebook)
        assert Status.PLANNED in {row.status for row in rows}
        assert Status.CHANGED not in {row.status for row in rows}


def test_3_the_whole_article_happens_in_its_order(parameters: Path, tmp_path: Path) -> None:
    result = command(parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for notebook in NOTEBOOKS:
        finished = [event for event in events(tmp_path, notebook) if isinstance(event, FinishEvent)]
        assert [event.verdict for event in finished] == ["pass"], notebook
        assert notebook in result.stdout
    changed = {row.step for name in NOTEBOOKS for row in steps(tmp_path, name) if row.status is Status.CHANGED}
    assert {"static addresses", "etcd autostart", "create network ovr0", "run containers"} <= changed


def test_4_a_second_time_it_changes_nothing_but_what_it_restarts_and_reconnects(
    parameters: Path, tmp_path: Path
) -> None:
    result = command(parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    changed = {row.step for name in NOTEBOOKS for row in steps(tmp_path, name) if row.status is Status.CHANGED}
    # restarts are actions, not states; containers come back by 04 because their restart policy is "no"
    # and engines that start together may have to be introduced to each other anew
    expected = {"reboot", "join gossip", "run containers", "disconnect alpine1 from ovr0", "connect alpine1 to ovr0"}
    assert changed <= expected


def test_5_without_restarts_every_step_is_already_so(parameters: Path, tmp_path: Path) -> None:
    quiet = ("-p", "power_cycle", "false", "-p", "show_drift", "false")
    result = command(parameters, tmp_path, "00", "01", "02", "03", "04", "05", *quiet)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not [row for name in NOTEBOOKS[:6] for row in steps(tmp_path, name) if row.status is Status.CHANGED]


def test_6_plain_papermill_runs_a_notebook_too(parameters: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "papermill", "notebooks/05_ping_tests.ipynb", str(tmp_path / "out.ipynb")]
    result = subprocess.run(
        [*argv, "-f", str(parameters)], cwd=ROOT, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, result.stderr
