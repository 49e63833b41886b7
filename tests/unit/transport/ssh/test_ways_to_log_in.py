"""Logging in by the keys of a real ssh-agent, by password, and by several ways one after the other."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest

from runbook_lib.errors import ExitCode, InputError, UnreachableError
from tests.waiting import wait_until

if TYPE_CHECKING:
    from ..conftest import SshServer

PASSWORD = {"env": "LAB_PASSWORD"}

needs_agent = pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent and ssh-add")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running ssh-agent without keys: its socket."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        wait_until(path.exists, "the agent listens")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
        process.terminate()


def add(key_file: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key_file)], check=True)


def new_key(path: Path, *kind: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-f", str(path)], check=True)
    return path


@needs_agent
@pytest.mark.parametrize("kind", [["-t", "ed25519"], ["-t", "rsa", "-b", "2048"]])
def test_a_key_of_the_agent_opens_the_door(server: SshServer, agent: Path, tmp_path: Path, kind: list[str]) -> None:
    add(new_key(tmp_path / "other", "-t", "ed25519"))
    add(new_key(tmp_path / "right", *kind))
    server.client_key = paramiko.PKey.from_path(tmp_path / "right")
    with server.connection(key_file=None, agent=True) as ssh:
        assert ssh.run(["echo", "in"]).stdout == "in\n"
    assert server.attempts == ["publickey", "publickey"]


def test_no_agent_is_told_before_anything_is_sent(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with (
        server.connection(key_file=None, agent=True) as ssh,
        pytest.raises(InputError, match="needs a running ssh-agent, and SSH_AUTH_SOCK is not set") as caught,
    ):
        ssh.run(["true"])
    assert "ssh-add" in caught.value.remedy
    assert server.connections == 0


@needs_agent
def test_an_agent_without_keys_is_told_as_such(server: SshServer, agent: Path) -> None:
    with (
        server.connection(key_file=None, agent=True) as ssh,
        pytest.raises(InputError, match="the ssh-agent has no keys") as caught,
    ):
        ssh.run(["true"])
    assert caught.value.remedy == "add one: ssh-add KEY_FILE"
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert server.connections == 0


def test_an_agent_that_is_gone_and_one_that_hangs_are_told_in_time(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hanging"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    gone = "does not answer .No such file or directory."
    with server.connection(key_file=None, agent=True) as ssh, pytest.raises(InputError, match=gone):
        ssh.run(["true"])
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        connection = server.connection(key_file=None, agent=True, connect=0.5)
        with connection as ssh, pytest.raises(InputError, match=r"does not answer \(no answer within 0\.\d+ s\)"):
            ssh.run(["true"])


@needs_agent
def test_an_agent_whose_keys_are_all_refused_is_told_with_their_number(
    server: SshServer, agent: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        add(new_key(tmp_path / name, "-t", "ed25519"))
    with server.connection(key_file=None, agent=True) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert f"docker@127.0.0.1:{server.port} refuses all 2 keys of the ssh-agent" in str(caught.value)
    assert "ssh-add -l" in caught.value.remedy


@needs_agent
def test_an_agent_without_keys_is_passed_over_where_there_is_another_way(
    server: SshServer, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    server.logins = ["publickey", "password"]
    with server.connection(key_file=None, agent=True, password=PASSWORD) as ssh:
        ssh.run(["true"])
    monkeypatch.setenv("LAB_PASSWORD", "open Barley")
    with (
        server.connection(key_file=None, agent=True, password=PASSWORD) as ssh,
        pytest.raises(UnreachableError) as caught,
    ):
        ssh.run(["true"])
    assert "refuses the password in the variable LAB_PASSWORD; no key of an agent was tried" in str(caught.value)
    assert "Barley" not in str(caught.value)


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
def test_a_password_opens_the_door_and_a_wrong_one_is_told_as_such(
    server: SshServer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.logins = ["publickey", way]
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    with server.connection(key_file=None, password=PASSWORD) as ssh:
        ssh.run(["true"])
    assert server.attempts == [way]
    monkeypatch.setenv("LAB_PASSWORD", "open Barley")
    with server.connection(key_file=None, password=PASSWORD) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    said = str(caught.value)
    assert f"docker@127.0.0.1:{server.port} refuses the password in the variable LAB_PASSWORD\n" in said
    assert "PasswordAuthentication" in said
    assert "Barley" not in said


def test_a_server_that_takes_no_passwords_is_told_as_such(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    with server.connection(key_file=None, password=PASSWORD) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert "accepts no passwords, only publickey" in str(caught.value)


def test_a_password_is_tried_after_the_key_was_refused(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "other"))
    server.logins = ["publickey", "password"]
    with server.connection(key_file=str(tmp_path / "other"), password=PASSWORD) as ssh:
        ssh.run(["true"])
    assert server.attempts == ["publickey", "password"]


def test_a_server_that_wants_key_and_password_gets_both(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    server.logins, server.wants_all = ["publickey", "password"], True
    with server.connection(password=PASSWORD) as ssh:
        ssh.run(["true"])
    with server.connection() as ssh, pytest.raises(UnreachableError, match="wants more than one method to log in"):
        ssh.run(["true"])


@needs_agent
def test_a_server_that_hangs_up_after_many_keys_is_told_with_the_remedy(
    server: SshServer, agent: Path, tmp_path: Path
) -> None:
    # paramiko's server, as sshd after MaxAuthTries, ends a connection with many refused attempts: after ten
    for index in range(11):
        add(new_key(tmp_path / f"key{index}", "-t", "ed25519"))
    with server.connection(key_file=None, agent=True) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert "closed the connection after up to 11 refused attempts" in str(caught.value)
    assert "MaxAuthTries" in caught.value.remedy


def test_no_secret_of_a_login_is_in_the_line_to_paste(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", server.password)
    with server.connection(key_file=None, password=PASSWORD) as ssh:
        assert ssh.destination == (
            f"-o 'UserKnownHostsFile=\"{server.known_hosts}\"' -p {server.port} docker@127.0.0.1"
        )
    assert os.environ["LAB_PASSWORD"] == server.password
