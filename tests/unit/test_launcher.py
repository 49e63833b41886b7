"""The launcher, run for real on a small project of its own kind: no package to fetch, but a whole environment.

No test asks a registry for anything: uv is the one of this project or of the machine, or it cannot be had.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.bootstrap import reason_to_make, usable_uv
from runbook_lib.cli import COMMANDS
from tests.waiting import PATIENCE_SECONDS, wait_until

PROJECT = Path(__file__).resolve().parents[2]

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "overlay-runbook"
version = "1"
"""

# Stands for setuptools: no test waits for a registry. While the file `hold` is there, it builds on and on.
BACKEND = """
import pathlib, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if pathlib.Path("fault").exists():
        raise RuntimeError("the disk is made of cheese")
    while pathlib.Path("hold").exists():
        pathlib.Path("building").touch()
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

# Stands for what builds the root filesystem: it works on until it is interrupted.
PREBUILD = """
import os, pathlib, sys, time

def main():
    folder, words = pathlib.Path(sys.argv[1]), sys.argv[4:]
    if words[0] != "testbed":
        return
    print("runbook: meanwhile something is built", flush=True)
    try:
        (folder / "at-work.new").write_text(" ".join([str(os.getpid()), *sys.argv[2:]]))
        (folder / "at-work.new").rename(folder / "at-work")
        time.sleep(600)
    except KeyboardInterrupt:
        (folder / "interrupted").touch()
"""

MAIN = """
import json, os, sys
json.dump({"prefix": sys.prefix, "arguments": sys.argv[1:], "cwd": os.getcwd()}, sys.stdout)
"""


class Launcher:
    """A small project with the real launcher in it, and ways to call that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / ".venv"
        (folder / "runbook_lib/testbed").mkdir(parents=True)
        shutil.copy(PROJECT / "runbook", folder)
        shutil.copy(PROJECT / "runbook_lib/bootstrap.py", folder / "runbook_lib")
        shutil.copy(PROJECT / "requirements-uv.lock", folder)
        (folder / "runbook_lib/testbed/__init__.py").touch()
        (folder / "runbook_lib/testbed/prebuild.py").write_text(PREBUILD)
        (folder / "runbook_lib/__init__.py").touch()
        (folder / "runbook_lib/__main__.py").write_text(MAIN)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "requirements.lock").write_text("# nothing\n")

    def start(
        self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        ours = ("CONDA", "OVERLAY_RUNBOOK")
        settings = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        # Whatever uv this machine has is hidden by one that is too old, and no other can be had.
        hiding = tool(self.folder / "hiding", "uv", "echo uv 0.4.30")
        settings |= {"PATH": f"{hiding}:{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
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


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file in a folder with its number and the time of its last change."""
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def tool(folder: Path, name: str, script: str) -> Path:
    """Make a program of a few lines of shell; return the folder, to be put on a PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def path_with_uv(tmp_path: Path) -> str:
    """A PATH on which a real uv comes first; it writes its calls down in ``uv-calls``."""
    uv = usable_uv(shutil.which("uv")) or usable_uv(str(PROJECT / ".venv.uv/bin/uv"))
    if uv is None:
        pytest.skip("there is no uv on PATH, and none could be put into .venv.uv")
    folder = tool(tmp_path / "uv", "uv", f'echo "$@" >> "{tmp_path}/uv-calls"\nexec "{uv}" "$@"')
    return f"{folder}:{os.environ['PATH']}"


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
    before = files_of(made.environment)
    status, stdout, stderr = made.call("run", "with spaces", "-p", "key", "")
    assert (status, stderr) == (0, "")
    assert '"arguments": ["run", "with spaces", "-p", "key", ""]' in stdout
    assert files_of(made.environment) == before


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
    wait_until((made.environment / "bin/pip").exists)
    wait_until(lambda: log.exists() and "editable" in log.read_text(), "the last stage begins")
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


def test_the_uv_on_the_path_makes_the_environment_with_the_hashes_of_the_lock(
    launcher: Launcher, path_with_uv: str, tmp_path: Path
) -> None:
    status, stdout, stderr = launcher.call(PATH=path_with_uv)
    assert status == 0, stderr
    assert str(launcher.environment) in stdout
    version, packages, project = (tmp_path / "uv-calls").read_text().splitlines()
    install = f"pip install --python {launcher.environment}/bin/python --no-deps --no-index"
    assert version == "--version"
    assert packages == f"{install} --require-hashes --requirement {launcher.folder}/requirements.lock"
    assert project == f"{install} --no-build-isolation --editable {launcher.folder}"
    assert not (launcher.folder / ".venv.uv").exists()
    assert "pip installs" not in stderr
    assert launcher.call(PATH=path_with_uv)[2] == ""


def test_a_uv_that_is_too_old_is_named_and_pip_takes_its_place_where_no_other_can_be_had(launcher: Launcher) -> None:
    status, stdout, stderr = launcher.call()
    assert status == 0, stderr
    assert str(launcher.environment) in stdout
    assert f"{launcher.folder}/hiding/uv is too old (uv 0.4.30); at least 0.5.0 is used" in stderr
    assert "uv cannot be had, so pip installs the packages, which takes longer. uv, which installs" in stderr
    assert "No matching distribution found for uv" in stderr
    assert (launcher.environment / "bin/pip").exists()


def test_pip_takes_over_where_uv_fails(launcher: Launcher, tmp_path: Path) -> None:
    broken = tool(
        tmp_path / "broken", "uv", '[ "$1" = --version ] && echo uv 0.13.8 && exit\necho no such index; exit 2'
    )
    status, _, stderr = launcher.call(PATH=f"{broken}:{os.environ['PATH']}")
    assert status == 0, stderr
    assert "uv failed, so pip installs the packages, which takes longer. the packages that" in stderr
    assert "exit status 2; the end of its output:\n    no such index" in stderr
    assert (launcher.environment / "bin/pip").exists()


def test_an_interruption_leaves_no_half_environment_and_nothing_at_work(launcher: Launcher, path_with_uv: str) -> None:
    (launcher.folder / "hold").touch()
    process = launcher.start("testbed", "up", PATH=path_with_uv)
    assert wait_until((launcher.folder / "building").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (4, -signal.SIGINT)  # some shells then end in the same way
    assert "interrupted; the next call makes the environment anew" in stderr
    assert reason_to_make(launcher.folder, launcher.environment) == "the one that is there was not finished"
    if os.geteuid() == 0:
        assert (launcher.folder / "interrupted").exists()
    (launcher.folder / "hold").unlink()
    assert launcher.call(PATH=path_with_uv)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds the root filesystem: sudo ./runbook test")
def test_the_root_filesystem_is_built_meanwhile_and_on_after_the_hand_over(launcher: Launcher) -> None:
    process = launcher.start("testbed", "up", "--name", "a b")
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr
    assert '"arguments": ["testbed", "up", "--name", "a b"]' in stdout
    assert "runbook: meanwhile something is built\n" in stderr
    builder, _, told = (launcher.folder / "at-work").read_text().partition(" ")
    os.kill(int(builder), signal.SIGINT)
    assert told == f"{process.pid} {launcher.folder}/.venv.testbed.log testbed up --name a b"
    assert wait_until((launcher.folder / "interrupted").exists)


def test_two_first_calls_at_once_make_one_environment(launcher: Launcher) -> None:
    (launcher.folder / "hold").touch()
    one, log, messages = launcher.start("one"), launcher.folder / ".venv.log", ""
    wait_until(lambda: log.exists() and "editable" in log.read_text(), "the first is at the last stage")
    two = launcher.start("two")
    assert two.stderr is not None
    while "waiting for it" not in messages:
        messages += two.stderr.readline() or pytest.fail(messages)
    (launcher.folder / "hold").unlink()
    for process in (one, two):
        messages += process.communicate(timeout=PATIENCE_SECONDS)[1]
        assert process.returncode == 0, messages
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
    status, stdout, stderr = launcher.call(PATH=str(folder_with(tmp_path / "tools", *BASIC_TOOLS)))
    assert (status, stdout) == (2, "")
    assert stderr.startswith("runbook: Python >= 3.11 is missing. Install it")


def test_an_old_python_is_named_with_its_version(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    tool(tools, "python3", '[ "$1" = --version ] && echo Python 3.9.2\nexit 1')
    _, _, stderr = launcher.call(PATH=str(tools))
    assert stderr.startswith("runbook: Python >= 3.11 is missing (python3 is Python 3.9.2). Install it")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt-get does: sudo ./runbook test")
def test_a_missing_python_is_installed_with_apt(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS, "ln")
    interpreter = Path(sys.executable).resolve()
    link = f'[ "$3" = update ] || ln -s "{interpreter}" "{tools}/python3"'
    tool(tools, "apt-get", f'echo "$@" >> "{tmp_path}/calls"\n{link}')
    (launcher.folder / "fault").touch()
    _, _, stderr = launcher.call(PATH=str(tools))
    assert "Python >= 3.11 is missing: installing python3 and python3-venv with apt-get" in stderr
    assert "making the Python environment" in stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "-o DPkg::Lock::Timeout=0 update",
        "-o DPkg::Lock::Timeout=0 install --yes --no-install-recommends python3 python3-venv",
    ]


def test_a_missing_python_waits_for_another_package_manager(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS, "sleep", "touch")
    tool(tools, "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    (tools / "true").symlink_to(shutil.which("true") or "/bin/true")
    held = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)"
    script = f'echo "$@" >> "{tmp_path}/calls"; [ -e "{tmp_path}/free" ] && echo no such mirror && exit 100\n'
    tool(tools, "apt-get", f'{script}touch "{tmp_path}/free"; echo "{held}"; exit 100')
    status, _, stderr = launcher.call(PATH=str(tools))
    assert status == 2
    assert stderr.count("another package manager is at work; waiting up to 10 minutes for it") == 1
    assert "no such mirror\nrunbook: apt-get could not install" in stderr
    calls = (tmp_path / "calls").read_text()
    assert calls == "-o DPkg::Lock::Timeout=0 update\n-o DPkg::Lock::Timeout=600 update\n"


def test_an_apt_that_fails_shows_its_last_lines(launcher: Launcher, tmp_path: Path) -> None:
    tools = folder_with(tmp_path / "tools", *BASIC_TOOLS)
    tool(tools, "apt-get", "echo no such mirror; exit 100")
    tool(tools, "sudo", '[ "$1" = -n ] && shift; exec "$@"')
    (tools / "true").symlink_to(shutil.which("true") or "/bin/true")
    status, _, stderr = launcher.call(PATH=str(tools))
    assert status == 2
    assert "no such mirror\nrunbook: apt-get could not install" in stderr
