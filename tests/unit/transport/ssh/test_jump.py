"""Connections through jump hosts: real forwarded ones, each hop with its own login, key and known_hosts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import paramiko
import pytest

from runbook_lib.errors import HostKeyError, UnreachableError
from runbook_lib.transport.ssh import SshConnection, fingerprint
from runbook_lib.transport.ssh.endpoint import Budget
from runbook_lib.transport.ssh.login import Transport
from runbook_lib.transport.ssh.route import _JUMP_HOSTS
from tests.waiting import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from ..conftest import Held, SshServer


@pytest.fixture
def jump(make_server: Callable[..., SshServer]) -> SshServer:
    """The server before the others."""
    return make_server()


def through(target: SshServer, *jumps: SshServer, **more: float) -> SshConnection:
    return target.connection(jump=[jump.login() for jump in jumps], **more)


def test_a_node_is_reached_through_two_jump_hosts(
    server: SshServer, jump: SshServer, make_server: Callable[..., SshServer]
) -> None:
    second = make_server()
    with through(server, jump, second) as ssh:
        data = b"x" * 300_000
        assert ssh.run(["cat"], stdin=data).stdout.encode() == data
        ssh.run(["true"])
    assert jump.forwarded == [("127.0.0.1", second.port)]
    assert second.forwarded == [("127.0.0.1", server.port)]
    assert (jump.connections, second.connections, server.connections) == (1, 1, 1)
    assert (jump.commands, second.commands) == ([], [])


def test_nodes_behind_the_same_jump_host_share_one_connection_to_it(
    jump: SshServer, make_server: Callable[..., SshServer]
) -> None:
    connections = [through(make_server(), jump) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda ssh: ssh.run(["echo", "in"]).stdout, connections))
    assert said == ["in\n"] * 4
    assert jump.connections == 1
    for ssh in connections[:3]:
        ssh.close()
    connections[3].run(["true"])  # it still runs over what the others have left
    connections[3].close()
    with through(make_server(), jump) as ssh:
        ssh.run(["true"])
    assert jump.connections == 2


def test_closing_the_last_connection_leaves_no_thread(server: SshServer, jump: SshServer) -> None:
    before = set(threading.enumerate())
    with through(server, jump) as ssh:
        ssh.run(["true"])
        mine = [thread for thread in set(threading.enumerate()) - before if isinstance(thread, Transport)]
        assert len(mine) == 2
    wait_until(lambda: not any(thread.is_alive() for thread in mine))


class Gone(socket.socket):
    """What a transport runs over when the jump host is gone: it cannot even be closed in order."""

    def close(self) -> None:
        raise EOFError


def test_a_transport_whose_jump_host_is_gone_is_closed_all_the_same_and_gives_its_share_back() -> None:
    ours, theirs = socket.socketpair()
    gone, given_back = Gone(fileno=ours.detach()), []
    transport = Transport(gone, lambda: given_back.append(True))
    transport.active = True  # type: ignore[attr-defined]  # as it is while it knows nothing of the end
    try:
        transport.close()
        assert given_back == [True]
        assert not transport.active  # type: ignore[attr-defined]
    finally:
        socket.socket.close(gone)
        theirs.close()


def test_a_connection_is_opened_again_after_the_jump_host_was_away(server: SshServer, jump: SshServer) -> None:
    with through(server, jump) as ssh:
        ssh.run(["true"])
        jump.restart()
        assert ssh.run(["echo", "back"]).stdout == "back\n"
        server.restart()
        assert ssh.run(["echo", "back"]).stdout == "back\n"


def test_a_jump_host_that_goes_away_in_the_middle_ends_the_command(
    server: SshServer, jump: SshServer, held: Held
) -> None:
    with through(server, jump) as ssh, ThreadPoolExecutor() as pool:
        command = pool.submit(ssh.run, held.argv)
        held.wait_until_begun()
        jump.stop()
        with pytest.raises(UnreachableError):
            command.result(PATIENCE_SECONDS)


def test_a_jump_host_that_refuses_to_forward_is_told_with_the_remedy(server: SshServer, jump: SshServer) -> None:
    jump.forwards = False
    with through(server, jump) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    said = str(caught.value)
    assert said.startswith("node1: no SSH connection to ")
    assert f"the jump host docker@127.0.0.1:{jump.port} refuses to forward the connection" in said
    assert "AllowTcpForwarding yes" in caught.value.remedy
    assert server.connections == 0


def test_a_node_that_is_off_behind_a_jump_host_is_told_apart_from_a_jump_host_that_is_off(
    server: SshServer, jump: SshServer
) -> None:
    server.stop()
    with through(server, jump) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert str(caught.value).startswith(f"node1: no SSH connection to docker@127.0.0.1:{server.port} through docker@")
    assert f"the jump host docker@127.0.0.1:{jump.port} does not reach it" in str(caught.value)
    jump.stop()
    with through(server, jump) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert str(caught.value).startswith(f"jump host 127.0.0.1: no SSH connection to docker@127.0.0.1:{jump.port} (")


def test_all_hops_share_one_budget_of_time(
    server: SshServer, jump: SshServer, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.port = silent.getsockname()[1]
    server.know(*server.host_keys)
    budgets: list[Budget] = []
    begin = Budget.__init__

    def noted(budget: Budget, seconds: float) -> None:
        begin(budget, seconds)
        budgets.append(budget)

    monkeypatch.setattr(Budget, "__init__", noted)
    said = "no SSH greeting came within 2 s"
    with through(server, jump, connect=2.0) as ssh, pytest.raises(UnreachableError, match=said):
        ssh.run(["true"])
    assert jump.attempts == ["publickey"]
    assert len(budgets) == 1


def test_threads_that_wait_for_the_same_dead_jump_host_ask_it_once(
    jump: SshServer, make_server: Callable[..., SshServer]
) -> None:
    jump.know(paramiko.ECDSAKey.generate())
    jump.client_key = paramiko.ECDSAKey.generate()
    jump.know(*jump.host_keys)
    jump.answers_logins.clear()
    connections = [through(make_server(), jump) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(ssh.run, ["true"]) for ssh in connections]
        wait_until(lambda: [shared.users for shared in _JUMP_HOSTS._shared.values()] == [4])
        jump.answers_logins.set()
        errors = [call.exception() for call in calls]
    assert {type(error) for error in errors} == {UnreachableError}
    assert "jump host 127.0.0.1: docker@127.0.0.1" in str(errors[0])
    assert "refuses the key" in str(errors[0])
    assert jump.attempts == ["publickey"]


def test_each_host_key_on_the_way_must_be_known(server: SshServer, jump: SshServer) -> None:
    jump.know(paramiko.ECDSAKey.generate())
    with through(server, jump) as ssh, pytest.raises(HostKeyError) as caught:
        ssh.run(["true"])
    assert str(caught.value).startswith(f"jump host 127.0.0.1: host key of 127.0.0.1:{jump.port} refused")
    assert jump.attempts == []
    jump.know(*jump.host_keys)
    server.known_hosts.write_text("")
    with through(server, jump) as ssh, pytest.raises(HostKeyError) as caught:
        ssh.run(["true"])
    assert str(caught.value).startswith(f"node1: host key of 127.0.0.1:{server.port} refused")
    assert caught.value.offered == fingerprint(server.host_keys[0])
    assert "inventory trust" in caught.value.remedy
    assert server.attempts == []


def test_no_packet_of_a_command_waits_for_another_on_the_way_to_its_jump_host(
    server: SshServer, jump: SshServer
) -> None:
    with through(server, jump) as ssh:
        over = ssh.transport().sock
        assert isinstance(over, paramiko.Channel)
        assert over.get_transport().sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
