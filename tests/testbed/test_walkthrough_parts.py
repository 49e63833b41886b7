"""Notebooks apart from the walkthrough: before anything was made, planned only, resumed, and by plain papermill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from runbook_lib.cluster import Cluster
from runbook_lib.model.loading import load_run
from runbook_lib.model.locations import RECORDS_VARIABLE
from runbook_lib.model.record import RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.store.reading import read_record
from runbook_lib.testbed import Testbed
from tests.testbed.walkthrough import ROOT, WHOLE_WALK, command, record_of, snapshot, steps, write_parameters

pytestmark = pytest.mark.testbed

# What is looked at here needs no restart.
QUIET = ("-p", "power_cycle", "false", "-p", "show_drift", "false")


@pytest.fixture(scope="module")
def parameters(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parameters(testbed, tmp_path_factory.mktemp("params"))


def write_notebook(path: Path, source: str) -> None:
    parameters = new_code_cell("inventory = None", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(source)]), path)


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


@pytest.mark.timeout(WHOLE_WALK)
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
def test_3_a_run_goes_on_after_the_last_passed_notebook_once_the_cause_is_mended(
    parameters: Path, tmp_path: Path, start_store: Callable[[], None]
) -> None:
    start_store()
    wrong = command(parameters, tmp_path, "03", "04", "05", *QUIET, "-p", "containers.0.image", "absent")
    assert wrong.returncode == 1, wrong.stdout + wrong.stderr
    assert "go on from there: ./runbook run --resume " in wrong.stdout
    mended = command(parameters, tmp_path, "--resume", "last", *QUIET)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    # the summary stands last
    rows = {line.split()[0]: line for line in mended.stdout.splitlines() if line[:2].isdigit()}
    assert "still holds" in rows["03_create_overlay"]
    assert "pass" in rows["04_run_containers"]
    assert "pass" in rows["05_ping_tests"]
    assert len(list(tmp_path.glob("*_03_create_overlay_*"))) == 1
    again = command(parameters, tmp_path, "--resume", "last", *QUIET)
    assert again.returncode == 2
    assert "passed, all 3 notebooks" in again.stderr


def test_4_what_does_not_hold_any_more_is_done_again(parameters: Path, tmp_path: Path) -> None:
    second = tmp_path / "05_second.ipynb"
    write_notebook(second, "1 / 0")
    failed = command(parameters, tmp_path / "records", "04", str(second), *QUIET)
    assert failed.returncode == 3, failed.stdout
    with Cluster(load_run(parameters).inventory) as cluster:
        cluster.node("node3").engine.remove_container("alpine1", force=True)
    write_notebook(second, "1")
    resumed = command(parameters, tmp_path / "records", "04", str(second), "--resume", "last", *QUIET)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "still holds" not in resumed.stdout
    latest = read_record(max((tmp_path / "records").glob("*_04_run_containers_*")))
    assert Status.CHANGED in {row.status for row in latest.steps}


def test_5_plain_papermill_runs_a_notebook_too_and_keeps_a_record_with_the_engine(
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
