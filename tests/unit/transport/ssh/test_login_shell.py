"""A node's login shell that prints, changes what commands find, reads their input, waits or ends before they begin."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_lib.errors import CommandError, NodeError
from runbook_lib.transport.ssh import SshConnection, connection
from runbook_lib.transport.ssh.shell import Stage, passage

if TYPE_CHECKING:
    from ..conftest import SshServer

NOISE = """\
echo hi
printf 'Willkommen, Nutzer! \\303'
echo 'stty: standard input: Inappropriate ioctl for device' >&2
cd /usr
export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LANGUAGE=de PATH="$HOME/bin:/usr/bin:/bin"
export http_proxy=http://10.255.255.1:3128 HTTPS_PROXY=http://10.255.255.1:3128 ALL_PROXY=socks5://10.255.255.1:1080
export DOCKER_HOST=tcp://10.255.255.1:2376 DOCKER_TLS_VERIFY=1 DOCKER_CONTEXT=elsewhere
alias sh='echo no' cat='echo no'
set -eu -o noclobber
"""
BYTES = bytes(range(256)) * 1000


@pytest.fixture
def noisy(server: SshServer) -> SshServer:
    """A server whose login shell says and sets all of this."""
    server.at_login(NOISE)
    said = subprocess.run(["bash", "-c", "true"], env=server.environment, capture_output=True, cwd=server.folder)
    assert said.stdout.startswith(b"hi\nWillkommen"), "this bash does not read ~/.bashrc for sshd"
    return server


@pytest.mark.parametrize("sudo", [False, True])
def test_what_a_login_shell_prints_and_sets_reaches_no_command_and_no_file(noisy: SshServer, sudo: bool) -> None:
    path = str(noisy.folder / "file")
    with noisy.connection() as ssh:
        result = ssh.run(["sh", "-c", "echo out; echo err >&2; exit 3"], sudo=sudo, check=False)
        assert (result.exit_status, result.stdout, result.stderr) == (3, "out\n", "err\n")
        assert ssh.run(["cat"], stdin=BYTES, sudo=sudo).raw == BYTES
        assert ssh.script('cat; echo "$1"', "it's", sudo=sudo).stdout == "it's\n"
        ssh.write_file(path, BYTES, mode=0o600)
        ssh.write_file(path, BYTES[::-1], mode=0o755, backup=f"{path}.orig")
        assert ssh.read_file(path, sudo=sudo) == BYTES[::-1]
        assert ssh.read_file(f"{path}.orig", sudo=sudo) == BYTES
        assert ssh.read_file(f"{path}.nowhere", sudo=sudo) is None
        channel = ssh.stream(["cat"], sudo=sudo)
        channel.sendall(b"streamed")
        channel.shutdown_write()
        assert channel.makefile("rb").read() == b"streamed"
        channel.close()
        found = dict(line.split("=", 1) for line in ssh.run(["env"], sudo=sudo).stdout.splitlines())
        here = ssh.run(["pwd"], sudo=sudo).stdout
    assert not [name for name in found if "proxy" in name.lower()]
    assert (found["LC_ALL"], found["DOCKER_CONTEXT"], here) == ("C", "default", f"{noisy.folder}\n")
    assert not {"DOCKER_HOST", "DOCKER_TLS_VERIFY", "LANGUAGE"} & set(found)
    assert {"/usr/sbin", "/sbin", "/usr/local/bin"} <= set(found["PATH"].split(":"))


def test_an_engine_of_the_nodes_user_behind_a_socket_stays_the_one_that_is_asked(noisy: SshServer) -> None:
    noisy.at_login("export DOCKER_HOST=unix:///run/user/1000/docker.sock\n")
    with noisy.connection() as ssh:
        assert ssh.run(["sh", "-c", "echo $DOCKER_HOST"]).stdout == "unix:///run/user/1000/docker.sock\n"


@pytest.mark.parametrize(
    ("text", "why", "remedy"),
    [
        (
            "echo 'closed today' >&2; exit 3",
            r"ended \(exit status 3\) without starting the command; it says: closed today",
            "look for 'exit'",
        ),
        ("exit", r"ended \(exit status 0\) without starting the command\n", "ForceCommand"),
        ("exec >/dev/null", "without starting the command", "look for 'exit', 'exec'"),
        ("read -r line; cat >/dev/null", "reads the input of the command that it is to begin", "standard input"),
    ],
)
def test_a_login_shell_that_lets_no_command_begin_is_named_with_what_it_says(
    server: SshServer, text: str, why: str, remedy: str
) -> None:
    server.at_login(text)
    with server.connection() as ssh:
        calls = [
            lambda: ssh.run(["cat"], stdin=b"one\ntwo\n", check=False),
            lambda: ssh.script("true", check=False),
            lambda: ssh.write_file(str(server.folder / "file"), b"x"),
        ]
        if "read" not in text:  # without an input there is nothing to take away
            calls += [lambda: ssh.stream(["true"]), lambda: ssh.read_file("/etc/passwd")]
        for call in calls:
            with pytest.raises(NodeError, match=why) as caught:
                call()
            assert caught.value.message.startswith("the login shell of docker ")
            assert remedy in caught.value.remedy
            assert f"ssh {ssh.destination} true" in caught.value.remedy
    assert (server.folder / "file").exists() is text.startswith("exec")  # there the command ran, and nobody heard of it


def test_a_login_shell_that_waits_is_named_long_before_the_command_would_be_given_up(
    server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SHELL_SECONDS", 0.5)
    server.at_login("echo 'choose a desktop:'; sleep 120")
    with server.opened(connect=0.5) as ssh:
        for call in (lambda: ssh.run(["true"]), lambda: ssh.stream(["true"])):
            with pytest.raises(NodeError, match="has not begun the command yet; it says: choose a desktop:"):
                call()


def test_a_silent_login_shell_has_as_long_as_its_command_for_its_node_may_be_busy(
    server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SHELL_SECONDS", 0.1)
    server.at_login("sleep 1.5")
    with server.opened(connect=0.5) as ssh:
        assert ssh.run(["cat"], stdin=b"mine").stdout == "mine"
        assert ssh.run(["cat"], sudo=True).stdout == ""
        channel = ssh.stream(["echo", "begun"])
        assert channel.makefile("r").read() == b"begun\n"
        channel.close()


def test_a_login_shell_that_stays_silent_to_the_end_is_named_and_not_the_command(
    server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SHELL_SECONDS", 0.1)
    server.at_login("sleep 60")
    with server.opened(connect=0.1, command=1.5) as ssh:
        for call in (lambda: ssh.run(["true"]), lambda: ssh.stream(["true"])):
            with pytest.raises(NodeError, match="has not begun the command yet, and says nothing") as caught:
                call()
            assert caught.value.remedy.startswith("check the node's load")


def test_a_sudo_that_waits_is_named_with_its_own_words(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_SHELL_SECONDS", 0.1)
    sudo = server.folder / "bin/sudo"
    sudo.write_text("#!/bin/sh\necho 'touch your key' >&2\nsleep 60\n")
    server.at_login("echo hello")
    with server.opened(connect=1) as ssh:
        with pytest.raises(NodeError, match="sudo has not begun the command yet; it says: touch your key"):
            ssh.stream(["true"], sudo=True)
        sudo.write_text('#!/bin/sh\nsleep 1.5\nshift 2\nexec "$@"\n')
        ssh.stream(["true"], sudo=True).close()  # a silent one is waited for, whatever the login shell has said


def test_a_file_whose_content_did_not_come_whole_is_not_put_in_place(ssh: SshConnection, tmp_path: Path) -> None:
    path = tmp_path / "place/boot.sh"
    path.parent.mkdir()
    path.write_text("old")
    words = ("sh", "-c", connection._WRITE, "sh", "10", str(path), "0755", "")
    with pytest.raises(CommandError, match="only 5 of 10 bytes came"):
        ssh.run(words, sudo=True, stdin=b"short")
    assert [(item.name, item.read_text()) for item in path.parent.iterdir()] == [("boot.sh", "old")]


def test_the_line_is_plain_to_every_shell_whatever_the_command_is() -> None:
    # Within single quotes csh has '!' and the end of a line, fish the backslash, for itself.
    line = passage(["sh", "-c", "echo 'a!b' \\ \n é", "\t"], sudo=("sudo", "-n", "--"), has_input=True).line
    begin = """exec /bin/sh -c 'eval "$(printf %b "$1")"' sh '"""
    assert line.startswith(begin)
    assert re.fullmatch(r"(?:[^\x00-\x1f\x7f-\uffff!'\\]|\\0[0-7]{3})+'", line.removeprefix(begin))


def test_what_comes_in_pieces_out_of_order_or_together_is_told_apart() -> None:
    way = passage(["true"], sudo=("sudo", "-n", "--"))
    shell, root = way.token(Stage.LOGIN_SHELL), way.token(Stage.SUDO)
    errors = way.token(Stage.LOGIN_SHELL, "err"), way.token(Stage.SUDO, "err")
    joined = way.arrived(b"hi " + errors[0] + shell + errors[1] + root + b"out", b"")  # 'exec 2>&1' in ~/.bashrc
    assert (joined.stage, joined.stdout, joined.stderr) == (Stage.BEGUN, b"out", b"")
    refused = way.arrived(b"hi " + shell, b"noise " + errors[0] + b"sudo: no")
    assert (refused.stage, refused.stderr, refused.said) == (Stage.SUDO, b"sudo: no", "hi noise")
    nothing = way.arrived(b"hi", b"there")
    assert (nothing.stage, nothing.said) == (Stage.LOGIN_SHELL, "hi there")
