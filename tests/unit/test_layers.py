"""import-linter holds the layers, and would notice if one were broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    shutil.copytree(PROJECT / "runbook_lib", tmp_path / "runbook_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_keep_to_the_layers() -> None:
    result = lint(PROJECT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("model/results.py", "import runbook_lib.transport.ssh", "Imports point downward only"),
        ("facts/docker/engine.py", "import runbook_lib.testbed", "does not know the testbed"),
        ("cluster.py", "import paramiko", "paramiko belongs to transport.ssh"),
        ("cluster.py", "import docker", "docker belongs to transport.docker"),
        ("session/session.py", "import papermill", "papermill belongs to execute"),
        ("records/writer.py", "import fsspec", "Each library of the archive has one owner"),
    ],
)
def test_an_import_against_the_layers_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    file = copy / "runbook_lib" / module
    file.write_text(f"{file.read_text()}\n{line}\n")
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(contract in shown and "BROKEN" in shown for shown in result.stdout.splitlines()), result.stdout
