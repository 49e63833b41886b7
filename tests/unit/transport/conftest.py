"""A real SSH server on loopback, unprivileged: paramiko's own server side running real commands."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_SUCCESS

from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.ssh import SshConnection
from runbook_lib.transport.ssh.channel import FAULTS, close
from tests.waiting import PATIENCE_SECONDS, wait_until

# Stands in for sudo as 1.9 behaves: with a file 'asks' beside it, that is the password it wants, three times at most.
SUDO = """#!/bin/sh
folder=${0%/*}
case "$1 $2 $3 $4" in
"-n -- "*) shift 2; [ ! -e "$folder/asks" ] || { echo "sudo: a password is required" >&2; exit 1; } ;;
"-S -p  --") shift 4
    attempts=0
    while [ -e "$folder/asks" ]; do
        IFS= read -r given || { echo "sudo: no password was provided" >&2; break; }
        [ "$given" != "$(cat "$folder/asks")" ] || { attempts=0; break; }
        attempts=$((attempts + 1))
        echo "$given" >>"$folder/wrong"
        [ "$attempts" -lt 3 ] || break
        echo "Sorry, try again." >&2
    done
    [ "$attempts" -eq 0 ] || { echo "sudo: $attempts incorrect password attempt" >&2; exit 1; } ;;
*) exit 9 ;;
esac
RAN_AS_ROOT=yes exec "$@"
"""


class Connection(paramiko.Transport):
    """A server's side that begins a command only when the client was told that it will.

    paramiko says yes to a request after ``check_channel_exec_request`` returned: a command begun there may end, and
    close its channel, before that.
    """

    def __init__(self, client: socket.socket) -> None:
        super().__init__(client)
        self.approved: list[threading.Thread] = []

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        if data.asbytes()[:1] == cMSG_CHANNEL_SUCCESS and self.approved:
            self.approved.pop().start()


class Session(paramiko.ServerInterface):
    """One client: its key, its sessions, its commands."""

    def __init__(self, server: SshServer, transport: paramiko.Transport) -> None:
        self.server = server
        self.transport = transport
        self.open_sessions = 0
        self.passed: set[str] = set()
        self.accepting = threading.Lock()
        self.accepted: dict[int, paramiko.Channel] = {}

    def get_allowed_auths(self, username: str) -> str:
        return ",".join(self.server.logins)

    def _judged(self, way: str, right: bool) -> int:
        self.server.attempts.append(way)
        self.server.answers_logins.wait(PATIENCE_SECONDS)
        if not right:
            return paramiko.AUTH_FAILED
        self.passed.add(way)
        if self.server.wants_all and self.passed != set(self.server.logins):
            return paramiko.AUTH_PARTIALLY_SUCCESSFUL
        return paramiko.AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if "publickey" not in self.server.logins:
            return paramiko.AUTH_FAILED
        return self._judged("publickey", username == "docker" and key == self.server.client_key)

    def check_auth_password(self, username: str, password: str) -> int:
        if "password" not in self.server.logins:
            return paramiko.AUTH_FAILED
        return self._judged("password", username == "docker" and password == self.server.password)

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        return paramiko.InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._judged("keyboard-interactive", responses == [self.server.password])

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: Any) -> int:
        if not self.server.forwards:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            sock = socket.create_connection(destination, timeout=PATIENCE_SECONDS)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self.server.forwarded.append(destination)
        threading.Thread(target=self._forward, args=(chanid, sock), daemon=True).start()
        return paramiko.OPEN_SUCCEEDED

    def _forward(self, chanid: int, sock: socket.socket) -> None:
        with self.accepting:
            while chanid not in self.accepted:
                channel = self.transport.accept(PATIENCE_SECONDS)
                if channel is None:
                    return
                self.accepted[channel.get_id()] = channel  # a session among them ends when nobody holds it
        channel = self.accepted[chanid]
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def back() -> None:
            pump(sock.makefile("rb"), channel.sendall)
            close(channel)

        with sock, contextlib.suppress(*FAULTS):
            threading.Thread(target=back, daemon=True).start()
            while data := channel.recv(65536):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_RDWR)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.open_sessions >= self.server.max_sessions:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self.open_sessions += 1
        self.server.sessions += 1
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self.server.refuse_commands:
            return False
        self.server.commands.append(command.decode())
        connection = channel.get_transport()
        assert isinstance(connection, Connection)
        connection.approved.append(threading.Thread(target=self._run, args=(channel, command.decode()), daemon=True))
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        environment = os.environ | {"PATH": f"{self.server.folder}/bin:{os.environ['PATH']}"} | self.server.environment
        pipe = subprocess.PIPE
        with (
            contextlib.suppress(*FAULTS),
            subprocess.Popen(
                [self.server.shell, "-c", command], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
            ) as process,
        ):
            pumps = [
                threading.Thread(target=pump, args=(process.stdout, channel.sendall), daemon=True),
                threading.Thread(target=pump, args=(process.stderr, channel.sendall_stderr), daemon=True),
            ]
            for thread in pumps:
                thread.start()
            threading.Thread(target=feed, args=(channel, process.stdin), daemon=True).start()
            for thread in pumps:
                thread.join()
            if self.server.eof_before_status:
                channel.shutdown_write()
            status = process.wait()
            if status >= 0:
                channel.send_exit_status(status)
        close(channel)
        self.open_sessions -= 1


def bare(line: str) -> str:
    """What a line for the login shell runs."""
    sent = re.sub(r"\\0(\d{3})", lambda found: chr(int(found[1], 8)), shlex.split(line)[-1])
    words = shlex.split(sent.rpartition("-LOGIN_SHELL-out; exec ")[2])
    if "/bin/sh" in words:  # behind sudo
        at = words.index("/bin/sh")
        words[at : at + 4] = []
    return shlex.join(words)


def pump(source: Any, sink: Callable[[bytes], None]) -> None:
    with contextlib.suppress(*FAULTS), source:
        while chunk := source.read1(65536):
            sink(chunk)


def feed(channel: paramiko.Channel, sink: Any) -> None:
    # ValueError: the command ended before it read all, and its pipes are closed
    with contextlib.suppress(*FAULTS, ValueError), sink:
        while chunk := channel.recv(65536):
            sink.write(chunk)
            sink.flush()


class Held:
    """A command on the server that does not end before it is let go, whatever becomes of its connection."""

    def __init__(self, folder: Path) -> None:
        self._begun, self._go = folder / "begun", folder / "go"
        script = 'touch "$1"; until [ -e "$2" ]; do sleep 0.05; done'
        self.argv = ["sh", "-c", script, "sh", str(self._begun), str(self._go)]

    def wait_until_begun(self) -> None:
        """Wait until it runs on the server."""
        wait_until(self._begun.exists, "the command begins")

    def let_go(self) -> None:
        """Let it end."""
        self._go.touch()


class SshServer:
    """A listening SSH server with one authorized key."""

    def __init__(self, folder: Path, *host_keys: paramiko.PKey) -> None:
        self.folder = folder
        self.host_keys = host_keys or (paramiko.ECDSAKey.generate(),)
        self.client_key: paramiko.PKey = paramiko.ECDSAKey.generate()
        self.max_sessions = 10
        self.refuse_commands = self.eof_before_status = False
        self.connections = self.sessions = 0
        self.logins = ["publickey"]
        self.wants_all = False
        self.password = "open Sesame"
        self.forwards = True
        self.shell, self.environment = "sh", dict[str, str]()
        self.attempts: list[str] = []
        self.answers_logins = threading.Event()  # while it is cleared, whoever logs in waits
        self.answers_logins.set()
        self.forwarded: list[tuple[str, int]] = []
        self.commands: list[str] = []
        self.clients: list[paramiko.Transport] = []
        (folder / "bin").mkdir()
        (folder / "bin/sudo").write_text(SUDO)
        (folder / "bin/sudo").chmod(0o755)
        self.key_file = folder / "key"
        self.client_key.write_private_key_file(str(self.key_file))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.known_hosts = folder / "known_hosts"
        self.know(*self.host_keys)
        threading.Thread(target=self._serve, args=(self.socket,), daemon=True).start()

    @property
    def ran(self) -> list[str]:
        """The commands without what brings them past the login shell, those of sudo included."""
        return [bare(line) for line in self.commands]

    def at_login(self, text: str) -> None:
        """Make bash the user's login shell, which reads this first, as it does for sshd whatever the command is."""
        (self.folder / ".bashrc").write_text(text)
        self.shell, self.environment = "bash", {"HOME": str(self.folder), "SSH_CLIENT": "10.0.0.9 1 2", "SHLVL": "0"}

    def know(self, *keys: paramiko.PKey, name: str = "") -> None:
        """Make known_hosts say that these are the server's keys."""
        name = name or f"[127.0.0.1]:{self.port}"
        self.known_hosts.write_text("".join(f"{name} {key.get_name()} {key.get_base64()}\n" for key in keys))

    def _serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(*FAULTS):
            while True:
                client, _ = listening.accept()
                self.connections += 1
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transport = Connection(client)
                for key in self.host_keys:
                    transport.add_server_key(key)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=Session(self, transport), event=threading.Event())
                self.clients.append(transport)

    def drop_clients(self) -> None:
        """Cut every connection, as a node that is switched off does."""
        for transport in self.clients:
            transport.close()
        self.clients.clear()

    def stop(self) -> None:
        """Listen no more, and cut every connection."""
        with contextlib.suppress(*FAULTS):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.drop_clients()

    def restart(self) -> None:
        """Listen again at the same port."""
        self.stop()
        self.socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self.socket,), daemon=True).start()

    def login(self, **ssh: Any) -> dict[str, Any]:
        """How to log in on it, as an inventory says it; a ``None`` leaves out what is usually there."""
        access = {
            "host": "127.0.0.1",
            "port": self.port,
            "key_file": str(self.key_file),
            "known_hosts": str(self.known_hosts),
        }
        return {name: value for name, value in (access | ssh).items() if value is not None}

    def node(self, **ssh: Any) -> NodeSpec:
        """The server as a node of an inventory."""
        access = self.login(**ssh)
        return NodeSpec.model_validate({"name": "node1", "cluster_address": "10.0.0.1", "ssh": access})

    def connection(
        self, *, connect: float = PATIENCE_SECONDS, command: float = PATIENCE_SECONDS, **ssh: Any
    ) -> SshConnection:
        """A connection to it, not yet open. The caller closes it."""
        return SshConnection(self.node(**ssh), Timeouts(connect=connect, command=command))

    def opened(self, *, connect: float, command: float = PATIENCE_SECONDS, **ssh: Any) -> SshConnection:
        """A connection that is open: that may have taken longer than ``connect``, which counts from now on."""
        connection = self.connection(command=command, **ssh)
        connection.transport()
        connection._timeouts = Timeouts(connect=connect, command=command)
        connection._link._connect_seconds = connect
        return connection


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., SshServer]]:
    """A function that starts one more server with the given host keys."""
    servers: list[SshServer] = []

    def make(*host_keys: paramiko.PKey) -> SshServer:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(SshServer(folder, *host_keys))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server: Callable[..., SshServer]) -> SshServer:
    return make_server()


@pytest.fixture
def ssh(server: SshServer) -> Iterator[SshConnection]:
    """A connection to the server."""
    with server.connection() as connection:
        yield connection


@pytest.fixture
def held(server: SshServer) -> Iterator[Held]:
    """A command that is let go when the test has ended, if not before."""
    command = Held(server.folder)
    yield command
    command.let_go()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        yield listening


@pytest.fixture(scope="session")
def stand_in() -> ModuleType:
    """The module engine_server beside this one."""
    path = Path(__file__).with_name("docker") / "engine_server.py"
    spec = importlib.util.spec_from_file_location("engine_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["engine_server"] = module
    spec.loader.exec_module(module)
    return module
