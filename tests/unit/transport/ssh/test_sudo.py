"""Commands as root: the password that sudo reads is nobody else's input, and its refusals are told in a sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_lib.errors import CommandError, CommandTimeout, SudoError
from runbook_lib.model.inventory import SshAccess
from runbook_lib.transport.ssh import SshConnection
from runbook_lib.transport.ssh.shell import refusal, sudo_words

if TYPE_CHECKING:
    from ...conftest import Told
    from ..conftest import SshServer

SECRET = "open Sesame\\ $HOME"
WRONG = "open Barley"
PASSWORD = {"env": "LAB_SUDO"}


@pytest.fixture
def asks(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's sudo asks for a password, which is at hand: the file that holds it."""
    monkeypatch.setenv("LAB_SUDO", SECRET)
    path = server.folder / "bin/asks"
    path.write_text(SECRET)
    return path


def connection(server: SshServer, **more: float) -> SshConnection:
    return server.connection(sudo_password=PASSWORD, **more)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_command_gets_its_own_input_whether_sudo_asks_or_not(server: SshServer, asks: Path, wanted: bool) -> None:
    if not wanted:
        asks.unlink()
    data = b"first\nit's\n" + bytes(range(1, 128)) * 2000
    with connection(server) as ssh:
        assert ssh.run(["cat"], sudo=True, stdin=data).stdout.encode() == data
        assert ssh.run(["cat"], sudo=True).stdout == ""
        assert ssh.run(["sh", "-c", 'echo "$RAN_AS_ROOT $1"', "sh", "a  b"], sudo=True).stdout == "yes a  b\n"
        assert ssh.script('echo "$1"; cat', "x", sudo=True).stdout == "x\n"
        assert ssh.read_file(str(server.key_file), sudo=True) == server.key_file.read_bytes()
        assert ssh.sudo_takes_the_password
        channel = ssh.stream(["cat"], sudo=True)
        channel.sendall(b"streamed")
        channel.shutdown_write()
        assert channel.makefile("r").read() == b"streamed"
        channel.close()


def test_the_password_is_in_no_argument_no_journal_and_no_error(server: SshServer, asks: Path, told: Told) -> None:
    with connection(server) as ssh:
        with pytest.raises(CommandError) as caught:
            ssh.run(["grep", "x"], sudo=True, stdin=b"y")
        with pytest.raises(CommandTimeout) as late:
            ssh.run(["sleep", "60"], sudo=True, timeout=0.5)
    calls = told.calls()
    assert [call.argv for call in calls] == [
        ("sudo", "-S", "-p", "", "--", "true"),
        ("sudo", "-S", "-p", "", "--", "grep", "x"),
        ("sudo", "-S", "-p", "", "--", "sleep", "60"),
    ]
    assert "Sesame" not in "".join(map(str, [*calls, *server.commands, caught.value, late.value]))
    assert caught.value.paste == (
        "{ printf '%s\\n' \"$LAB_SUDO\"; printf %s y; } | "
        f"ssh {ssh.destination} -- 'sudo -S -p '\"'\"''\"'\"' -- grep x'"
    )


def test_a_wrong_password_is_given_once_and_told_in_a_sentence(
    server: SshServer, asks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SUDO", WRONG)
    with connection(server) as ssh:
        for _ in range(3):
            with pytest.raises(SudoError) as caught:
                ssh.run(["cat"], sudo=True, stdin=b"its own input\nof two lines\n")
        assert caught.value.message == "sudo refuses the password in the variable LAB_SUDO for docker"
        assert "ssh.sudo_password" in caught.value.remedy
        with pytest.raises(SudoError):
            ssh.stream(["cat"], sudo=True)
        with pytest.raises(SudoError):
            ssh.read_file("/etc/shadow", sudo=True)
        assert not ssh.sudo_takes_the_password
        unchecked = ssh.run(["true"], sudo=True, check=False)
        assert (unchecked.exit_status, unchecked.argv[-1]) == (1, "true")
    assert (server.folder / "bin/wrong").read_text() == f"{WRONG}\n"
    assert "Barley" not in f"{caught.value}{caught.value.paste}"


def test_a_password_that_the_inventory_does_not_name_is_asked_for_in_a_sentence(server: SshServer, asks: Path) -> None:
    with server.connection() as ssh, pytest.raises(SudoError) as caught:
        ssh.run(["true"], sudo=True)
    assert caught.value.message == "sudo asks docker for a password, but the inventory has none"
    assert "sudo_password: {env: VARIABLE}" in caught.value.remedy


def test_a_command_of_its_own_that_fails_is_no_refusal(server: SshServer, asks: Path) -> None:
    with connection(server) as ssh, pytest.raises(CommandError) as caught:
        ssh.run(["sh", "-c", "echo 'a password is required' >&2; exit 1"], sudo=True)
    assert not isinstance(caught.value, SudoError)
    assert caught.value.exit_status == 1


ACCESS = {"host": "h", "known_hosts": "k", "agent": True, "user": "jo", "sudo_password": PASSWORD}
# What sudo 1.9 says, and sudo-rs where it says something else.
SAYINGS = {
    "jo is not in the sudoers file.\n": "jo has no sudo right on the node",
    "Sorry, user jo is not allowed to execute '/bin/true' as root on n1.\n": "jo has no sudo right on the node",
    "jo is not allowed to run sudo on n1.\n": "jo has no sudo right on the node",
    "Sorry, user jo may not run sudo on n1.\n": "jo has no sudo right on the node",
    "sudo: I'm sorry jo. I'm afraid I can't do that\n": "jo has no sudo right on the node",
    "Sorry, try again.\nsudo: 1 incorrect password attempt\n": "sudo refuses the password",
    "sudo: a password is required\n": "sudo asks jo for a password",
    "sudo: interactive authentication is required\n": "sudo asks jo for a password",
    "sudo: sorry, you must have a tty to run sudo\n": "sudo requires a terminal there (requiretty)",
    "sh: 1: sudo: not found\n": "sudo is not installed on the node",
}


# What sudo 1.9 says in German and in Chinese to somebody who must give a password and was not asked for one.
FOREIGN = ("sudo: Ein Passwort ist notwendig", "sudo: 需要密码")


@pytest.mark.parametrize("said", SAYINGS)
def test_every_refusal_of_sudo_is_understood(said: str) -> None:
    found = refusal(said, SshAccess.model_validate(ACCESS))
    assert found[0].startswith(SAYINGS[said])
    assert found[1]


@pytest.mark.parametrize("words", FOREIGN)
def test_a_refusal_in_a_language_that_nobody_knows_here_is_one_all_the_same_and_told_in_its_words(
    server: SshServer, words: str
) -> None:
    (server.folder / "bin/sudo").write_text(f"#!/bin/sh\nprintf '%s\\n' '{words}' >&2\nexit 1\n")
    with server.connection() as ssh:
        with pytest.raises(SudoError) as caught:
            ssh.run(["id"], sudo=True)
        with pytest.raises(SudoError) as streamed:
            ssh.stream(["id"], sudo=True)
        with pytest.raises(SudoError):
            ssh.read_file("/etc/shadow", sudo=True)
        unchecked = ssh.run(["id"], sudo=True, check=False)
    assert caught.value.message == streamed.value.message
    assert caught.value.message == f"sudo did not run the command for docker: it says {words}"
    assert (unchecked.refused, unchecked.exit_status, unchecked.stderr) == (True, 1, f"{words}\n")


def test_words_of_sudos_that_a_command_says_are_no_refusal(server: SshServer) -> None:
    said = "sudo: a password is required; jo is not in the sudoers file"
    with server.connection() as ssh, pytest.raises(CommandError) as caught:
        ssh.run(["sh", "-c", 'echo "$1" >&2; exit 1', "sh", said], sudo=True)
    assert not isinstance(caught.value, SudoError)
    assert caught.value.stderr_tail == said


def test_the_line_to_paste_finds_a_password_in_a_file(server: SshServer, asks: Path, tmp_path: Path) -> None:
    path = tmp_path / "it's"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    with server.connection(sudo_password={"file": str(path)}) as ssh, pytest.raises(CommandError) as caught:
        ssh.run(["false"], sudo=True)
    first = caught.value.paste.split(" | ", 1)[0]
    printed = subprocess.run(["sh", "-c", first], capture_output=True, text=True, check=True)
    assert printed.stdout == f"{SECRET}\n"


@pytest.mark.parametrize(
    "said",
    ["sudo: a password is required\n", "Sorry, user jo is not allowed to execute '/bin/sh -c x' as root on n1.\n"],
)
def test_who_may_run_single_programs_only_is_told_what_sudo_must_allow(said: str) -> None:
    _, remedy = refusal(said, SshAccess.model_validate(ACCESS))
    assert "it must allow /bin/sh, which every command goes through" in remedy


def test_root_needs_no_sudo() -> None:
    assert sudo_words(SshAccess.model_validate(ACCESS | {"user": "root"})) == ()
