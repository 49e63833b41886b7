"""A testbed test that is skipped says why, and makes a gate that requires it fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

TESTS = {
    "skipped": "@pytest.mark.testbed\ndef test_it(): pytest.skip('no cluster')\n",
    "run": "@pytest.mark.testbed\ndef test_it(): pass\n",
    "absent": "def test_it(): pass\n",
    "elsewhere": "def test_it(): pytest.skip('no screen')\n@pytest.mark.testbed\ndef test_other(): pass\n",
}


def run_suite(
    folder: Path, text: str, *arguments: str, required: bool, root: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run pytest on one test file under this project's conftest.py; ``root`` is what geteuid tells."""
    shutil.copy(PROJECT / "tests/conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = testbed\n  repeat\naddopts = -p no:cacheprovider -ra\n")
    (folder / "test_it.py").write_text(f"import pytest\n{text}")
    user = 0 if root else 1000
    script = f"import os, sys, pytest; os.geteuid = lambda: {user}; sys.exit(pytest.main({list(arguments)!r}))"
    settings = os.environ | {"OVERLAY_RUNBOOK_REQUIRE_TESTBED": "1" if required else ""}
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=settings, capture_output=True, text=True)


def test_without_root_a_testbed_test_is_skipped_and_says_so(tmp_path: Path) -> None:
    done = run_suite(tmp_path, TESTS["run"], required=False, root=False)
    assert done.returncode == 0
    assert "SKIPPED [1] test_it.py:2: needs root, to boot the testbed's nodes: sudo ./runbook test" in done.stdout


def test_without_root_a_required_testbed_test_fails(tmp_path: Path) -> None:
    done = run_suite(tmp_path, TESTS["run"], required=True, root=False)
    assert done.returncode == 1
    assert "skipped, but OVERLAY_RUNBOOK_REQUIRE_TESTBED is set" in done.stdout
    assert "needs root" in done.stdout


@pytest.mark.parametrize(
    ("kind", "required", "code"),
    [
        ("skipped", False, 0),
        ("skipped", True, 1),
        ("run", True, 0),
        ("absent", False, 0),
        ("absent", True, 4),
        ("elsewhere", True, 0),
    ],
)
def test_only_a_required_testbed_test_that_did_not_run_fails(
    tmp_path: Path, kind: str, required: bool, code: int
) -> None:
    assert run_suite(tmp_path, TESTS[kind], required=required).returncode == code


@pytest.mark.parametrize(("arguments", "told"), [([], "1 passed, 1 deselected"), (["--all"], "2 passed")])
def test_long_repeats_run_only_when_they_are_asked_for(tmp_path: Path, arguments: list[str], told: str) -> None:
    text = (
        "@pytest.mark.parametrize('times', [1, pytest.param(9, marks=pytest.mark.repeat)])\ndef test_it(times): pass\n"
    )
    done = run_suite(tmp_path, text, *arguments, required=False)
    assert done.returncode == 0, done.stdout
    assert f" {told} in " in done.stdout.splitlines()[-1]


def test_with_two_processes_the_walkthrough_runs_beside_the_files_that_share_a_testbed_which_stay_in_one_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "tests/testbed").mkdir(parents=True)
    shutil.copy(PROJECT / "tests/conftest.py", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = testbed\naddopts = -p no:cacheprovider -n 2\n")
    test = (
        "import os, pathlib, time\n"
        "def test_one(): time.sleep(0.3)\n"
        "def test_two(): pathlib.Path(f'{kind}-{os.getpid()}').touch()\n"
    )
    kinds = {
        "testbed/test_verify_a": "cluster",
        "testbed/test_transport_b": "cluster",
        "testbed/test_walkthrough": "walkthrough",
    }
    for name, kind in (kinds | {"test_c": "other", "test_d": "other"}).items():
        (tmp_path / f"tests/{name}.py").write_text(test.replace("{kind}", kind))
    command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "tests"]
    settings = os.environ | {"PYTHONPATH": str(PROJECT), "OVERLAY_RUNBOOK_REQUIRE_TESTBED": ""}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert " 10 passed in " in done.stdout, done.stdout + done.stderr
    (cluster,) = (path.name.removeprefix("cluster-") for path in tmp_path.glob("cluster-*"))
    (walkthrough,) = (path.name.removeprefix("walkthrough-") for path in tmp_path.glob("walkthrough-*"))
    assert cluster != walkthrough


def test_the_gate_runs_the_test_command_and_requires_the_testbed() -> None:
    gate = (PROJECT / ".ci/run").read_text()
    assert re.search(r"^export OVERLAY_RUNBOOK_REQUIRE_TESTBED=1$", gate, re.MULTILINE)
    assert re.search(r" \./runbook test(?= |$)", gate, re.MULTILINE)
    assert os.access(PROJECT / ".ci/run", os.X_OK)
