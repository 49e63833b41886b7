"""The launcher, run for real on a small project of its own kind: no package to fetch, but a whole environment.

No test asks a registry for anything: uv is the one of this project or of the machine, or it cannot be had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runbook_lib.bootstrap import usable_uv
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).resolve().parents[3]

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
