"""Opening a connection: host keys that must be known, keys that must be right, and servers that do not answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.hostkeys import HostKeys

from runbook_lib.errors import ExitCode, HostKeyError, InputError, KeyFileError, UnreachableError
from runbook_lib.transport.ssh import fingerprint
from tests.waiting import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from ..conftest import SshServer

# A real key and what 'ssh-keygen -lf' of OpenSSH 9.2 prints for it.
CAPTURED_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIFB3C9fc7HaY2VKGZxn8iKlgF2zI9roJlXBd82NPHj7v"
CAPTURED_FINGERPRINT = "SHA256:3dcw4hvTC9kl3G37IjKsvEB2aEfXrpMIDgMphtRLXRQ"


def new_key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    key = paramiko.PKey.from_type_string("ssh-ed25519", b64decode(CAPTURED_KEY))
    assert fingerprint(key) == f"ssh-ed25519 {CAPTURED_FINGERPRINT}"


def test_a_changed_host_key_is_refused_with_both_fingerprints(server: SshServer) -> None:
    expected = new_key()
    server.know(expected)
    with server.connection() as ssh, pytest.raises(HostKeyError) as caught:
        ssh.run(["true"])
    error = caught.value
    assert error.offered == fingerprint(server.host_keys[0])
    assert error.expected == fingerprint(expected)
    assert error.exit_code == ExitCode.BAD_INPUT
    for part in (error.offered, error.expected, f"127.0.0.1:{server.port}", str(server.known_hosts), "node1: "):
        assert part in str(error)
    assert server.commands == []


def test_an_unknown_host_key_is_refused_with_its_fingerprint(server: SshServer) -> None:
    server.know(new_key(), name="[10.9.9.9]:22")
    with server.connection() as ssh, pytest.raises(HostKeyError, match="known_hosts has no key for it") as caught:
        ssh.run(["true"])
    assert caught.value.expected is None
    assert fingerprint(server.host_keys[0]) in str(caught.value)


def test_a_key_of_the_default_port_does_not_vouch_for_another_port(server: SshServer) -> None:
    server.know(*server.host_keys, name="127.0.0.1")
    with server.connection() as ssh, pytest.raises(HostKeyError):
        ssh.run(["true"])


def test_a_hashed_name_is_found(server: SshServer) -> None:
    server.know(*server.host_keys, name=HostKeys.hash_host(f"[127.0.0.1]:{server.port}"))
    with server.connection() as ssh:
        ssh.run(["true"])


def test_one_of_several_names_patterns_and_keys_is_enough(server: SshServer) -> None:
    server.know(new_key(), *server.host_keys, name=f"node1,[127.0.*.1]:{server.port}")
    with server.connection() as ssh:
        ssh.run(["true"])


def test_a_name_that_is_excluded_does_not_match(server: SshServer) -> None:
    server.know(*server.host_keys, name=f"*,![127.0.0.1]:{server.port}")
    with server.connection() as ssh, pytest.raises(HostKeyError, match="has no key for it"):
        ssh.run(["true"])


def test_a_server_with_several_keys_is_asked_for_the_one_that_is_known(make_server: Callable[..., SshServer]) -> None:
    rsa, ecdsa = paramiko.RSAKey.generate(2048), new_key()
    for known in (rsa, ecdsa):
        server = make_server(rsa, ecdsa)
        server.know(known)
        with server.connection() as ssh:
            ssh.run(["true"])


def test_a_revoked_key_is_refused_even_where_it_is_trusted_too(server: SshServer) -> None:
    key = server.host_keys[0]
    with server.known_hosts.open("a") as file:
        file.write(f"@revoked * {key.get_name()} {key.get_base64()}\n")
    with server.connection() as ssh, pytest.raises(HostKeyError, match="this key is revoked"):
        ssh.run(["true"])


def test_comments_damaged_lines_of_others_and_unknown_types_are_passed_over(server: SshServer) -> None:
    good = server.known_hosts.read_text()
    name = f"[127.0.0.1]:{server.port}"
    server.known_hosts.write_text(
        f"# comment\n\nother ssh-rsa !!!\nother\n|1|x|y ssh-rsa AAAA\n@cert-authority {name} ssh-rsa AAAA\n"
        f"{name} sk-ssh-ed25519@openssh.com AAAA\n{good}"
    )
    with server.connection() as ssh:
        ssh.run(["true"])


def test_a_damaged_line_about_this_very_host_is_named(server: SshServer) -> None:
    server.known_hosts.write_text(f"# mine\n[127.0.0.1]:{server.port} ssh-ed25519 not-base64\n")
    with server.connection() as ssh, pytest.raises(InputError, match="this line does not contain a host key") as caught:
        ssh.run(["true"])
    assert caught.value.place == f"{server.known_hosts}:2"


def test_known_hosts_that_cannot_be_read_are_named_before_anything_is_sent(server: SshServer) -> None:
    said = "known_hosts /nowhere/known_hosts cannot be read"
    with server.connection(known_hosts="/nowhere/known_hosts") as ssh, pytest.raises(InputError, match=said):
        ssh.run(["true"])
    assert server.connections == 0


@pytest.mark.parametrize("access", [{"user": "root"}, {"key_file": "other"}])
def test_a_refused_login_names_user_key_and_remedy(server: SshServer, tmp_path: Path, access: dict[str, str]) -> None:
    if "key_file" in access:
        access = {"key_file": str(tmp_path / "other")}
        new_key().write_private_key_file(access["key_file"])
    with server.connection(**access) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    user, key = access.get("user", "docker"), access.get("key_file", str(server.key_file))
    assert f"{user}@127.0.0.1:{server.port} refuses the key {key}" in str(caught.value)
    assert "authorized_keys" in caught.value.remedy


def test_a_private_key_that_others_may_read_is_refused(server: SshServer) -> None:
    server.key_file.chmod(0o640)
    with server.connection() as ssh, pytest.raises(KeyFileError, match="may be read by others") as caught:
        ssh.run(["true"])
    assert caught.value.remedy == f"chmod 600 {server.key_file}"
    assert server.connections == 0


def test_a_key_with_a_passphrase_is_told_as_such(server: SshServer) -> None:
    server.key_file.unlink()
    server.client_key.write_private_key_file(str(server.key_file), password="secret")
    with server.connection() as ssh, pytest.raises(KeyFileError, match="protected by a passphrase"):
        ssh.run(["true"])


def test_the_remedy_for_a_key_with_a_passphrase_names_the_parameter(server: SshServer) -> None:
    server.key_file.unlink()
    server.client_key.write_private_key_file(str(server.key_file), password="secret")
    with server.connection() as ssh, pytest.raises(KeyFileError) as caught:
        ssh.run(["true"])
    assert "ssh: {passphrase: {env: VARIABLE}} or {file: PATH}, or use a key without one" in caught.value.remedy


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen, to make the keys that people have")
@pytest.mark.parametrize("kind", [["ed25519"], ["rsa", "-b", "2048", "-m", "PEM"]])
def test_a_passphrase_opens_its_key_and_a_wrong_one_is_told_as_such(
    server: SshServer, kind: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key_file.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", "open Sesame", "-f", str(server.key_file)], check=True)
    server.client_key = paramiko.PKey.from_path(server.key_file, password=b"open Sesame")
    monkeypatch.setenv("LAB_PASSPHRASE", "open Sesame")
    with server.connection(passphrase={"env": "LAB_PASSPHRASE"}) as ssh:
        ssh.run(["true"])
    monkeypatch.setenv("LAB_PASSPHRASE", "open Barley")
    with (
        server.connection(passphrase={"env": "LAB_PASSPHRASE"}) as ssh,
        pytest.raises(KeyFileError, match="the passphrase in the variable LAB_PASSPHRASE does not open") as caught,
    ):
        ssh.run(["true"])
    assert "Barley" not in str(caught.value)


def test_a_passphrase_that_a_key_does_not_need_does_no_harm(server: SshServer) -> None:
    with server.connection(passphrase={"env": "NOBODY_SETS_THIS"}) as ssh:
        ssh.run(["true"])


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_is_no_key_is_told_as_such(server: SshServer, text: str) -> None:
    server.key_file.write_text(text)
    with server.connection() as ssh, pytest.raises(KeyFileError, match="does not contain a private key for SSH"):
        ssh.run(["true"])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen, to make the keys that people have")
@pytest.mark.parametrize("kind", [["ed25519"], ["rsa", "-b", "2048"], ["ecdsa"], ["rsa", "-b", "2048", "-m", "PEM"]])
def test_every_usual_kind_of_key_opens_the_door(server: SshServer, kind: list[str]) -> None:
    server.key_file.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", "", "-f", str(server.key_file)], check=True)
    server.client_key = paramiko.PKey.from_path(server.key_file)
    with server.connection() as ssh:
        ssh.run(["true"])


def test_a_server_without_a_greeting_is_given_up_in_time(
    server: SshServer, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    start_client = paramiko.Transport.start_client

    def noted(transport: paramiko.Transport, event: object = None, timeout: float = 1e6) -> None:
        limits.extend((timeout, transport.banner_timeout, transport.handshake_timeout))
        start_client(transport, timeout=timeout)

    monkeypatch.setattr(paramiko.Transport, "start_client", noted)
    server.port = silent.getsockname()[1]
    server.know(*server.host_keys)
    with server.connection(connect=0.5) as ssh, pytest.raises(UnreachableError) as caught:
        ssh.run(["true"])
    assert len(limits) == 3
    assert all(0 < limit <= 0.5 for limit in limits)
    assert "the port is open, but no SSH greeting came within 0.5 s" in str(caught.value)


def test_an_address_that_never_answers_is_given_up_in_time(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    create_connection = socket.create_connection

    def noted(address: tuple[str, int], timeout: float = 1e6) -> socket.socket:
        limits.append(timeout)
        return create_connection(address, timeout)

    monkeypatch.setattr(socket, "create_connection", noted)
    # A listening socket whose backlog is full drops further connections, as a host that is off does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server.port = full.getsockname()[1]
        with server.connection(connect=0.5) as ssh, pytest.raises(UnreachableError) as caught:
            ssh.run(["true"])
        for filler in fillers:
            filler.close()
    (limit,) = limits
    assert 0 < limit <= 0.5
    assert "no answer within 0.5 s" in str(caught.value)


def test_something_that_is_no_ssh_server_is_told_as_such(server: SshServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with server.connection() as ssh, pytest.raises(UnreachableError, match="no SSH connection to"):
            ssh.run(["true"])


def test_a_name_that_does_not_resolve_is_unreachable(server: SshServer) -> None:
    with server.connection(host="no-such-host.invalid") as ssh, pytest.raises(UnreachableError, match="invalid:"):
        ssh.run(["true"])


class Queue:
    """A lock that counts those who have asked for it."""

    def __init__(self) -> None:
        self.asked = 0
        self._counting, self._lock = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._counting:
            self.asked += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_threads_that_wait_for_the_same_dead_node_wait_once(server: SshServer, silent: socket.socket) -> None:
    server.port = silent.getsockname()[1]
    with server.connection() as ssh, ThreadPoolExecutor(8) as pool:
        ssh._link._opening = queue = Queue()  # type: ignore[assignment]
        calls = [pool.submit(ssh.run, ["true"]) for _ in range(8)]
        connected, _ = silent.accept()
        wait_until(lambda: queue.asked == 8)
        connected.close()
        errors = [call.exception(PATIENCE_SECONDS) for call in calls]
    assert {type(error) for error in errors} == {UnreachableError}
    silent.settimeout(0)
    with pytest.raises(BlockingIOError):
        silent.accept()


def test_closing_does_not_wait_for_a_connect_that_hangs(server: SshServer, silent: socket.socket) -> None:
    server.port = silent.getsockname()[1]
    ssh = server.connection()
    with ThreadPoolExecutor() as pool:
        call = pool.submit(ssh.run, ["true"])
        connected, _ = silent.accept()
        ssh.close()
        assert not call.done()
        connected.close()  # only now: nobody has waited for it
        assert isinstance(call.exception(PATIENCE_SECONDS), UnreachableError)


def test_a_fault_is_one_message_and_nothing_of_paramikos_on_the_screen(server: SshServer) -> None:
    program = (
        "import sys; from runbook_lib.model.inventory import NodeSpec; from runbook_lib.transport.ssh import *\n"
        "from runbook_lib.errors import *\n"
        "try: SshConnection(NodeSpec.model_validate_json(sys.argv[1])).run(['true'])\n"
        "except RunbookError as error: print(error)"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]
        threading.Thread(target=lambda: listening.accept()[0].close(), daemon=True).start()
        command = [sys.executable, "-c", program, server.node().model_dump_json()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.stderr == ""
    assert done.stdout.startswith("node1: no SSH connection to docker@127.0.0.1:")
