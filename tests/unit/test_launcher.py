"""The launcher, run for real on a small project of its own kind: no package to fetch, but a whole environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runbook_lib.cli import COMMANDS
from runbook_lib.environment import STAMP, expected_stamp, reason_to_make

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "overlay-runbook"
version = "1"
"""

# Stands for setuptools, so that no test waits for a registry. While the file `hold` is there, it builds on and on.
BACKEND = """
import pathlib, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if pathlib.Path("fault").exists():
        raise RuntimeError("the disk is made of cheese")
    while pathlib.Path("hold").exists():
        time.sleep(0.05)
    name = "overlay_runbook-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        info = "overlay_runbook-1.dist-info"
        wheel.writestr("overlay_runbook.pth", str(pathlib.Path.cwd()))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: overlay-runbook\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""

MAIN = (
    "import json, os, sys; json.dump({'prefix': sys.prefix, 'arguments': sys.argv[1:], 'cwd': os.getcwd()}, sys.stdout)"
)


class Launcher:
    """A small project with the real launcher in it, and ways to call that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / ".venv"
        (folder / "runbook_lib").mkdir(parents=True)
        shutil.copy(PROJECT / "runbook", folder)
        shutil.copy(PROJECT / "runbook_lib/environment.py", folder / "runbook_lib")
        (folder / "runbook_lib/__init__.py").touch()
        (folder / "runbook_lib/__main__.py").write_text(MAIN)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "requirements.lock").write_text("# nothing\n")

    def start(
        self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        settings = {
            name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "OVERLAY_RUNBOOK"))
        }
        return subprocess.Popen(
            [program or self.folder / "runbook", *arguments],
            cwd=cwd,
            env=settings | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(
        self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **variables: str
    ) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        process = self.start(*arguments, program=program, cwd=cwd, **variables)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, stdout, stderr


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path / "a project with spaces")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """A launcher whose environment is made; a test that spoils it leaves it good again."""
    launcher = Launcher(tmp_path_factory.mktemp("made") / "a project with spaces")
    status, stdout, stderr = launcher.call("first")
    assert status == 0, stderr
    assert "there is none yet" in stderr
    assert str(launcher.environment) in stdout
    return launcher


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


def folder_with(folder: Path, *tools: str) -> Path:
    """Make a folder to be the whole PATH, with these tools of the system and nothing else."""
    folder.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


BASIC_TOOLS = ("sh", "dirname", "readlink", "cat", "cksum", "id", "mktemp", "rm", "tail", "env")


def test_the_second_call_makes_nothing_and_says_nothing(made: Launcher) -> None:
    started = time.monotonic()
    status, stdout, stderr = made.call("run", "with spaces", "-p", "key", "")
    assert (status, stderr) == (0, "")
    assert '"arguments": ["run", "with spaces", "-p", "key", ""]' in stdout
    assert time.monotonic() - started < 2


def test_it_works_through_a_symbolic_link_and_from_another_folder(made: Launcher, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "direct").symlink_to(made.folder / "runbook")
    (tmp_path / "bin/relative").symlink_to("../direct")
    status, stdout, stderr = made.call(program=tmp_path / "bin/relative", cwd=tmp_path)
    assert (status, stderr) == (0, "")
    assert str(made.environment) in stdout
    assert f'"cwd": "{tmp_path}"' in stdout


def test_the_callers_python_settings_do_not_reach_it(made: Launcher, tmp_path: Path) -> None:
    for name in ("typing.py", "json.py", "runbook_lib.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    status, _, stderr = made.call(cwd=tmp_path, PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path), PYTHONSTARTUP="x")
    assert (status, stderr) == (0, "")


def test_the_package_is_compiled_once_although_the_callers_python_keeps_no_compiled_files(made: Launcher) -> None:
    compiled = made.folder / "runbook_lib" / "__pycache__"
    shutil.rmtree(compiled, ignore_errors=True)
    status, _, stderr = made.call(PYTHONDONTWRITEBYTECODE="1")
    assert (status, stderr) == (0, "")
    assert list(compiled.glob("__init__.*.pyc"))


def test_a_changed_lock_file_makes_the_environment_anew_even_after_a_kill_in_the_middle(made: Launcher) -> None:
    (made.environment / "left-over").touch()
    (made.folder / "requirements.lock").write_text("# nothing, in other words\n")
    (made.folder / "hold").touch()
    process = made.start()
    log = made.folder / ".venv.log"
    wait_for(made.environment / "bin/pip")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "editable" not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, "the last stage does not begin"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (made.folder / "hold").unlink()
    # The environment's own Python is first on the PATH, as it is in a shell that has activated it.
    path = f"{made.environment / 'bin'}:{os.environ['PATH']}"
    status, _, stderr = made.call(PATH=path)
    assert status == 0, stderr
    assert "the one that is there was not finished" in stderr
    assert not (made.environment / "left-over").exists()
    assert made.call()[2] == ""


def test_two_first_calls_at_once_make_one_environment(launcher: Launcher) -> None:
    both = [launcher.start(name) for name in ("one", "two")]
    ended = [(process.communicate(timeout=PATIENCE_SECONDS), process.returncode) for process in both]
    assert [status for _, status in ended] == [0, 0]
    messages = "".join(stderr for (_, stderr), _ in ended)
    assert messages.count("making the Python environment") == 1
    assert messages.count("waiting for it") == 1


def test_the_active_conda_environment_of_this_project_is_used_as_it_is(made: Launcher, tmp_path: Path) -> None:
    conda = tmp_path / "conda"
    subprocess.run([sys.executable, "-m", "venv", conda], check=True)
    (conda / "kept").touch()
    status, stdout, stderr = made.call(CONDA_DEFAULT_ENV="overlay-runbook", CONDA_PREFIX=str(conda))
    assert status == 0, stderr
    assert str(conda) in stdout
    assert (conda / "kept").exists()
    again = made.call(CONDA_DEFAULT_ENV="overlay-runbook", CONDA_PREFIX=str(conda))
    assert again[2] == ""
    assert str(made.environment) in made.call(CONDA_DEFAULT_ENV="base", CONDA_PREFIX=str(conda))[1]


def test_a_stage_that_fails_shows_why_and_leaves_nothing_that_passes_for_good(launcher: Launcher) -> None:
    (launcher.folder / "fault").touch()
    status, stdout, stderr = launcher.call()
    assert (status, stdout) == (3, "")
    assert "the disk is made of cheese" in stderr
    assert "remedy:" in stderr
    assert reason_to_make(launcher.folder, launcher.environment) == "the one that is there was not finished"


def test_a_folder_that_is_no_environment_is_left_alone(launcher: Launcher, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("all of it")
    status, _, stderr = launcher.call(OVERLAY_RUNBOOK_VENV=str(precious))
    assert status == 3
    assert "is not a Python environment; it is left alone" in stderr
    assert [path.name for path in precious.iterdir()] == ["thesis"]


def test_help_needs_no_environment_and_lists_every_command(launcher: Launcher) -> None:
    status, stdout, stderr = launcher.call("--help")
    assert (status, stderr) == (0, "")
    for name, line in COMMANDS.items():
        assert f"  {name:<9}  {line}\n" in stdout
    assert not launcher.environment.exists()


def test_a_missing_python_is_named_where_nothing_can_install_it(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    status, stdout, stderr = launcher.call(PATH=str(tools))
    assert (status, stdout) == (2, "")
    assert stderr.startswith("runbook: Python >= 3.11 is missing. Install it")


def test_an_old_python_is_named_with_its_version(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    old = tools / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    _, _, stderr = launcher.call(PATH=str(tools))
    assert stderr.startswith("runbook: Python >= 3.11 is missing (python3 is Python 3.9.2). Install it")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt-get does: sudo ./runbook test")
def test_a_missing_python_is_installed_with_apt(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS, "ln")
    interpreter = Path(sys.executable).resolve()
    apt = tools / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\n[ "$1" = update ] || ln -s "{interpreter}" "{tools}/python3"\n'
    )
    apt.chmod(0o755)
    (launcher.folder / "fault").touch()
    _, _, stderr = launcher.call(PATH=str(tools))
    assert "Python >= 3.11 is missing: installing python3 and python3-venv with apt-get" in stderr
    assert "making the Python environment" in stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["update", "install --yes --no-install-recommends python3 python3-venv"]


def test_an_apt_that_fails_shows_its_last_lines(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    for name, text in {"apt-get": "echo no such mirror; exit 100", "sudo": '[ "$1" = -n ] && shift; exec "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    (tools / "true").symlink_to(shutil.which("true") or "/bin/true")
    status, _, stderr = launcher.call(PATH=str(tools))
    assert status == 2
    assert "no such mirror\nrunbook: apt-get could not install" in stderr


@pytest.fixture
def good(launcher: Launcher) -> Launcher:
    """A launcher with what it takes for a good environment, made in no time."""
    (launcher.environment / "bin").mkdir(parents=True)
    (launcher.environment / "bin/python").symlink_to(sys.executable)
    (launcher.environment / STAMP).write_text(expected_stamp(launcher.folder, launcher.environment))
    return launcher


def reason(launcher: Launcher) -> str:
    return reason_to_make(launcher.folder, launcher.environment)


def test_a_good_environment_gives_no_reason_to_make_another(good: Launcher) -> None:
    assert reason(good) == ""


def test_a_missing_interpreter_is_a_reason(good: Launcher) -> None:
    (good.environment / "bin/python").unlink()
    assert reason(good) == "the one that is there has no interpreter"


def test_a_changed_lock_file_is_a_reason(good: Launcher) -> None:
    (good.folder / "requirements.lock").write_text("# other\n")
    assert reason(good) == "requirements.lock has changed"


def test_a_moved_project_is_a_reason(good: Launcher) -> None:
    good.folder.rename(good.folder.with_name("elsewhere"))
    elsewhere = good.folder.with_name("elsewhere")
    assert reason_to_make(elsewhere, elsewhere / ".venv") == "the project has been moved"


def test_another_python_of_the_system_is_a_reason(good: Launcher) -> None:
    (good.environment / "bin/python").unlink()
    (good.environment / "bin/python").symlink_to("/bin/sh")
    assert reason(good) == "the system's Python has changed"
