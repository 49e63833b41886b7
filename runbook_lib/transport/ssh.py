"""One SSH connection a node: commands, scripts and files. The only user of paramiko."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import select
import shlex
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self
from uuid import uuid4

import paramiko

from runbook_lib.errors import CommandError, HostKeyError, InputError, UnreachableError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.loading import check_key_file
from runbook_lib.model.parameters import Timeouts

_CHUNK = 65536
_DEAD_PEER_SECONDS = 15


@dataclass(frozen=True)
class CommandResult:
    """A finished command: who ran what, its exit status, its output and how long it took."""

    node: str
    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    seconds: float


def fingerprint(key: paramiko.PKey) -> str:
    """The key's type and SHA-256 fingerprint, as ``ssh-keygen -l`` prints them."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, node: str, host: str, known_hosts: str) -> None:
        self._node, self._host, self._known_hosts = node, host, known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        known = client.get_host_keys().lookup(hostname)
        expected = ", ".join(fingerprint(known[name]) for name in known) if known else None
        raise HostKeyError(
            self._node,
            offered=fingerprint(key),
            expected=expected,
            known_hosts=self._known_hosts,
            host=self._host,
        )


class SshConnection:
    """A node's SSH connection: opened at first use, kept, reopened when the node went away in between."""

    def __init__(self, node: NodeSpec, timeouts: Timeouts | None = None) -> None:
        self._node = node
        self._timeouts = timeouts or Timeouts()
        self._client: paramiko.SSHClient | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def destination(self) -> str:
        """What a person would type after ``ssh``."""
        access = self._node.ssh
        port = f"-p {access.port} " if access.port != 22 else ""
        return f"{port}-i {shlex.quote(access.key_file)} {access.user}@{access.host}"

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def run(
        self,
        argv: Sequence[str],
        *,
        sudo: bool = False,
        stdin: bytes = b"",
        timeout: float | None = None,
        check: bool = True,
    ) -> CommandResult:
        """Run one command; its arguments are quoted, never spliced.

        Raises:
            UnreachableError: the node cannot be reached, or goes away in the middle.
            HostKeyError: the host key is unknown or changed.
            CommandError: it exits non-zero (unless ``check`` is false) or does not end in time.
        """
        words = ("sudo", "-n", "--", *argv) if sudo else tuple(argv)
        started = time.monotonic()
        deadline = started + (timeout or self._timeouts.command)
        try:
            channel = self.transport().open_session(timeout=self._timeouts.connect)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise self._gone(error) from error
        with contextlib.closing(channel):
            try:
                channel.exec_command(shlex.join(words))
                stdout, stderr = _exchange(channel, stdin, deadline)
            except TimeoutError as error:
                raise CommandError(
                    self._node.name,
                    words,
                    exit_status=None,
                    reason=f"no end after {deadline - started:.0f} s",
                    destination=self.destination,
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                self.close()
                raise self._gone(error) from error
            status = channel.recv_exit_status()
        if status == -1:
            self.close()
            raise self._gone(EOFError("the connection closed before the command ended"))
        result = CommandResult(self._node.name, words, status, stdout, stderr, time.monotonic() - started)
        if check and status != 0:
            raise CommandError(
                self._node.name,
                words,
                exit_status=status,
                stdout=stdout,
                stderr=stderr,
                destination=self.destination,
            )
        return result

    def script(
        self, text: str, *arguments: str, sudo: bool = False, timeout: float | None = None, check: bool = True
    ) -> CommandResult:
        """Run a POSIX shell script given on standard input; ``arguments`` become ``$1``, ``$2``, … in it."""
        return self.run(("sh", "-s", "--", *arguments), sudo=sudo, stdin=text.encode(), timeout=timeout, check=check)

    def read_file(self, path: str, *, sudo: bool = False) -> bytes | None:
        """The content of a file on the node, or ``None`` when there is none."""
        if sudo:
            found = self.script('[ -e "$1" ] || exit 66; exec base64 "$1"', path, sudo=True, check=False)
            if found.exit_status == 66:
                return None
            if found.exit_status != 0:
                raise CommandError(
                    found.node,
                    found.argv,
                    exit_status=found.exit_status,
                    stderr=found.stderr,
                    destination=self.destination,
                )
            return base64.b64decode(found.stdout)
        with contextlib.closing(self._sftp()) as sftp:
            try:
                with sftp.open(path, "rb") as handle:
                    return handle.read()
            except FileNotFoundError:
                return None

    def write_file(self, path: str, content: bytes, *, mode: int = 0o644, backup: str | None = None) -> None:
        """Put a file in place as root: SFTP to a temporary name, ``install``, ``sync``.

        The sync matters: a hard power-off right after an unsynced write loses it. With ``backup`` the
        file that stood there is first copied to that name, once.
        """
        temporary = f"/tmp/.runbook-{uuid4().hex}"
        with contextlib.closing(self._sftp()) as sftp, sftp.open(temporary, "wb") as handle:
            handle.write(content)
        script = (
            "set -e; trap 'rm -f \"$1\"' EXIT; "
            'if [ -n "$4" ] && [ -e "$2" ] && [ ! -e "$4" ]; then cp -p "$2" "$4"; fi; '
            'install -m "$3" "$1" "$2.new"; mv -f "$2.new" "$2"; sync'
        )
        self.script(script, temporary, str(PurePosixPath(path)), f"{mode:04o}", backup or "", sudo=True)

    def transport(self) -> paramiko.Transport:
        """The open transport, for channels (opened now if need be)."""
        with self._lock:
            if self._client is not None:
                transport = self._client.get_transport()
                if transport is not None and transport.is_active():
                    return transport
                self._client.close()
            self._client = self._open()
            transport = self._client.get_transport()
            assert transport is not None  # connect() returned
            return transport

    def client(self) -> paramiko.SSHClient:
        """The connected client, for the Docker Engine API over SSH."""
        self.transport()
        assert self._client is not None
        return self._client

    def _open(self) -> paramiko.SSHClient:
        access = self._node.ssh
        check_key_file(access.key_file, self._node.name)
        client = paramiko.SSHClient()
        try:
            client.load_host_keys(access.known_hosts)
        except OSError as error:
            raise InputError(
                f"known_hosts {access.known_hosts} cannot be read ({error.strerror})",
                place=self._node.name,
                remedy="name a file that holds the host keys of your nodes",
            ) from error
        host = f"{access.host}:{access.port}"
        client.set_missing_host_key_policy(_RefuseUnknown(self._node.name, host, access.known_hosts))
        try:
            sock = socket.create_connection((access.host, access.port), timeout=self._timeouts.connect)
            _notice_dead_peer(sock)
            client.connect(
                access.host,
                access.port,
                access.user,
                key_filename=access.key_file,
                timeout=self._timeouts.connect,
                banner_timeout=self._timeouts.connect,
                auth_timeout=self._timeouts.connect,
                allow_agent=False,
                look_for_keys=False,
                sock=sock,
            )
        except paramiko.BadHostKeyException as error:
            client.close()
            raise HostKeyError(
                self._node.name,
                offered=fingerprint(error.key),
                expected=fingerprint(error.expected_key),
                known_hosts=access.known_hosts,
                host=host,
            ) from error
        except paramiko.AuthenticationException as error:
            client.close()
            raise UnreachableError(
                self._node.name,
                f"{access.user}@{host} refuses the key {access.key_file}",
                remedy="check user and key, and that the public half is in the node's authorized_keys",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            client.close()
            raise self._gone(error) from error
        except BaseException:
            client.close()
            raise
        return client

    def _sftp(self) -> paramiko.SFTPClient:
        try:
            sftp = paramiko.SFTPClient.from_transport(self.transport())
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise self._gone(error) from error
        assert sftp is not None
        sftp.get_channel().settimeout(self._timeouts.command)  # type: ignore[union-attr]
        return sftp

    def _gone(self, error: BaseException) -> UnreachableError:
        access = self._node.ssh
        return UnreachableError(
            self._node.name,
            f"no SSH connection to {access.user}@{access.host}:{access.port} ({str(error) or type(error).__name__})",
            remedy="is the node on, and does its address still hold? './runbook testbed status' tells for a testbed",
        )


def _notice_dead_peer(sock: socket.socket) -> None:
    """Let the kernel drop the connection when the node vanishes without a word, as a power-off does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_SECONDS * 1000)


def _exchange(channel: paramiko.Channel, stdin: bytes, deadline: float) -> tuple[str, str]:
    """Feed standard input and collect both outputs until the command ends. Raises ``TimeoutError``."""
    channel.settimeout(max(0.1, deadline - time.monotonic()))
    if stdin:
        channel.sendall(stdin)
    channel.shutdown_write()
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    stdout, stderr = bytearray(), bytearray()
    while True:
        moved = False
        if channel.recv_ready():
            stdout += channel.recv(_CHUNK)
            moved = True
        if channel.recv_stderr_ready():
            stderr += channel.recv_stderr(_CHUNK)
            moved = True
        if moved:
            continue
        if channel.exit_status_ready() and (channel.eof_received or channel.closed):
            break
        if channel.closed or not channel.get_transport().is_active():
            break
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        poller.poll(min(left, 0.05 if channel.exit_status_ready() or channel.eof_received else 1.0) * 1000)
    return stdout.decode(errors="replace"), stderr.decode(errors="replace")
