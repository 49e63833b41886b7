"""The unit tests with the oldest libraries: how their environment is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runbook_lib.cli import test as command
from runbook_lib.errors import RequirementError, RunbookError

PYPROJECT = """
[project.optional-dependencies]
dask = ["distributed>=2025.1"]
dev = ["distributed>=2025.1", "pytest>=8", "types-PyYAML>=6"]
"""
LOCK = "# pinned\npytest==9.2.0 \\\n    --hash=sha256:00\ntypes-pyyaml==6.0.1\nsix==1.17.0\ndistributed==2026.8.0\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with what the command reads, and a PATH without any uv."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    return tmp_path


def uv(folder: Path, script: str) -> None:
    folder.mkdir(parents=True)
    (folder / "uv").write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo uv 0.13.8 && exit\n{script}\n')
    (folder / "uv").chmod(0o755)


def test_without_uv_it_says_what_is_missing(project: Path) -> None:
    with pytest.raises(RequirementError, match="the oldest libraries are chosen by uv, and there is none"):
        command.run_lowest(project, [])


def test_the_tools_are_those_of_the_lock_and_the_libraries_the_oldest(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv(project / ".venv.uv/bin", f'printf "%s\\n" "$@" > "{project}/asked"')
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr(command, "run_pytest", lambda *arguments: called.append(arguments) or 0)
    assert command.run_lowest(project, ["-x"]) == 0
    python = str(project / ".venv.lowest/bin/python")
    assert (project / "asked").read_text().splitlines() == [
        *("pip", "install", "--python", python, "--resolution", "lowest-direct", "--editable", f"{project}[dask]"),
        *("pytest==9.2.0", "types-pyyaml==6.0.1"),
    ]
    assert Path(python).resolve() == Path(sys.executable).resolve()
    ((folder, arguments, interpreter),) = called
    assert (folder, interpreter) == (project, python)
    named = ["tests/unit", *(f"--ignore={path}" for path in command.ABOUT_THE_LOCK), "-x"]
    assert arguments[-len(named) :] == named
    assert os.environ["PATH"].startswith(f"{project}/.venv.lowest/bin:")


def test_an_environment_that_cannot_be_made_is_told_with_the_command(project: Path) -> None:
    uv(project / "tools", "exit 2")
    with pytest.raises(RunbookError, match=r"the environment could not be made: \S+/uv pip install .*lowest-direct"):
        command.run_lowest(project, [])
