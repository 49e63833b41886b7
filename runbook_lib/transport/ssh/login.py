"""Opens an SSH transport whose host key known_hosts vouches for, within one budget of time."""

from __future__ import annotations

import logging
import shlex
import socket
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.pkey import UnknownKeyType

from runbook_lib.errors import HostKeyError, KeyFileError, UnreachableError
from runbook_lib.model.inventory import NodeSpec, SshAccess
from runbook_lib.model.keyfiles import check_key_file
from runbook_lib.model.secrets import SecretReference
from runbook_lib.transport.ssh.known_hosts import KnownKeys, fingerprint, read_known_keys

# After this silence the kernel drops the connection of a node that went away without a word.
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

# Held while a key is opened, so that threads that want the same one open it once.
_UNLOCKING = threading.Lock()

# Without a handler Python prints paramiko's own tracebacks to stderr; every fault is raised as an error here.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def open_transport(node: NodeSpec, seconds: float) -> paramiko.Transport:
    """An authenticated transport to a node; all of it takes at most ``seconds``.

    Raises:
        KeyFileError: the private key is missing, readable by others, no key, or encrypted and the passphrase is wrong
            or not referred to.
        InputError: known_hosts cannot be read, or the passphrase cannot be found.
        HostKeyError: the host key is unknown, changed or revoked.
        UnreachableError: no answer, or the node refuses user and key.
    """
    deadline = time.monotonic() + seconds
    access = node.ssh
    key = _private_key(access, node.name)
    known = read_known_keys(access.known_hosts, access.host, access.port)
    try:
        sock = socket.create_connection((access.host, access.port), timeout=seconds)
    except TimeoutError as error:
        raise unreachable(node, f"no answer within {seconds:g} s") from error
    except OSError as error:
        raise unreachable(node, error.strerror or str(error)) from error
    transport = None
    try:
        for level, option, value in SOCKET_OPTIONS:
            sock.setsockopt(level, option, value)
        transport = paramiko.Transport(sock)
        _greet(transport, node, known, deadline, seconds)
        _verify(transport.get_remote_server_key(), node, known)
        _authenticate(transport, node, key, deadline)
    except BaseException:
        if transport is not None:
            transport.close()
        sock.close()
        raise
    return transport


def unreachable(node: NodeSpec, why: str) -> UnreachableError:
    """The error for a node that SSH does not reach."""
    access = node.ssh
    return UnreachableError(
        node.name,
        f"no SSH connection to {access.user}@{access.host}:{access.port} ({why})",
        remedy="is the node on, and does its address still hold? './runbook testbed status' tells for a testbed",
    )


def _private_key(access: SshAccess, node: str) -> paramiko.PKey:
    path, reference = str(access.key_file), access.passphrase
    check_key_file(path, node)
    try:
        try:
            return _load(path, None)
        except (paramiko.PasswordRequiredException, TypeError) as error:
            # cryptography says TypeError when a passphrase is needed and none was given
            if reference is None:
                raise _needs_passphrase(path, node) from error
        return _unlocked(path, reference, node)
    except (ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as error:
        raise KeyFileError(
            f"{path} holds no private key that SSH could use ({error})",
            place=node,
            remedy="name the private half of an ed25519, ECDSA or RSA key",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"the private key {path} cannot be read ({error.strerror})",
            place=node,
            remedy="name a key file that you may read",
        ) from error


def _load(path: str, passphrase: bytes | None) -> paramiko.PKey:
    # paramiko says str, and cryptography, which it hands it to, takes bytes only.
    key: paramiko.PKey = paramiko.PKey.from_path(path, password=cast(Any, passphrase))
    return key


@lru_cache(maxsize=16)
def _load_once(path: str, _state: tuple[int, int], passphrase: bytes) -> paramiko.PKey:
    """The key in its present state. To open one takes a quarter of a second on purpose, and nodes often share it."""
    return _load(path, passphrase)


def _unlocked(path: str, reference: SecretReference, node: str) -> paramiko.PKey:
    passphrase = reference.resolve(f"{node}: ssh.passphrase")
    found = Path(path).stat()
    try:
        with _UNLOCKING:
            return _load_once(path, (found.st_mtime_ns, found.st_size), passphrase.encode(errors="surrogateescape"))
    except ValueError as error:
        raise KeyFileError(
            f"the passphrase in {reference} does not open the private key {path}",
            place=node,
            remedy=f"put the right one there (ssh-keygen -y -f {shlex.quote(path)} asks for it and tells)",
        ) from error


def _needs_passphrase(path: str, node: str) -> KeyFileError:
    return KeyFileError(
        f"the private key {path} is protected by a passphrase, and nobody is there to type it",
        place=node,
        remedy="say where the passphrase is found, ssh: {passphrase: {env: VARIABLE}} or {file: PATH}, "
        f"or use a key without one (ssh-keygen -p -f {shlex.quote(path)} removes it from this one)",
    )


def _greet(transport: paramiko.Transport, node: NodeSpec, known: KnownKeys, deadline: float, seconds: float) -> None:
    """Agree on keys with the server; it is asked first for a type of host key that known_hosts has."""
    options = transport.get_security_options()
    options.key_types = sorted(options.key_types, key=lambda name: name not in known.algorithms)
    left = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
        transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        if time.monotonic() >= deadline:
            raise unreachable(node, f"something listens there, but no SSH greeting within {seconds:g} s") from error
        raise unreachable(node, str(error) or "the connection was closed during the greeting") from error


def _verify(offered: paramiko.PKey, node: NodeSpec, known: KnownKeys) -> None:
    access = node.ssh
    if known.trusts(offered):
        return
    expected = ", ".join(fingerprint(key) for key in known.trusted) or None
    raise HostKeyError(
        node.name,
        offered=fingerprint(offered),
        expected=expected,
        known_hosts=access.known_hosts,
        host=f"{access.host}:{access.port}",
        revoked=known.revokes(offered),
    )


def _authenticate(transport: paramiko.Transport, node: NodeSpec, key: paramiko.PKey, deadline: float) -> None:
    access = node.ssh
    transport.auth_timeout = max(0.1, deadline - time.monotonic())
    refused = UnreachableError(
        node.name,
        f"{access.user}@{access.host}:{access.port} refuses the key {access.key_file}",
        remedy="check user and key, and that the public half is in the node's authorized_keys",
    )
    try:
        still_wanted = transport.auth_publickey(access.user, key)
    except (paramiko.SSHException, OSError, EOFError) as error:
        if time.monotonic() >= deadline:
            raise unreachable(node, "the server does not answer the login in time") from error
        if isinstance(error, paramiko.AuthenticationException) and transport.is_active():
            raise refused from error
        raise unreachable(node, "the connection was closed during the login") from error
    if still_wanted:  # a key alone is not enough there
        raise refused
