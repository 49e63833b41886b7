"""The article's walkthrough through the command line, as a person or a scheduler would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.facts.host.addresses import read_bootlocal, read_bootsync
from runbook_lib.facts.host.host import read_host
from runbook_lib.facts.overlay.gossip import unknown_peers
from runbook_lib.model.events import StepEvent
from runbook_lib.model.loading import load_run
from runbook_lib.model.locations import RECORDS_VARIABLE
from runbook_lib.model.record import CellState, Record, RecordVerdict
from runbook_lib.model.results import Status, Verdict
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.reading import read_record
from runbook_lib.records.verify import verify
from runbook_lib.session.questions import power
from runbook_lib.testbed import Testbed
from tests.testbed.solutions import execute_solutions, verdicts

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
# A whole walk takes two or three minutes; a machine that is busy besides may need several times as long.
WHOLE_WALK = 1800
NAME = f"walkthrough-{os.getpid()}"
SOLUTIONS = ROOT / "notebooks" / "solutions"
CLEANED_UP = SOLUTIONS / "09_solutions.ipynb"
NOTEBOOKS = [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-8]_*.ipynb"))]


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


@pytest.fixture(scope="module")
def walkthrough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of the whole walkthrough."""
    return tmp_path_factory.mktemp("records")


def command(parameters: Path, records: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runbook_lib", "run", "-f", str(parameters), "--records", str(records), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=WHOLE_WALK, stdin=subprocess.DEVNULL)


def write_notebook(path: Path, source: str) -> None:
    parameters = new_code_cell("inventory = None", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(source)]), path)


def record_of(records: Path, notebook: str) -> Record:
    (folder,) = records.glob(f"*_{notebook}_*")
    return read_record(folder)


def steps(records: Path, notebook: str) -> tuple[StepEvent, ...]:
    return record_of(records, notebook).steps


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
    for notebook, maker in [("02", "01_fix_node_ips"), ("03", "02_autostart_etcd"), ("07", "02_autostart_etcd")]:
        result = command(parameters, tmp_path / notebook, notebook)
        assert result.returncode == 1
        assert f"run the notebook {maker} first" in result.stdout + result.stderr
        assert "Traceback" not in result.stdout + result.stderr


def test_1_there_is_nothing_to_clean_up_where_nobody_has_done_anything(parameters: Path, tmp_path: Path) -> None:
    before = snapshot(parameters)
    result = command(parameters, tmp_path, "09")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {row.status for row in steps(tmp_path, "09_clean_up")} == {Status.OK}
    assert snapshot(parameters) == before


def test_2_plan_mode_shows_every_change_on_a_new_cluster_and_makes_none(parameters: Path, tmp_path: Path) -> None:
    before = snapshot(parameters)
    result = command(parameters, tmp_path, "--plan")
    assert result.returncode == 0, result.stdout + result.stderr
    assert snapshot(parameters) == before
    for notebook in ("01_fix_node_ips", "02_autostart_etcd"):
        rows = steps(tmp_path, notebook)
        assert Status.PLANNED in {row.status for row in rows}
        assert Status.CHANGED not in {row.status for row in rows}


@pytest.mark.timeout(WHOLE_WALK)
def test_3_the_whole_article_happens_in_its_order(parameters: Path, walkthrough: Path) -> None:
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
def test_4_a_second_run_changes_nothing_restarts_nothing_and_leaves_containers_and_gossip_whole(
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


def test_6_plain_papermill_runs_a_notebook_too_and_keeps_a_record_with_the_engine(
    parameters: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, RECORDS_VARIABLE: str(tmp_path / "records")}

    def papermill(notebook: str, *options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "papermill", f"notebooks/{notebook}.ipynb", str(tmp_path / "out.ipynb")]
        argv += ["-f", str(parameters), *options]
        return subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL, env=environment
        )

    result = papermill("03_create_overlay")
    assert result.returncode == 0, result.stderr
    (tmp_path / "out.ipynb").unlink()
    refused = papermill("05_ping_tests", "--engine", "runbook", "-p", "probes", "7")
    assert refused.returncode == 2, refused.stderr
    assert "probes" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out.ipynb").exists()
    assert not (tmp_path / "records").exists()
    result = papermill("05_ping_tests", "--engine", "runbook")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out.ipynb").exists()
    record = record_of(tmp_path / "records", "05_ping_tests")
    assert record.verdict is RecordVerdict.PASS
    assert {metric.name for metric in record.metrics} >= {"ping latency", "ping loss"}


def test_7_a_run_goes_on_after_the_last_passed_notebook_once_the_cause_is_mended(
    parameters: Path, tmp_path: Path
) -> None:
    quiet = ("-p", "power_cycle", "false", "-p", "show_drift", "false")
    wrong = command(parameters, tmp_path, "03", "04", "05", *quiet, "-p", "containers.0.image", "absent")
    assert wrong.returncode == 1, wrong.stdout + wrong.stderr
    assert "go on from there: ./runbook run --resume " in wrong.stdout
    mended = command(parameters, tmp_path, "--resume", "last", *quiet)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    # the summary stands last
    rows = {line.split()[0]: line for line in mended.stdout.splitlines() if line[:2].isdigit()}
    assert "still holds" in rows["03_create_overlay"]
    assert "pass" in rows["04_run_containers"]
    assert "pass" in rows["05_ping_tests"]
    assert len(list(tmp_path.glob("*_03_create_overlay_*"))) == 1
    again = command(parameters, tmp_path, "--resume", "last", *quiet)
    assert again.returncode == 2
    assert "passed, all 3 notebooks" in again.stderr


def test_8_what_does_not_hold_any_more_is_done_again(parameters: Path, tmp_path: Path) -> None:
    quiet = ("-p", "power_cycle", "false", "-p", "show_drift", "false")
    second = tmp_path / "05_second.ipynb"
    write_notebook(second, "1 / 0")
    failed = command(parameters, tmp_path / "records", "04", str(second), *quiet)
    assert failed.returncode == 3, failed.stdout
    with Cluster(load_run(parameters).inventory) as cluster:
        cluster.node("node3").engine.remove_container("alpine1", force=True)
    write_notebook(second, "1")
    resumed = command(parameters, tmp_path / "records", "04", str(second), "--resume", "last", *quiet)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "still holds" not in resumed.stdout
    latest = read_record(max((tmp_path / "records").glob("*_04_run_containers_*")))
    assert Status.CHANGED in {row.status for row in latest.steps}


@pytest.mark.timeout(WHOLE_WALK)
def test_9_every_solution_holds_and_every_wrong_prediction_fails(parameters: Path, walkthrough: Path) -> None:
    solutions = sorted(path for path in SOLUTIONS.glob("*.ipynb") if path != CLEANED_UP)
    given = yaml.safe_load(parameters.read_text()) | {"records": str(walkthrough), "cluster": ""}
    judged = verdicts(execute_solutions(solutions, given))
    assert len(judged) >= 2 * len(solutions)
    assert set(judged.values()) == {"CheckFailed"}, judged


def test_9a_a_wrong_prediction_makes_a_run_fail_and_says_what_is_so(parameters: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(SOLUTIONS / "00_solutions.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("prediction=1)", "prediction=2)")
    nbformat.write(notebook, tmp_path / "00_wrong.ipynb")
    result = command(parameters, tmp_path / "records", str(tmp_path / "00_wrong.ipynb"))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "exercise 00-a: the prediction holds" in result.stdout + result.stderr


def test_9b_clean_up_shows_first_then_takes_back_exactly_what_the_notebooks_made(
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


def test_9c_cleaned_up_twice_it_changes_nothing_and_its_own_solutions_hold(parameters: Path, tmp_path: Path) -> None:
    result = command(parameters, tmp_path, "09")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {row.status for row in steps(tmp_path, "09_clean_up")} == {Status.OK}
    given = yaml.safe_load(parameters.read_text())
    judged = verdicts(execute_solutions([CLEANED_UP], given))
    assert judged == {"09-a": "CheckFailed", "09-b": "CheckFailed"}
