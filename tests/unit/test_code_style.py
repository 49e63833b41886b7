"""The code's style and types are part of the one test command; the tools keep their caches from run to run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
LONGEST_MODULE = 400
# SC2154: a DHCP client and the testbed tell a node's scripts things in the environment, which shellcheck cannot see.
SHELLCHECK = ["shellcheck", "--severity=warning", "--exclude=SC2154"]


def shell_scripts(*, with_shebang: bool) -> list[str]:
    """Scripts that say what runs them, or those that are sent to a node, whose shell is busybox's."""
    files = [PROJECT / "runbook", PROJECT / ".ci/run", *(PROJECT / "runbook_lib").rglob("files/**/*")]
    starts = {file: file.read_bytes()[:2] for file in files if file.is_file()}
    if with_shebang:
        return [str(file) for file, start in starts.items() if start == b"#!"]
    return [str(file) for file, start in starts.items() if start != b"#!" and file.suffix == ".sh"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="ruff check"),
        pytest.param(["ruff", "format", "--check", "."], id="ruff format"),
        pytest.param(["mypy"], id="mypy"),
        pytest.param([*SHELLCHECK, *shell_scripts(with_shebang=True)], id="shellcheck"),
        pytest.param(
            [*SHELLCHECK, "--shell=busybox", *shell_scripts(with_shebang=False)], id="shellcheck on a node's scripts"
        ),
    ],
)
def test_the_code_passes(command: list[str]) -> None:
    result = subprocess.run([TOOLS / command[0], *command[1:]], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_is_longer_than_a_person_keeps_in_mind() -> None:
    modules = [*(PROJECT / "runbook_lib").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    lengths = {str(module.relative_to(PROJECT)): len(module.read_text().splitlines()) for module in modules}
    assert {module: length for module, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_folder_has_more_modules_than_a_person_keeps_in_mind() -> None:
    folders = Counter(file.parent.relative_to(PROJECT) for file in (PROJECT / "runbook_lib").rglob("*.py"))
    assert {str(folder): number for folder, number in folders.items() if number > 15} == {}
