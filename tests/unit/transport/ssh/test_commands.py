"""Commands over one kept connection: arguments, streams, time limits and deaths, against a real SSH server."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import paramiko
import pytest

from runbook_lib.errors import CommandError, CommandTimeout, NodeError, UnreachableError
from runbook_lib.transport.ssh import SshConnection
from runbook_lib.transport.ssh.channel import close
from tests.waiting import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from ..conftest import Held, SshServer

MEGABYTE = 1_000_000


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_nothing_is_connected_before_the_first_use(server: SshServer) -> None:
    with server.connection():
        pass
    assert server.connections == 0


def test_commands_files_and_streams_share_one_connection(server: SshServer, ssh: SshConnection) -> None:
    path = str(server.folder / "file")
    for _ in range(3):
        ssh.run(["true"])
    ssh.write_file(path, b"content")
    assert ssh.read_file(path) == b"content"
    channel = ssh.stream(["cat"])
    channel.sendall(b"through")
    channel.shutdown_write()
    assert channel.makefile("rb").read() == b"through"
    channel.close()
    assert server.connections == 1


def test_a_result_says_who_ran_what_and_how_it_ended(ssh: SshConnection) -> None:
    started = time.monotonic()
    result = ssh.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    seconds = time.monotonic() - started
    assert (result.node, result.exit_status, result.stdout, result.stderr) == ("node1", 3, "out\n", "err\n")
    assert result.argv == ("sh", "-c", "echo out; echo err >&2; exit 3")
    assert 0 < result.seconds <= seconds


@pytest.mark.parametrize(
    "argument",
    ["", " ", "it's", 'say "x"', "a\nb", "$HOME", "`id`", "*", "~", "-n", "--", "é→🐋", "a;b|c&d>e", "\\", "A=b", "!x"],
)
def test_an_argument_arrives_as_it_was_given(ssh: SshConnection, argument: str) -> None:
    script = 'for word; do printf "<%s>" "$word"; done'
    assert ssh.run(["sh", "-c", script, "sh", argument, "end"]).stdout == f"<{argument}><end>"
    assert ssh.script(script, argument, "end").stdout == f"<{argument}><end>"
    assert ssh.run(["sh", "-c", script, "sh", argument], sudo=True).stdout == f"<{argument}>"


def test_a_first_word_is_a_command_and_never_an_assignment(ssh: SshConnection) -> None:
    assert ssh.run(["A=b"], check=False).exit_status == 127


@pytest.mark.parametrize("argv", [[], ["a\0b"]])
def test_what_is_no_command_is_refused_before_anything_is_sent(server: SshServer, argv: list[str]) -> None:
    with server.connection() as ssh, pytest.raises(ValueError, match="not a command"):
        ssh.run(argv)
    assert server.connections == 0


def test_sudo_asks_for_no_password_and_takes_no_option_from_the_command(ssh: SshConnection) -> None:
    assert ssh.run(["sh", "-c", "echo $RAN_AS_ROOT"], sudo=True).stdout == "yes\n"


def test_much_output_on_both_streams_at_once_is_all_there(ssh: SshConnection) -> None:
    script = "head -c 5000000 /dev/zero & head -c 5000000 /dev/zero >&2; wait"
    result = ssh.run(["sh", "-c", script])
    assert (len(result.stdout), len(result.stderr)) == (5 * MEGABYTE, 5 * MEGABYTE)


def test_input_larger_than_the_window_flows_while_output_flows_back(ssh: SshConnection) -> None:
    # 'cat' stops reading as soon as nobody reads from it: feeding first and reading later would never end.
    data = os.urandom(4 * MEGABYTE).hex().encode()
    assert ssh.run(["cat"], stdin=data).stdout.encode() == data


def test_a_command_need_not_read_its_input(ssh: SshConnection) -> None:
    data = b"x" * (8 * MEGABYTE)
    assert ssh.run(["true"], stdin=data).exit_status == 0
    assert ssh.run(["head", "-c", "5"], stdin=data).stdout == "xxxxx"


def test_a_command_without_input_finds_it_empty(ssh: SshConnection) -> None:
    assert ssh.run(["cat"]).stdout == ""


def test_a_script_takes_arguments_and_its_commands_cannot_swallow_the_rest_of_it(ssh: SshConnection) -> None:
    assert ssh.script('cat; read -r line; echo "$1-$2-$#"', "a b", "c").stdout == "a b-c-2\n"
    with pytest.raises(CommandError, match="exit status 4"):
        ssh.script("exit 4")
    assert ssh.script("set -e; false; echo reached", check=False).exit_status == 1


def test_bytes_that_are_no_text_are_replaced_and_do_not_fail(ssh: SshConnection) -> None:
    assert ssh.run(["printf", r"\377ok"]).stdout == "\ufffdok"


def test_a_failure_is_an_error_with_the_end_of_the_output(ssh: SshConnection) -> None:
    with pytest.raises(CommandError) as caught:
        ssh.run(["sh", "-c", "echo out; echo why >&2; exit 7"])
    error = caught.value
    assert (error.node, error.exit_status, error.stdout_tail, error.stderr_tail) == ("node1", 7, "out", "why")
    assert "exit status 7" in str(error)
    assert "  | why" in str(error)


def test_a_command_that_a_signal_ends_is_told_from_a_node_that_went_away(server: SshServer, ssh: SshConnection) -> None:
    with pytest.raises(CommandError, match="ended by a signal") as caught:
        ssh.run(["sh", "-c", "kill -9 $$"], check=False)
    assert caught.value.exit_status is None
    ssh.run(["true"])
    assert server.connections == 1


def test_a_command_that_does_not_end_in_time_is_an_error_and_leaves_no_channel(ssh: SshConnection, held: Held) -> None:
    ssh.run(["true"])
    before = open_descriptors()
    with pytest.raises(CommandTimeout, match=r"no end after 0.3 s, it may still be running there") as caught:
        ssh.run(held.argv, timeout=0.3)
    held.let_go()  # only now: nobody has waited for it
    assert caught.value.exit_status is None
    wait_until(lambda: open_descriptors() <= before)
    assert ssh.run(["echo", "again"]).stdout == "again\n"


def test_an_output_without_end_runs_into_the_time_limit(ssh: SshConnection) -> None:
    ssh.run(["true"])
    with pytest.raises(CommandTimeout):
        ssh.run(["yes"], timeout=0.5)


def test_a_command_goes_on_when_it_closed_its_outputs_and_waiting_for_it_costs_nothing(
    server: SshServer, ssh: SshConnection
) -> None:
    server.eof_before_status = True
    started = time.thread_time()
    assert ssh.run(["sh", "-c", "exec >&- 2>&-; sleep 1; exit 5"], check=False).exit_status == 5
    assert time.thread_time() - started < 0.2


def test_a_hundred_commands_leave_nothing_open(ssh: SshConnection) -> None:
    ssh.run(["true"])
    before = open_descriptors(), threading.active_count()
    for _ in range(100):
        ssh.run(["true"])
    wait_until(lambda: (open_descriptors(), threading.active_count()) <= before)


def test_closing_leaves_no_socket_and_no_thread(server: SshServer) -> None:
    before = open_descriptors(), threading.active_count()
    ssh = server.connection()
    ssh.run(["true"])
    ssh.close()
    ssh.close()
    wait_until(lambda: not any(client.is_alive() for client in server.clients))
    server.clients.clear()
    wait_until(lambda: (open_descriptors(), threading.active_count()) <= before)


def test_a_closed_connection_opens_again_at_the_next_use(server: SshServer, ssh: SshConnection) -> None:
    ssh.run(["true"])
    ssh.close()
    ssh.run(["true"])
    assert server.connections == 2


def test_a_node_that_went_away_and_came_back_is_connected_again(server: SshServer, ssh: SshConnection) -> None:
    ssh.run(["true"])
    server.restart()
    assert ssh.run(["echo", "back"]).stdout == "back\n"
    assert server.connections == 2


def test_a_node_that_stays_away_is_unreachable(server: SshServer, ssh: SshConnection) -> None:
    ssh.run(["true"])
    server.stop()
    with pytest.raises(UnreachableError, match=r"no SSH connection to docker@127.0.0.1:\d+ \(Connection refused\)"):
        ssh.run(["true"])


def test_a_node_that_dies_in_the_middle_of_a_command_is_unreachable_at_once(
    server: SshServer, ssh: SshConnection, held: Held
) -> None:
    with ThreadPoolExecutor() as pool:
        command = pool.submit(ssh.run, held.argv, timeout=1e6)
        held.wait_until_begun()
        server.stop()
        with pytest.raises(UnreachableError, match="the connection closed before 'sh' ended") as caught:
            command.result(PATIENCE_SECONDS)
    assert caught.value.node == "node1"


def test_closing_what_died_already_is_no_fault_of_its_own(ssh: SshConnection) -> None:
    # Between the death of the socket and paramiko's noticing it, closing a channel raises EOFError.
    channel = ssh.stream(["sleep", "1"])
    ssh.transport().packetizer.close()
    with pytest.raises(EOFError):
        channel.send(b"x")
    close(channel)


def test_closing_from_another_thread_ends_a_command(ssh: SshConnection, held: Held) -> None:
    with ThreadPoolExecutor() as pool:
        command = pool.submit(ssh.run, held.argv, timeout=1e6)
        held.wait_until_begun()
        ssh.close()
        with pytest.raises(UnreachableError):
            command.result(PATIENCE_SECONDS)


def test_an_error_of_an_old_connection_does_not_close_the_new_one(
    server: SshServer, ssh: SshConnection, held: Held
) -> None:
    with ThreadPoolExecutor() as pool:
        old = pool.submit(ssh.run, held.argv)
        held.wait_until_begun()
        ssh.close()
        new = ssh.run(["sh", "-c", "sleep 0.5; echo new"])
        assert isinstance(old.exception(PATIENCE_SECONDS), UnreachableError)
    assert new.stdout == "new\n"
    assert server.connections == 2


def test_eight_threads_share_one_connection(server: SshServer, ssh: SshConnection) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda index: ssh.run(["sh", "-c", f"sleep 0.1; echo {index}"]), range(40)))
    assert [result.stdout for result in results] == [f"{index}\n" for index in range(40)]
    assert server.connections == 1


def test_more_threads_than_the_server_has_sessions_wait_their_turn(server: SshServer, ssh: SshConnection) -> None:
    server.max_sessions = 2
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda index: ssh.run(["sh", "-c", f"sleep 0.1; echo {index}"]), range(8)))
    assert [result.stdout for result in results] == [f"{index}\n" for index in range(8)]
    assert server.connections == 1


def test_a_server_that_opens_no_session_at_all_is_named(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.max_sessions = 0
    open_session = paramiko.Transport.open_session

    def answered(transport: paramiko.Transport, timeout: float) -> paramiko.Channel:
        return open_session(transport, timeout=PATIENCE_SECONDS)  # a server may be slow to refuse

    monkeypatch.setattr(paramiko.Transport, "open_session", answered)
    with server.opened(connect=0.5) as ssh, pytest.raises(NodeError, match="sshd opens no further session"):
        ssh.run(["true"])


def test_a_server_that_refuses_commands_is_not_called_unreachable(server: SshServer, ssh: SshConnection) -> None:
    server.refuse_commands = True
    with pytest.raises(NodeError, match="sshd refuses to run a command") as caught:
        ssh.run(["true"])
    assert not isinstance(caught.value, UnreachableError)


def test_a_connection_that_ends_as_a_command_is_sent_refuses_nothing_though_paramiko_still_calls_it_active(
    ssh: SshConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(channel: paramiko.Channel, command: str) -> None:
        assert channel.get_transport().is_active()
        raise EOFError  # what paramiko's thread keeps when it has read the end, just before it calls itself inactive

    monkeypatch.setattr(paramiko.Channel, "exec_command", end)
    with pytest.raises(UnreachableError, match="the connection was closed"):
        ssh.run(["true"])


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the OpenSSH client, to paste the line into")
def test_the_line_in_an_error_works_when_it_is_pasted(server: SshServer, ssh: SshConnection) -> None:
    spaced = server.folder / "known hosts"
    shutil.copy(server.known_hosts, spaced)
    for connection, argv, stdin in (
        (ssh, ["sh", "-c", 'echo "it\'s $1"; exit 3', "sh", "a  b\nc"], b""),
        (server.connection(known_hosts=str(spaced)), ["sh", "-c", "tr a-z A-Z; exit 3"], b"it's\n$HOME"),
    ):
        with connection, pytest.raises(CommandError) as caught:
            connection.run(argv, stdin=stdin)
        pasted = subprocess.run(
            ["sh", "-c", caught.value.paste], capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert (pasted.returncode, pasted.stdout) == (3, caught.value.stdout_tail + ("" if stdin else "\n"))


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the OpenSSH client, to paste the line into")
def test_the_pasted_line_of_a_script_runs_the_script(ssh: SshConnection) -> None:
    with pytest.raises(CommandError) as caught:
        ssh.script('echo "$1"; exit 3', "it's")
    pasted = subprocess.run(["sh", "-c", caught.value.paste], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (pasted.returncode, pasted.stdout) == (3, "it's\n")
