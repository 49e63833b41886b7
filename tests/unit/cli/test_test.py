"""The test command: what it passes to pytest, and what it makes of pytest's exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib import cli
from runbook_lib.cli import test as command
from runbook_lib.cli.test import reaches_testbed, side_by_side
from runbook_lib.errors import ExitCode
from tests.waiting import PATIENCE_SECONDS, wait_until

PROJECT = Path(__file__).resolve().parents[3]


def runbook_test(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in os.environ.items() if name != "OVERLAY_RUNBOOK_REQUIRE_TESTBED"}
    command = [sys.executable, "-P", "-m", "runbook_lib", "test", *arguments, "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=300)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with tests of its own, outside the project."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = testbed\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def test_it(): pass", 0),
        ("def test_it(): assert False", 1),
        ("", 2),
        ("def test_it(): raise KeyboardInterrupt", 4),
    ],
    ids=["passed", "failed", "none collected", "interrupted"],
)
def test_the_exit_code_follows_pytests(suite: Path, text: str, code: int) -> None:
    (suite / "test_it.py").write_text(text)
    assert runbook_test(str(suite), "-c", str(suite / "pytest.ini")).returncode == code


def test_pytests_summary_is_the_last_line(suite: Path) -> None:
    (suite / "test_it.py").write_text("def test_it(): pass")
    done = runbook_test(str(suite), "-c", str(suite / "pytest.ini"), "-k", "it")
    assert " 1 passed in " in done.stdout.splitlines()[-1]
    assert done.stderr == ""


def test_paths_are_relative_to_the_project_wherever_it_is_called(tmp_path: Path) -> None:
    done = runbook_test("tests/unit/cli/test_test.py", "--collect-only", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_pytests_summary_is_the_last_line" in done.stdout


def test_termination_lets_pytest_tear_down(suite: Path) -> None:
    (suite / "test_it.py").write_text(
        "import pathlib, pytest, time\n"
        "@pytest.fixture\n"
        "def node():\n"
        "    yield\n"
        "    pathlib.Path(__file__).with_name('down').touch()\n"
        "def test_it(node):\n"
        "    pathlib.Path(__file__).with_name('up').touch()\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-P", "-m", "runbook_lib", "test", str(suite), "-c", str(suite / "pytest.ini")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until((suite / "up").exists, "the test begins")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 4, output
    assert (suite / "down").exists(), output


def test_a_background_job_whose_shell_ignores_ctrl_c_can_be_interrupted_all_the_same(suite: Path) -> None:
    (suite / "test_it.py").write_text(
        "import os, signal, subprocess, sys\n"
        "def test_pytest_itself():\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "def test_what_it_starts():\n"
        "    told = [sys.executable, '-c', 'import signal; print(signal.getsignal(signal.SIGINT))']\n"
        "    assert 'default_int_handler' in subprocess.check_output(told, text=True)\n"
    )
    command = [sys.executable, "-P", "-m", "runbook_lib", "test", str(suite), "-c", str(suite / "pytest.ini")]
    # A shell without job control starts it so: SIGINT ignored, across exec.
    done = subprocess.run(
        ["sh", "-c", '"$@" & wait $!', "sh", *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 2 passed in " in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["tests/nosuch"],
        ["nosuch", "-q"],
        ["unit", "unit/nosuch"],
        ["tests/unit", "tests/nosuch.py::test_it"],
        ["-x", "tests/nosuch"],
        ["-kping", "tests/nosuch"],
        ["--tb=short", "tests/nosuch"],
        ["--lf", "tests/nosuch"],
        ["lowest", "tests/nosuch"],
    ],
    ids=" ".join,
)
def test_a_mistyped_path_is_refused_before_anything_is_prepared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    started: list[object] = []

    def start(*given: object) -> int:
        started.append(given)
        return 0

    for name in ("run_pytest", "run_lowest", "reaches_testbed"):
        monkeypatch.setattr(command, name, start)
    assert cli.main(["test", *arguments]) == ExitCode.BAD_INPUT
    assert started == []
    mistyped = next(word for word in arguments if "nosuch" in word).split("::")[0]
    assert f"{mistyped}: there is no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "ping"],
        ["-xk", "ping"],
        ["-n", "4", "-m", "not browser", "-p", "no:cacheprovider"],
        ["--tb", "short", "--maxfail", "2"],
        ["--deselect", "tests/nosuch.py::test_it"],
        ["-x", "tests/unit/cli/test_test.py::test_it[tests/nosuch]"],
        ["--all"],
    ],
    ids=" ".join,
)
def test_the_value_of_an_option_is_no_path(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(command, "run_pytest", lambda *_: 0)
    monkeypatch.setattr(command, "reaches_testbed", lambda *_: False)
    assert cli.main(["test", *arguments]) == ExitCode.PASS


@pytest.mark.parametrize(
    ("arguments", "reached"),
    [
        ([], True),
        (["-x", "-k", "ping"], True),
        (["tests"], True),
        (["tests/testbed/test_up.py::test_it"], True),
        (["tests/testbed"], True),
        (["tests/unit"], False),
        (["tests/unit/test_layers.py::test_it", "-q"], False),
        (["tests/unit", "tests/notebooks"], True),
    ],
)
def test_system_packages_are_wanted_only_where_testbed_tests_are(
    tmp_path: Path, arguments: list[str], reached: bool
) -> None:
    for folder in ("unit", "testbed", "notebooks"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    (tmp_path / "tests/unit/test_layers.py").touch()
    (tmp_path / "tests/testbed/test_up.py").touch()
    assert reaches_testbed(tmp_path, arguments) is reached


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with three files of tests, one of which boots the testbed."""
    for file in ("unit/test_one.py", "unit/test_two.py", "testbed/test_up.py"):
        (tmp_path / "tests" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / file).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        ([], 3),
        (["-x", "-k", "ping"], 3),
        (["tests/unit"], 2),
        (["tests/unit", "tests/testbed/test_up.py::test_it"], 3),
        (["tests/testbed"], 0),
        (["tests/unit/test_one.py"], 0),
        (["tests/unit/test_one.py::test_it", "tests/unit/test_one.py::test_other"], 0),
        (["-n0"], 0),
        (["-n", "4"], 0),
        (["--pdb"], 0),
        (["-s"], 0),
    ],
)
def test_files_of_tests_are_shared_by_processes_unless_the_user_says_otherwise(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], processes: int
) -> None:
    monkeypatch.setattr(command, "_cores", lambda: 8)
    monkeypatch.setattr(command, "_available_memory", lambda: 64 * 2**30)
    assert side_by_side(project, arguments) == processes


@pytest.mark.parametrize(
    ("cores", "gigabytes", "everything", "unit"),
    [(1, 64, 2, 2), (8, 64, 3, 2), (8, 3.1, 2, 2), (8, 0.5, 1, 1), (8, 0, 1, 1)],
)
def test_there_are_no_more_processes_than_cores_and_memory_carry(
    project: Path, monkeypatch: pytest.MonkeyPatch, cores: int, gigabytes: float, everything: int, unit: int
) -> None:
    monkeypatch.setattr(command, "_cores", lambda: cores)
    monkeypatch.setattr(command, "_available_memory", lambda: int(gigabytes * 2**30))
    assert (side_by_side(project, []), side_by_side(project, ["tests/unit"])) == (everything, unit)


def test_this_machine_has_cores_and_memory() -> None:
    assert command._cores() >= 1
    assert command._available_memory() > 2**20


def test_unit_is_a_word_for_the_unit_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def run(folder: Path, arguments: list[str]) -> int:
        given.append(arguments)
        return 0

    monkeypatch.setattr(command, "run_pytest", run)
    assert cli.main(["test", "unit", "-q", "-n0"]) == ExitCode.PASS
    assert cli.main(["test", "tests/unit", "-k", "unit", "-n0"]) == ExitCode.PASS
    assert given == [["tests/unit", "-q", "-n0"], ["tests/unit", "-k", "unit", "-n0"]]
