"""The engine's client over the node's SSH connection."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING

import paramiko
import pytest

from runbook_lib.errors import HostKeyError, UnreachableError
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from tests.waiting import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from ..conftest import SshServer
    from .engine_server import EngineServer

# Joins standard input and output with the plain engine server, as 'docker system dial-stdio' does with the real one.
DIAL_STDIO = """#!/bin/sh
[ "$*" = "system dial-stdio" ] || exit 2
exec {python} -c '
import os, socket, sys, threading
joined = socket.create_connection(("127.0.0.1", {port}))
def up():
    while data := os.read(0, 65536): joined.sendall(data)
    joined.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := joined.recv(65536): os.write(1, data)
'
"""


@pytest.fixture
def over_ssh(server: SshServer, stand_in: ModuleType) -> Iterator[tuple[EngineServer, Engine]]:
    """An engine reached through SSH and 'docker system dial-stdio'."""
    daemon = stand_in.EngineServer()
    shim = server.folder / "bin/docker"
    shim.write_text(DIAL_STDIO.format(python=sys.executable, port=daemon.server_port))
    shim.chmod(0o755)
    timeouts = Timeouts(connect=PATIENCE_SECONDS, command=PATIENCE_SECONDS)
    with server.connection() as ssh, Engine(server.node(), ssh, timeouts) as engine:
        yield daemon, engine
    daemon.close()


def test_an_engine_is_reached_over_the_nodes_ssh_connection(
    server: SshServer, over_ssh: tuple[EngineServer, Engine], stand_in: ModuleType
) -> None:
    daemon, engine = over_ssh
    for _ in range(5):
        engine.ping()
    assert engine.version()["Version"] == "20.10.24"
    # The answer ends with its connection: http.client lets go of that long before the last byte.
    frames = [(1, b"out "), (1, b"and more")]
    daemon.answers |= {
        "/containers/x/exec": stand_in.reply(201, {"Id": "e1"}),
        "/exec/e1/start": lambda handler: handler.send_frames(frames, pause=0.2),
        "/exec/e1/json": stand_in.reply(200, {"Running": False, "ExitCode": 0}),
    }
    assert engine.execute("x", ["true"]) == (0, "out and more")
    assert server.connections == 1
    assert server.ran[0] == "docker system dial-stdio"


def test_the_engine_is_there_again_after_the_node_was(server: SshServer, over_ssh: tuple[EngineServer, Engine]) -> None:
    _, engine = over_ssh
    engine.ping()
    server.restart()
    engine.ping()
    assert server.connections == 2


def test_closing_ends_a_call_over_ssh(over_ssh: tuple[EngineServer, Engine], stand_in: ModuleType) -> None:
    daemon, engine = over_ssh
    daemon.answers["/info"] = stand_in.hang
    with ThreadPoolExecutor() as pool:
        call = pool.submit(engine.info)
        assert daemon.hanging.wait(PATIENCE_SECONDS)
        engine.close()
        assert isinstance(call.exception(PATIENCE_SECONDS), UnreachableError)


def test_what_the_node_says_instead_of_an_engine_is_shown(
    server: SshServer, over_ssh: tuple[EngineServer, Engine]
) -> None:
    _, engine = over_ssh
    (server.folder / "bin/docker").write_text("#!/bin/sh\necho 'permission denied on docker.sock' >&2; exit 1\n")
    with pytest.raises(UnreachableError, match=r"reached over SSH \(permission denied on docker\.sock\)"):
        engine.ping()


def test_what_a_command_said_that_ended_before_it_was_asked_is_shown(
    server: SshServer, over_ssh: tuple[EngineServer, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, engine = over_ssh
    (server.folder / "bin/docker").write_text("#!/bin/sh\necho 'no such engine here' >&2; exit 1\n")
    stream = SshConnection.stream

    def ended(ssh: SshConnection, argv: Sequence[str], *, sudo: bool = False) -> paramiko.Channel:
        channel = stream(ssh, argv, sudo=sudo)
        channel.recv_exit_status()
        wait_until(lambda: channel.closed)
        return channel

    monkeypatch.setattr(SshConnection, "stream", ended)
    with pytest.raises(UnreachableError, match=r"reached over SSH \(no such engine here\)"):
        engine.ping()


def test_an_engine_that_the_user_may_not_use_is_reached_as_root(
    server: SshServer, over_ssh: tuple[EngineServer, Engine]
) -> None:
    _, engine = over_ssh
    shim = server.folder / "bin/docker"
    denied = 'echo "dial unix /var/run/docker.sock: connect: permission denied" >&2; exit 1'
    shim.write_text(f'#!/bin/sh\n[ -n "$RAN_AS_ROOT" ] || {{ {denied}; }}\n' + shim.read_text())
    engine.ping()
    engine.ping()
    assert server.ran[:2] == ["docker system dial-stdio", "sudo -n -- docker system dial-stdio"]
    assert server.ran.count("docker system dial-stdio") == 1
    (server.folder / "bin/asks").write_text("a password")
    engine.close()
    with pytest.raises(UnreachableError, match=r"reached over SSH \(dial unix .*permission denied\)") as caught:
        engine.ping()
    assert caught.value.remedy == "let docker use it: usermod -aG docker docker on the node, or give docker sudo there"


def test_a_wrong_host_key_is_told_as_such_here_too(server: SshServer, over_ssh: tuple[EngineServer, Engine]) -> None:
    _, engine = over_ssh
    server.known_hosts.write_text("")
    with pytest.raises(HostKeyError):
        engine.ping()
