"""Logging in: by key file, then by the keys of the agent, then by password."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import paramiko

from runbook_lib.errors import InputError, UnreachableError
from runbook_lib.transport.ssh.agent import agent_keys
from runbook_lib.transport.ssh.keys import private_key
from runbook_lib.transport.ssh.machine import Budget, Machine

# Each returns what the server still wants after it; nothing when that was enough.
Attempt = Callable[[paramiko.Transport], list[str]]

_AGENT_CANNOT_SIGN = "key cannot be used for signing"


@dataclass(frozen=True)
class Way:
    """One way to log in: its name in errors, the attempts that it consists of, and what to do when all are refused."""

    what: str
    attempts: tuple[Attempt, ...]
    remedy: str
    password: bool = False


@contextlib.contextmanager
def ways_in(machine: Machine, budget: Budget) -> Iterator[tuple[Way, ...]]:
    """The ways to log in that the inventory names, in their order. Nothing has been sent to the machine yet.

    Raises:
        KeyFileError, InputError: a key file that cannot be used, a secret that cannot be found, or, where the agent is
            the only way, an agent without keys or none at all.
    """
    hop = machine.hop
    ways: list[Way] = []
    with contextlib.ExitStack() as stack:
        key = private_key(hop.key_file, hop.passphrase, machine.name) if hop.key_file is not None else None
        if key is not None:
            ways.append(_by_key(machine, key))
        if hop.agent:
            try:
                keys = stack.enter_context(agent_keys(machine.name, budget.left))
            except InputError as error:
                if key is None and hop.password is None:
                    raise
                # Another way may do; if none does, this is part of the reason.
                ways.append(Way(f"no key of an agent was tried: {error.message}", (), error.remedy))
            else:
                ways.append(_by_agent(machine, [one for one in keys if key is None or one.blob != key.asbytes()]))
        if hop.password is not None:
            secret = hop.password.resolve(f"{machine.name}: ssh.password")
            ways.append(_by_password(machine, str(hop.password), secret))
        yield tuple(ways)


def _by_key(machine: Machine, key: paramiko.PKey) -> Way:
    return Way(
        f"the key {machine.hop.key_file}",
        (lambda transport: transport.auth_publickey(machine.hop.user, key),),
        "check user and key, and that the public half is in the node's authorized_keys",
    )


def _by_agent(machine: Machine, keys: Sequence[paramiko.PKey]) -> Way:
    def attempt(key: paramiko.PKey, transport: paramiko.Transport) -> list[str]:
        return transport.auth_publickey(machine.hop.user, key)

    count = f"all {len(keys)} keys" if len(keys) > 1 else "the only key"
    return Way(
        f"{count} of the ssh-agent" if keys else "no other key is in the ssh-agent",
        tuple(partial(attempt, key) for key in keys),
        "check the user, and with 'ssh-add -l' that the agent has the key that authorized_keys there names",
    )


def _by_password(machine: Machine, where: str, secret: str) -> Way:
    # A server that asks by keyboard-interactive only, as PAM's do, is answered by paramiko with the same password.
    return Way(
        f"the password in {where}",
        (lambda transport: transport.auth_password(machine.hop.user, secret),),
        "check the user and the password, and that its sshd takes passwords at all (PasswordAuthentication)",
        password=True,
    )


def authenticate(transport: paramiko.Transport, machine: Machine, ways: Sequence[Way], budget: Budget) -> None:
    """Log in, by the first way that the server takes; where it wants several (``AuthenticationMethods``), by those.

    Raises:
        UnreachableError: it takes none of them, or does not answer in time.
    """
    tried: list[Way] = []
    wanted: list[str] = []
    for way in ways:
        for attempt in way.attempts:
            transport.auth_timeout = budget.left
            try:
                still = attempt(transport)
            except (paramiko.SSHException, OSError, EOFError) as error:
                _refused(transport, machine, (*tried, way), budget, error)
                allowed = getattr(error, "allowed_types", [])
                if way.password and allowed and not {"password", "keyboard-interactive"} & set(allowed):
                    way = replace(way, attempts=(), what=f"it takes no passwords, only {', '.join(allowed)}")
                    break
            else:
                if not still:
                    return
                wanted = still
        tried.append(way)
    raise _no_way(machine, tried, wanted)


def _refused(
    transport: paramiko.Transport, machine: Machine, tried: Sequence[Way], budget: Budget, error: Exception
) -> None:
    """Return where the next attempt may begin: the server said no and waits for it."""
    if budget.spent:
        raise machine.unreachable("the server does not answer the login in time") from error
    if isinstance(error, paramiko.AuthenticationException) and transport.is_active():
        return
    if _AGENT_CANNOT_SIGN in str(error):
        raise UnreachableError(
            machine.name,
            f"the ssh-agent does not sign with its key for {machine.address}: it is locked, or its owner said no",
            remedy="unlock it (ssh-add -X), or confirm when it asks",
        ) from error
    attempts = sum(len(way.attempts) for way in tried)
    if attempts > 1:
        raise UnreachableError(
            machine.name,
            f"{machine.address} closed the connection after up to {attempts} refused attempts to log in",
            remedy="its sshd takes only so many (MaxAuthTries): name the right key as key_file, or leave fewer keys in "
            "the agent",
        ) from error
    raise machine.unreachable("the connection was closed during the login") from error


def _no_way(machine: Machine, tried: Sequence[Way], wanted: Sequence[str]) -> UnreachableError:
    refused = " and ".join(way.what for way in tried if way.attempts)
    more = f" (it wants more than one way to log in, also: {', '.join(wanted)})" if wanted else ""
    said = [f"refuses {refused}{more}"] if refused else []
    said += [way.what for way in tried if not way.attempts]
    return UnreachableError(
        machine.name,
        f"{machine.address} {'; '.join(said)}",
        remedy="; ".join(dict.fromkeys(way.remedy for way in tried)),
    )
