"""The article's walkthrough through the command line, as a person or a scheduler would run it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import yaml

from runbook_lib.cluster import Cluster
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.facts.host.addresses import read_bootlocal, read_bootsync
from runbook_lib.facts.overlay.gossip import unknown_peers
from runbook_lib.model.loading import load_run
from runbook_lib.model.record import CellState, RecordVerdict
from runbook_lib.model.results import Status, Verdict
from runbook_lib.records.store import open_archive
from runbook_lib.records.verify import verify
from runbook_lib.session.questions import power
from runbook_lib.testbed import Testbed
from tests.testbed.solutions import execute_solutions, verdicts
from tests.testbed.walkthrough import ROOT, WHOLE_WALK, command, record_of, snapshot, steps, write_parameters

pytestmark = pytest.mark.testbed

SOLUTIONS = ROOT / "notebooks" / "solutions"
CLEANED_UP = SOLUTIONS / "09_solutions.ipynb"
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-8]_*.ipynb"))]


@pytest.fixture(scope="module")
def parameters(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parameters(testbed, tmp_path_factory.mktemp("params"))


@pytest.fixture(scope="module")
def walkthrough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of the whole walkthrough."""
    return tmp_path_factory.mktemp("records")


@pytest.mark.timeout(WHOLE_WALK)
def test_1_the_whole_article_happens_in_its_order(parameters: Path, walkthrough: Path) -> None:
    result = command(parameters, walkthrough)
    assert result.returncode == 0, result.stdout + result.stderr
    for notebook in NOTEBOOKS:
        record = record_of(walkthrough, notebook)
        assert record.verdict is RecordVerdict.PASS, notebook
        assert {cell.state for cell in record.cells} == {CellState.COMPLETED}
        nodes = {node.node: node for node in record.provenance.nodes}
        assert list(nodes) == ["node1", "node2", "node3", "node4"]
        assert len({node.engine_id for node in nodes.values() if node.engine and node.engine_id}) == 4
        assert {"notebook.ipynb", "notebook.html", "log.jsonl"} <= set(record.files)
        assert [name for name in record.files if name.startswith("tables/")], notebook
        assert notebook in result.stdout
    assert verify(open_archive(walkthrough)) == ()
    look = record_of(walkthrough, "07_look_inside_the_overlay")
    assert look.steps == ()
    assert not [check for check in look.checks if check.verdict in (Verdict.FAIL, Verdict.SKIP)]
    changed = {row.step for name in NOTEBOOKS for row in steps(walkthrough, name) if row.status is Status.CHANGED}
    assert {"static addresses", "etcd autostart", "create network ovr0", "run containers"} <= changed


@pytest.mark.timeout(WHOLE_WALK)
def test_2_a_second_run_changes_nothing_restarts_nothing_and_leaves_containers_and_gossip_whole(
    parameters: Path, tmp_path: Path
) -> None:
    before = snapshot(parameters)
    result = command(parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [row for name in NOTEBOOKS for row in steps(tmp_path, name)]
    # 06 takes a container off and puts it on again: that is what it is there for
    assert {row.step for row in rows if row.status is Status.CHANGED} == {
        "disconnect alpine1 from ovr0",
        "connect alpine1 to ovr0",
    }
    for notebook in ("01_fix_node_ips", "02_autostart_etcd", "08_fixed_external_address"):
        left_up = [row for row in steps(tmp_path, notebook) if row.step == power.STEP]
        assert left_up, notebook
        assert {(row.status, row.detail) for row in left_up} == {(Status.OK, power.PROVED)}
    assert snapshot(parameters) == before
    run = load_run(parameters)
    with Cluster(run.inventory) as cluster:
        gossip = [outcome.result for outcome in cluster.each(control_plane_of(run.parameters).read_gossip)]
    assert set(unknown_peers(gossip).values()) == {()}
    judged = {check.check: check.verdict for check in record_of(tmp_path, "01_fix_node_ips").checks}
    assert judged["only what DHCP assigned moved"] is Verdict.SKIP
    assert judged["the address is the fixed one"] is Verdict.PASS
    judged = {check.check: check.verdict for check in record_of(tmp_path, "02_autostart_etcd").checks}
    assert judged["a member runs only if something starts it"] is Verdict.PASS
    assert judged["every engine is connected to its store"] is Verdict.PASS


@pytest.mark.timeout(WHOLE_WALK)
def test_3_every_solution_holds_and_every_wrong_prediction_fails(parameters: Path, walkthrough: Path) -> None:
    solutions = sorted(path for path in SOLUTIONS.glob("*.ipynb") if path != CLEANED_UP)
    given = yaml.safe_load(parameters.read_text()) | {"records": str(walkthrough), "cluster": ""}
    judged = verdicts(execute_solutions(solutions, given))
    assert len(judged) >= 2 * len(solutions)
    assert set(judged.values()) == {"CheckFailed"}, judged


def test_4_a_wrong_prediction_makes_a_run_fail_and_says_what_is_so(parameters: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(SOLUTIONS / "00_solutions.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("prediction=1)", "prediction=2)")
    nbformat.write(notebook, tmp_path / "00_wrong.ipynb")
    result = command(parameters, tmp_path / "records", str(tmp_path / "00_wrong.ipynb"))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "exercise 00-a: the prediction holds" in result.stdout + result.stderr


def test_5_clean_up_shows_first_then_takes_back_exactly_what_the_notebooks_made(
    parameters: Path, tmp_path: Path
) -> None:
    before = snapshot(parameters)
    planned = command(parameters, tmp_path / "plan", "09", "--plan")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert snapshot(parameters) == before
    would = {(row.step, row.node) for row in steps(tmp_path / "plan", "09_clean_up") if row.status is Status.PLANNED}
    result = command(parameters, tmp_path / "done", "09")
    assert result.returncode == 0, result.stdout + result.stderr
    done = [(row.step, row.node) for row in steps(tmp_path / "done", "09_clean_up") if row.status is Status.CHANGED]
    assert set(done) == would
    order = ["remove containers", "remove docker_gwbridge", "remove networks"]
    order += ["remove etcd autostart", "remove static addresses"]
    assert list(dict.fromkeys(step for step, _ in done)) == order
    with Cluster(load_run(parameters).inventory) as cluster:
        for node in cluster:
            assert (read_bootsync(node), read_bootlocal(node)) == (None, None)
            assert {item.name for item in read_containers(node)} <= {"etcd1", "etcd2", "etcd3"}
            assert {item.name for item in read_networks(node)} == {"bridge", "host", "none"}


def test_6_cleaned_up_twice_it_changes_nothing_and_its_own_solutions_hold(parameters: Path, tmp_path: Path) -> None:
    result = command(parameters, tmp_path, "09")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {row.status for row in steps(tmp_path, "09_clean_up")} == {Status.OK}
    given = yaml.safe_load(parameters.read_text())
    judged = verdicts(execute_solutions([CLEANED_UP], given))
    assert judged == {"09-a": "CheckFailed", "09-b": "CheckFailed"}
