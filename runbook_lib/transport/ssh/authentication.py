"""SSH authentication: by key file (with or without passphrase), then the ssh-agent's keys, then password."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import paramiko
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import UnknownKeyType

from runbook_lib.errors import InputError, KeyFileError, UnreachableError
from runbook_lib.model.keyfiles import check_key_file
from runbook_lib.model.secrets import SecretReference
from runbook_lib.transport.ssh.endpoint import Budget, Machine

_VARIABLE = "SSH_AUTH_SOCK"


class _Agent(AgentSSH):
    """paramiko's client of an agent, on a socket with a timeout: its own waits for ever (paramiko issue 2147)."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(seconds)
        try:
            self._sock.connect(path)
            self._connect(self._sock)  # type: ignore[attr-defined]  # its stubs leave it out
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        self._sock.close()


@contextlib.contextmanager
def agent_keys(place: str, seconds: float) -> Iterator[tuple[AgentKey, ...]]:
    """The agent's keys (``SSH_AUTH_SOCK``), at least one, usable until the block ends.

    Args:
        place: the place named in errors.
        seconds: how long the agent may take for each answer.

    Raises:
        InputError: there is no agent, it does not answer, or it has no keys.
    """
    agent = _open(place, seconds)
    try:
        keys = agent.get_keys()
        if not keys:
            raise InputError("the ssh-agent has no keys", place=place, remedy="add one: ssh-add KEY_FILE")
        yield tuple(keys)
    finally:
        agent.close()


def _open(place: str, seconds: float) -> _Agent:
    path = os.environ.get(_VARIABLE)
    if not path:
        raise InputError(
            f"agent: true needs a running ssh-agent, and {_VARIABLE} is not set",
            place=place,
            remedy="start one and give it a key: eval $(ssh-agent); ssh-add KEY_FILE",
        )
    try:
        return _Agent(path, seconds)
    except TimeoutError as error:
        why = f"no answer within {seconds:.2g} s"
        raise _silent(path, why, place) from error
    except (OSError, paramiko.SSHException) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _silent(path, why, place) from error


def _silent(path: str, why: str, place: str) -> InputError:
    return InputError(
        f"the ssh-agent at {path} ({_VARIABLE}) does not answer ({why})",
        place=place,
        remedy="start a new one: eval $(ssh-agent); ssh-add KEY_FILE",
    )


# Held while a key is opened, so that threads that want the same one open it once.
_UNLOCKING = threading.Lock()


def private_key(path: str, reference: SecretReference | None, node: str) -> paramiko.PKey:
    """The key in a file, opened with the passphrase that ``reference`` leads to where it needs one.

    Raises:
        KeyFileError: it is missing, readable by others, not a key, or encrypted with a wrong or no passphrase given.
        InputError: the passphrase cannot be found.
    """
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
            f"{path} does not contain a private key for SSH ({error})",
            place=node,
            remedy="set it to the private key file of an ed25519, ECDSA or RSA key",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"the private key {path} cannot be read ({error.strerror})",
            place=node,
            remedy="set a readable key file",
        ) from error


def needs_passphrase(path: str) -> bool:
    """Whether a file holds a private key that only a passphrase opens."""
    try:
        _load(path, None)
    except (paramiko.PasswordRequiredException, TypeError):
        return True
    except (ValueError, OSError, paramiko.SSHException, UnknownKeyType):
        return False  # not a key: the login reports it
    return False


def _load(path: str, passphrase: bytes | None) -> paramiko.PKey:
    # annotated as str, but cryptography accepts only bytes
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
            remedy=f"put the right one there (test: ssh-keygen -y -f {shlex.quote(path)})",
        ) from error


def _needs_passphrase(path: str, node: str) -> KeyFileError:
    return KeyFileError(
        f"the private key {path} is protected by a passphrase, which cannot be typed here",
        place=node,
        remedy="set the passphrase's reference, ssh: {passphrase: {env: VARIABLE}} or {file: PATH}, "
        f"or use a key without one (ssh-keygen -p -f {shlex.quote(path)} removes it from this one)",
    )


# Returns the methods that the server still requires; empty if authenticated.
Attempt = Callable[[paramiko.Transport], list[str]]

_AGENT_CANNOT_SIGN = "key cannot be used for signing"


@dataclass(frozen=True)
class AuthMethod:
    """One authentication method: its name in errors, its attempts, and the remedy if all are refused."""

    what: str
    attempts: tuple[Attempt, ...]
    remedy: str
    password: bool = False


@contextlib.contextmanager
def auth_methods(machine: Machine, budget: Budget) -> Iterator[tuple[AuthMethod, ...]]:
    """The methods to log in that the inventory names, in their order. Nothing has been sent to the machine yet.

    Raises:
        KeyFileError, InputError: a key file that cannot be used, a secret that cannot be found, or, where the agent is
            the only method, an agent without keys or none at all.
    """
    hop = machine.hop
    methods: list[AuthMethod] = []
    with contextlib.ExitStack() as stack:
        key = private_key(hop.key_file, hop.passphrase, machine.name) if hop.key_file is not None else None
        if key is not None:
            methods.append(_by_key(machine, key))
        if hop.agent:
            try:
                keys = stack.enter_context(agent_keys(machine.name, budget.left))
            except InputError as error:
                if key is None and hop.password is None:
                    raise
                # Another method may do; if none does, this is part of the reason.
                methods.append(AuthMethod(f"no key of an agent was tried: {error.message}", (), error.remedy))
            else:
                methods.append(_by_agent(machine, [one for one in keys if key is None or one.blob != key.asbytes()]))
        if hop.password is not None:
            secret = hop.password.resolve(f"{machine.name}: ssh.password")
            methods.append(_by_password(machine, str(hop.password), secret))
        yield tuple(methods)


def _by_key(machine: Machine, key: paramiko.PKey) -> AuthMethod:
    return AuthMethod(
        f"the key {machine.hop.key_file}",
        (lambda transport: transport.auth_publickey(machine.hop.user, key),),
        "check user and key, and that the public half is in the node's authorized_keys",
    )


def _by_agent(machine: Machine, keys: Sequence[paramiko.PKey]) -> AuthMethod:
    def attempt(key: paramiko.PKey, transport: paramiko.Transport) -> list[str]:
        return transport.auth_publickey(machine.hop.user, key)

    count = f"all {len(keys)} keys" if len(keys) > 1 else "the only key"
    return AuthMethod(
        f"{count} of the ssh-agent" if keys else "no other key is in the ssh-agent",
        tuple(partial(attempt, key) for key in keys),
        "check the user, and with 'ssh-add -l' that the agent has the key that authorized_keys there names",
    )


def _by_password(machine: Machine, where: str, secret: str) -> AuthMethod:
    # A server that asks by keyboard-interactive only, as PAM's do, is answered by paramiko with the same password.
    return AuthMethod(
        f"the password in {where}",
        (lambda transport: transport.auth_password(machine.hop.user, secret),),
        "check the user and the password, and that its sshd takes passwords at all (PasswordAuthentication)",
        password=True,
    )


def authenticate(
    transport: paramiko.Transport, machine: Machine, methods: Sequence[AuthMethod], budget: Budget
) -> None:
    """Log in, by the first method that the server takes; where it wants several (``AuthenticationMethods``), by those.

    Raises:
        UnreachableError: it accepts none, or does not answer in time.
    """
    tried: list[AuthMethod] = []
    wanted: list[str] = []
    for method in methods:
        for attempt in method.attempts:
            transport.auth_timeout = budget.left
            try:
                still = attempt(transport)
            except (paramiko.SSHException, OSError, EOFError) as error:
                _refused(transport, machine, (*tried, method), budget, error)
                allowed = getattr(error, "allowed_types", [])
                if method.password and allowed and not {"password", "keyboard-interactive"} & set(allowed):
                    method = replace(method, attempts=(), what=f"it accepts no passwords, only {', '.join(allowed)}")
                    break
            else:
                if not still:
                    return
                wanted = still
        tried.append(method)
    raise _all_refused(machine, tried, wanted)


def _refused(
    transport: paramiko.Transport, machine: Machine, tried: Sequence[AuthMethod], budget: Budget, error: Exception
) -> None:
    """Return where the next attempt may begin: the server said no and waits for it."""
    if budget.passed:
        raise machine.unreachable("the server does not answer the login in time") from error
    if isinstance(error, paramiko.AuthenticationException) and transport.is_active():
        return
    if _AGENT_CANNOT_SIGN in str(error):
        raise UnreachableError(
            machine.name,
            f"the ssh-agent does not sign with its key for {machine.address}: it is locked, or its owner refused",
            remedy="unlock it (ssh-add -X), or confirm when it asks",
        ) from error
    attempts = sum(len(method.attempts) for method in tried)
    if attempts > 1:
        raise UnreachableError(
            machine.name,
            f"{machine.address} closed the connection after up to {attempts} refused attempts to log in",
            remedy="its sshd takes only so many (MaxAuthTries): name the right key as key_file, or leave fewer keys in "
            "the agent",
        ) from error
    raise machine.unreachable("the connection was closed during the login") from error


def _all_refused(machine: Machine, tried: Sequence[AuthMethod], wanted: Sequence[str]) -> UnreachableError:
    refused = " and ".join(method.what for method in tried if method.attempts)
    more = f" (it wants more than one method to log in, also: {', '.join(wanted)})" if wanted else ""
    said = [f"refuses {refused}{more}"] if refused else []
    said += [method.what for method in tried if not method.attempts]
    return UnreachableError(
        machine.name,
        f"{machine.address} {'; '.join(said)}",
        remedy="; ".join(dict.fromkeys(method.remedy for method in tried)),
    )
