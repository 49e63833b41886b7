"""Every command and every file is told to the journal, as the record of a run shows them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_lib.errors import CommandError, CommandTimeout, UnreachableError
from runbook_lib.transport.ssh import SshConnection

if TYPE_CHECKING:
    from ...conftest import Told
    from ..conftest import SshServer


def test_a_command_is_told_with_its_words_and_its_exit_status(ssh: SshConnection, told: Told) -> None:
    started = time.monotonic()
    ssh.run(["echo", "a b"], sudo=True)
    with pytest.raises(CommandError):
        ssh.run(["sh", "-c", "exit 3"])
    ssh.run(["false"], check=False)
    seconds = time.monotonic() - started
    calls = told.calls()
    assert [(call.node, call.via, call.argv, call.status, call.error) for call in calls] == [
        ("node1", "ssh", ("sudo", "-n", "--", "echo", "a b"), 0, ""),
        ("node1", "ssh", ("sh", "-c", "exit 3"), 3, ""),
        ("node1", "ssh", ("false",), 1, ""),
    ]
    assert all(call.seconds > 0 for call in calls)
    assert sum(call.seconds for call in calls) <= seconds + 0.001  # they are rounded


def test_a_script_is_told_as_it_is_and_not_as_it_gets_there(ssh: SshConnection, told: Told) -> None:
    ssh.script("echo $1\nexit 4", "word", check=False)
    (call,) = told.calls()
    assert (call.argv, call.status) == (("sh", "-c", "echo $1\nexit 4", "sh", "word"), 4)


def test_a_command_without_an_exit_status_is_told_with_the_reason(server: SshServer, told: Told) -> None:
    with server.connection() as ssh:
        ssh.transport()
        with pytest.raises(CommandTimeout):
            ssh.run(["sleep", "60"], timeout=0.5)
    server.stop()
    with server.connection(connect=0.5) as ssh, pytest.raises(UnreachableError):
        ssh.run(["true"])
    late, unreachable = told.calls()
    assert (late.status, late.error.split(":")[0]) == (None, "CommandTimeout")
    assert (unreachable.status, unreachable.error.split(":")[0]) == (None, "UnreachableError")


def test_files_are_told_too(ssh: SshConnection, told: Told, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    assert ssh.read_file(f"{tmp_path}/there") == b"x"
    assert ssh.read_file(f"{tmp_path}/nowhere") is None
    ssh.write_file(f"{tmp_path}/new", b"y")
    read, missing, sent = told.calls()
    assert (read.argv[-1], read.status) == (f"{tmp_path}/there", 0)
    assert (missing.argv[-1], missing.status) == (f"{tmp_path}/nowhere", 66)
    assert f"{tmp_path}/new" in sent.argv
    assert sent.status == 0


def test_a_command_that_was_started_and_goes_on_is_told_once(ssh: SshConnection, told: Told) -> None:
    ssh.stream(["cat"]).close()
    (call,) = told.calls()
    assert (call.argv, call.status, call.error) == (("cat",), None, "")
