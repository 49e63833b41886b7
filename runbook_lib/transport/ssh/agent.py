"""The keys of the running ssh-agent."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import paramiko
from paramiko.agent import AgentKey, AgentSSH

from runbook_lib.errors import InputError

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
    """The keys of the agent that ``SSH_AUTH_SOCK`` leads to, at least one; they sign until the block ends.

    Args:
        place: who wants to log in, for the errors.
        seconds: how long the agent may take for each answer.

    Raises:
        InputError: there is no agent, it does not answer, or it has no keys.
    """
    agent = _open(place, seconds)
    try:
        keys = agent.get_keys()
        if not keys:
            raise InputError(
                "the ssh-agent is running and has no keys", place=place, remedy="give it one: ssh-add KEY_FILE"
            )
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
        f"the ssh-agent at {path} ({_VARIABLE}) cannot be asked ({why})",
        place=place,
        remedy="is it still running? start a new one: eval $(ssh-agent); ssh-add KEY_FILE",
    )
