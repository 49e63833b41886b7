"""Ways to machines behind jump hosts. Nodes behind the same jump host share one connection to it.

They have to: an sshd lets about ten clients log in at once (MaxStartups 10:30:100) and drops others at random.
Forwarded connections do not count as sessions (MaxSessions), so that one connection carries any number of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko

from runbook_lib.errors import InputError, RunbookError
from runbook_lib.model.inventory import NodeSpec, SshHop
from runbook_lib.transport.ssh.known_hosts import KnownKeys, read_known_keys
from runbook_lib.transport.ssh.login import Transport, greeted, log_in
from runbook_lib.transport.ssh.machine import Budget, Machine, machine_of_jump, machine_of_node

Path = tuple[SshHop, ...]


@dataclass
class _Shared:
    """The connection to a jump host, and how many others run over it."""

    users: int = 0
    transport: Transport | None = None
    attempts: int = 0
    last_error: RunbookError | None = None
    opening: threading.Lock = field(default_factory=threading.Lock)


class _JumpHosts:
    def __init__(self) -> None:
        self._state = threading.Lock()  # held for moments only
        self._shared: dict[Path, _Shared] = {}

    def take(self, path: Path, budget: Budget) -> Transport:
        """The open transport to the last jump host of a path; ``give_back`` it afterwards."""
        with self._state:
            shared = self._shared.setdefault(path, _Shared())
            shared.users += 1
            seen = shared.attempts
        try:
            return self._open(shared, seen, path, budget)
        except BaseException:
            self.give_back(path)
            raise

    def _open(self, shared: _Shared, seen: int, path: Path, budget: Budget) -> Transport:
        machine = machine_of_jump(path)
        if not shared.opening.acquire(timeout=budget.left):
            raise machine.unreachable(f"no answer within {budget.seconds:g} s")
        try:
            if shared.transport is not None and shared.transport.is_active():
                return shared.transport
            if shared.attempts != seen and shared.last_error is not None:
                raise shared.last_error  # another thread tried while this one waited
            if shared.transport is not None:
                shared.transport.close()
                shared.transport = None
            try:
                shared.transport, shared.last_error = open_machine(machine, budget), None
            except RunbookError as error:
                shared.last_error = error
                raise
            finally:
                shared.attempts += 1
            return shared.transport
        finally:
            shared.opening.release()

    def give_back(self, path: Path) -> None:
        """Close the transport when nothing runs over it any more."""
        with self._state:
            shared = self._shared[path]
            shared.users -= 1
            if shared.users:
                return
            del self._shared[path]
        if shared.transport is not None:
            shared.transport.close()


_JUMP_HOSTS = _JumpHosts()


class _Share:
    """One user's share of a jump host's connection, given back once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._once = threading.Lock()

    def give_back(self) -> None:
        if self._path and self._once.acquire(blocking=False):
            _JUMP_HOSTS.give_back(self._path)


@contextlib.contextmanager
def _way_to(machine: Machine, budget: Budget) -> Iterator[tuple[paramiko.Transport | None, _Share]]:
    """The transport to the jump host before a machine, if there is one; given back here when the block raises."""
    before = _JUMP_HOSTS.take(machine.jump, budget) if machine.jump else None
    share = _Share(machine.jump)
    try:
        yield before, share
    except BaseException:
        share.give_back()
        raise


def open_machine(machine: Machine, budget: Budget) -> Transport:
    """A transport to a machine that is logged in on, through its jump hosts. Raises what ``log_in`` does."""
    with _way_to(machine, budget) as (before, share):
        return log_in(machine, before, share.give_back, budget)


def open_transport(node: NodeSpec, seconds: float) -> Transport:
    """An authenticated transport to a node; all of it, jump hosts included, takes at most ``seconds``.

    Raises what ``log_in`` does; an error of a jump host names it as its place.
    """
    return open_machine(machine_of_node(node), Budget(seconds))


def offered_key(machine: Machine, seconds: float) -> tuple[paramiko.PKey, KnownKeys]:
    """The host key that a machine shows, without a login there, and what its known_hosts says of the machine.

    A machine with several keys shows one of a type that known_hosts has, if there is any. A known_hosts file that does
    not exist knows nothing. Jump hosts before the machine are logged in on, so that their keys must be known.

    Raises what ``log_in`` does.
    """
    hop, budget = machine.hop, Budget(seconds)
    try:
        known = read_known_keys(hop.known_hosts, hop.host, hop.port)
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        known = KnownKeys()
    with _way_to(machine, budget) as (before, share):
        with greeted(machine, before, known, share.give_back, budget) as transport:
            key = transport.get_remote_server_key()
        transport.close()
    return key, known
