"""How a plain user's command becomes root's, told with a sudo that shows what it was asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.cli.privileges import asks_for_help

SCRIPT = """
import os, sys
os.geteuid = lambda: {user}
sys.argv = ["runbook", "testbed", "up", "--name", "a b"]
from runbook_lib import cli
from runbook_lib.cli.privileges import become_root
try:
    become_root({secrets})
except Exception as error:
    sys.exit(str(error))
print("still here")
"""


def call(tools: Path, *, user: int, secrets: str = "()") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(user=user, secrets=secrets)],
        env={"PATH": str(tools), "OVERLAY_RUNBOOK_STATE": "/some/where", "SECRET": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def sudo(tools: Path, text: str) -> None:
    (tools / "sudo").write_text(f"#!{os.path.realpath('/bin/sh')}\n{text}\n")
    (tools / "sudo").chmod(0o755)


def test_root_goes_on_as_it_is(tmp_path: Path) -> None:
    assert call(tmp_path, user=0).stdout == "still here\n"


def test_a_user_with_sudo_continues_the_same_command_as_root(tmp_path: Path) -> None:
    sudo(tmp_path, '[ "$1" = -n ] || printf "%s\\n" "$@"')
    done = call(tmp_path, user=1000)
    assert done.stderr == "runbook: the testbed needs root: continuing with sudo\n"
    words = done.stdout.splitlines()
    assert words == [
        "env",
        f"PATH={tmp_path}",
        "OVERLAY_RUNBOOK_STATE=/some/where",
        *[sys.executable, "-P", "-m", "runbook_lib", "testbed", "up", "--name", "a b"],
    ]


def test_secrets_are_handed_over_by_name_and_stand_on_no_command_line(tmp_path: Path) -> None:
    sudo(tmp_path, '[ "$1" = -n ] || printf "%s\\n" "$@"')
    done = call(tmp_path, user=1000, secrets="['SECRET', 'UNSET']")
    assert done.stdout.splitlines()[:2] == ["--preserve-env=SECRET", "env"]
    assert "SECRET=1" not in done.stdout


def test_a_user_without_sudo_is_told_the_line_for_root(tmp_path: Path) -> None:
    done = call(tmp_path, user=1000)
    assert done.returncode == 1
    assert "the testbed needs root, and sudo is not installed" in done.stderr
    assert "remedy: as root: ./runbook testbed up --name 'a b'" in done.stderr


def test_a_sudo_that_would_ask_nobody_does_not_hang_a_headless_run(tmp_path: Path) -> None:
    sudo(tmp_path, '[ "$1" = -n ] && exit 1; sleep 60')
    assert "the testbed needs root, and sudo is not installed" in call(tmp_path, user=1000).stderr


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("testbed up --help", True),
        ("testbed -h", True),
        ("testbed up", False),
        ("testbed ssh node1 -- ls --help", False),
    ],
)
def test_help_needs_no_root(line: str, asks: bool) -> None:
    assert asks_for_help(line.split()) is asks
