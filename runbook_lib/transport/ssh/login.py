"""Opens an SSH transport with a known host key, through jump hosts if needed, within a time budget.

A keepalive detects a lost machine behind a jump host, where no TCP keepalive does.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import paramiko

from runbook_lib.errors import HostKeyError
from runbook_lib.model.commands import inventory_command
from runbook_lib.transport.ssh.authentication import auth_methods, authenticate
from runbook_lib.transport.ssh.channel import FAULTS
from runbook_lib.transport.ssh.endpoint import Budget, Machine
from runbook_lib.transport.ssh.known_hosts import KnownKeys, fingerprint, read_known_keys

# As long as a straight connection's silence may last before the kernel drops it (login.SOCKET_OPTIONS).
KEEPALIVE_SECONDS = 5.0
PATIENCE_SECONDS = 10.0


class Keepalive(threading.Thread):
    """Sends keepalive requests and closes the connection when no answer comes.

    The jump host's sshd holds the TCP connection to the machine, and the one from here to the jump host stays well.
    OpenSSH's client asks in the same way (ServerAliveInterval); every server answers, if only that it cannot do that.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__(name="ssh-pulse", daemon=True)
        self._transport = transport
        self._over = threading.Event()

    def run(self) -> None:
        """Send requests until the transport is closed or silent."""
        while not self._over.wait(KEEPALIVE_SECONDS) and self._transport.is_active():
            cut = threading.Timer(PATIENCE_SECONDS, self._transport.close)
            cut.daemon = True
            cut.start()
            try:
                self._transport.global_request("keepalive@openssh.com", wait=True)  # returns when the transport ends
            except (paramiko.SSHException, OSError, EOFError):
                return  # it ended
            finally:
                cut.cancel()

    def end(self) -> None:
        """Stop sending."""
        self._over.set()


# After this time without answers the kernel drops the connection to a lost node.
DEAD_PEER_SECONDS = 15
_PROBES_BEGIN_AFTER, _PROBE_EVERY, _PROBES = 5, 3, 3
SOCKET_OPTIONS = (
    # A command is several small packets each way; Nagle's algorithm would hold them back by 40 ms.
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBES_BEGIN_AFTER),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000),
)

# OpenSSH's reasons for not opening a channel (RFC 4254, 5.1).
_PROHIBITED = 1

# Without a handler Python prints paramiko's own tracebacks to stderr; every fault is raised as an error here.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Transport(paramiko.Transport):
    """A transport that releases its share of a jump host's connection when it is closed."""

    def __init__(self, sock: socket.socket | paramiko.Channel, release: Callable[[], None]) -> None:
        super().__init__(cast(Any, sock))
        self._release = release
        self._keepalive = Keepalive(self) if isinstance(sock, paramiko.Channel) else None

    def start_keepalive(self) -> None:
        """Send keepalives from now on, if the kernel does not."""
        if self._keepalive is not None:
            self._keepalive.start()

    def close(self) -> None:
        """Close it, and what it runs over if nothing else does."""
        if self._keepalive is not None:
            self._keepalive.end()
        # What it runs over may have died first: a channel then cannot say goodbye to the jump host.
        with contextlib.suppress(*FAULTS):
            super().close()
        self._release()


def log_in(machine: Machine, over: paramiko.Transport | None, release: Callable[[], None], budget: Budget) -> Transport:
    """A transport to a machine that is logged in on.

    Args:
        machine: where to.
        over: the open transport to the jump host before it, if there is one.
        release: called when the transport is closed. Not called when this raises.
        budget: the time for it.

    Raises:
        KeyFileError: a private key that cannot be used.
        InputError: known_hosts cannot be read, a secret cannot be found, or the agent has no keys.
        HostKeyError: the host key is unknown, changed or revoked.
        UnreachableError: no answer, or the machine refuses every method.
    """
    hop = machine.hop
    with auth_methods(machine, budget) as methods:
        known = read_known_keys(hop.known_hosts, hop.host, hop.port)
        with key_exchanged(machine, over, known, release, budget) as transport:
            _verify(transport.get_remote_server_key(), machine, known)
            authenticate(transport, machine, methods, budget)
            transport.start_keepalive()
            return transport


@contextlib.contextmanager
def key_exchanged(
    machine: Machine,
    over: paramiko.Transport | None,
    known: KnownKeys,
    release: Callable[[], None],
    budget: Budget,
) -> Iterator[Transport]:
    """A transport that has agreed on keys with the machine, whose host key is not judged yet.

    It stays open at the end of the block, and is closed when that raises, without a call of ``release``.
    """
    sock = _socket(machine, budget) if over is None else _channel(machine, over, budget)
    transport = None
    kept = False
    try:
        transport = Transport(sock, lambda: release() if kept else None)
        _greet(transport, machine, known, budget)
        yield transport
        kept = True
    finally:
        if not kept:
            if transport is not None:
                transport.close()
            sock.close()


def _socket(machine: Machine, budget: Budget) -> socket.socket:
    hop = machine.hop
    try:
        sock = socket.create_connection((hop.host, hop.port), timeout=budget.left)
    except TimeoutError as error:
        raise machine.unreachable(f"no answer within {budget.seconds:g} s") from error
    except OSError as error:
        raise machine.unreachable(error.strerror or str(error)) from error
    for level, option, value in SOCKET_OPTIONS:
        sock.setsockopt(level, option, value)
    return sock


def _channel(machine: Machine, over: paramiko.Transport, budget: Budget) -> paramiko.Channel:
    """A connection that the jump host makes to the machine, as ``ssh -W`` asks for."""
    hop, before = machine.hop, machine.before
    assert before is not None
    try:
        return over.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=budget.left)
    except paramiko.ChannelException as error:
        if error.code == _PROHIBITED:
            raise machine.unreachable(
                f"the jump host {before.address} refuses to forward the connection: {error.text}",
                f"set AllowTcpForwarding yes (and PermitOpen, if it is set) in the sshd_config of {before.hop.host}",
            ) from error
        raise machine.unreachable(f"the jump host {before.address} does not reach it: {error.text}") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        if over.is_active():
            raise machine.unreachable(
                f"no answer within {budget.seconds:g} s to the jump host {before.address}"
            ) from error
        raise machine.unreachable(f"the connection to the jump host {before.address} was lost") from error


def _greet(transport: paramiko.Transport, machine: Machine, known: KnownKeys, budget: Budget) -> None:
    """Agree on keys with the server; it is asked first for a type of host key that known_hosts has."""
    options = transport.get_security_options()
    options.key_types = sorted(options.key_types, key=lambda name: name not in known.algorithms)
    transport.banner_timeout = transport.handshake_timeout = budget.left
    try:
        transport.start_client(timeout=budget.left)
        transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        if budget.passed:
            why = f"the port is open, but no SSH greeting came within {budget.seconds:g} s"
            raise machine.unreachable(why) from error
        raise machine.unreachable(str(error) or "the connection was closed during the greeting") from error


def _verify(offered: paramiko.PKey, machine: Machine, known: KnownKeys) -> None:
    if known.trusts(offered):
        return
    hop = machine.hop
    raise HostKeyError(
        machine.name,
        offered=fingerprint(offered),
        expected=", ".join(fingerprint(key) for key in known.trusted) or None,
        known_hosts=hop.known_hosts,
        host=f"{hop.host}:{hop.port}",
        revoked=known.revokes(offered),
        hint="" if known.trusted or known.revokes(offered) else f" ({inventory_command('trust')} does it for you)",
    )
