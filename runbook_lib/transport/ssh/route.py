"""The route to a machine through shared jump host connections, and the host keys on it.

Jump host connections are shared because an sshd lets about ten clients log in at once (MaxStartups 10:30:100) and drops
others at random. Forwarded connections do not count as sessions (MaxSessions), so that one connection carries any
number of them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import paramiko

from runbook_lib.errors import InputError, NodeError, RunbookError
from runbook_lib.model.inventory import Inventory, SshHop
from runbook_lib.transport.ssh.channel import FAULTS
from runbook_lib.transport.ssh.endpoint import Budget, Machine, machine_of_jump, machine_of_node
from runbook_lib.transport.ssh.known_hosts import KnownKeys, fingerprint, read_known_keys, record_key
from runbook_lib.transport.ssh.login import Transport, key_exchanged, log_in

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
    """A transport to a machine that is logged in on, through its jump hosts, all of them within one budget.

    Raises what ``log_in`` does; an error of a jump host names it as its place.
    """
    with _way_to(machine, budget) as (before, share):
        return log_in(machine, before, share.give_back, budget)


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
        with key_exchanged(machine, before, known, share.give_back, budget) as transport:
            key = transport.get_remote_server_key()
        transport.close()
    return key, known


_SESSION_RETRY_SECONDS = 0.05


class Link:
    """A node's transport, shared by threads: each gets its own channels."""

    def __init__(self, machine: Machine, connect_seconds: float) -> None:
        self._machine = machine
        self._connect_seconds = connect_seconds
        self._opening = threading.Lock()  # held while connecting, so that threads share one attempt
        self._state = threading.Lock()  # held for moments only, so that close() never waits for a connect
        self._transport: paramiko.Transport | None = None
        self._closings = 0
        self._attempts = 0
        self._last_error: RunbookError | None = None

    def close(self) -> None:
        """Close the transport, ending whatever runs over it; the next channel opens a new one."""
        with self._state:
            transport, self._transport = self._transport, None
            self._closings += 1
        if transport is not None:
            transport.close()

    def connected(self) -> tuple[paramiko.Transport, bool]:
        """The open transport, and whether it was opened just now."""
        with self._state:
            seen = self._attempts
        with self._opening:
            with self._state:
                transport, closings = self._transport, self._closings
            if transport is not None and transport.is_active():
                return transport, False
            if transport is not None:
                self.discard(transport)  # it died: what it ran over is given back
            if self._attempts != seen and self._last_error is not None:
                raise self._last_error  # another thread tried while this one waited
            try:
                opened = open_machine(self._machine, Budget(self._connect_seconds))
                self._last_error = None
            except RunbookError as error:
                self._last_error = error
                raise
            finally:
                self._attempts += 1
            with self._state:
                if closings == self._closings:
                    self._transport = opened
                    return opened, True
        opened.close()
        raise self._machine.unreachable("it was closed while it was opening")

    def session(self, deadline: float) -> paramiko.Channel:
        """A new channel; a kept connection that turns out dead is opened again, for nothing ran on it yet."""
        transport, fresh = self.connected()
        try:
            return self._open_session(transport, deadline)
        except FAULTS as error:
            self.discard(transport)
            if fresh or time.monotonic() >= deadline:
                raise self._machine.unreachable(str(error) or type(error).__name__) from error
        transport, _ = self.connected()
        try:
            return self._open_session(transport, deadline)
        except FAULTS as error:
            self.discard(transport)
            raise self._machine.unreachable(str(error) or type(error).__name__) from error

    def _open_session(self, transport: paramiko.Transport, deadline: float) -> paramiko.Channel:
        """A channel of a transport. While the node has too many sessions open already, wait for one to end."""
        give_up = min(deadline, time.monotonic() + self._connect_seconds)
        while True:
            try:
                return transport.open_session(timeout=max(0.1, give_up - time.monotonic()))
            except paramiko.SSHException as error:
                # paramiko keeps one exception for all threads: a refusal is not always a ChannelException here.
                if transport.is_active() and time.monotonic() < give_up:
                    time.sleep(_SESSION_RETRY_SECONDS)
                elif isinstance(error, paramiko.ChannelException):
                    raise NodeError(
                        self._machine.name,
                        f"sshd opens no further session on this connection ({error.text})",
                        remedy="raise MaxSessions in its sshd_config, or ask less at once",
                    ) from error
                else:
                    raise

    def discard(self, transport: paramiko.Transport) -> None:
        """Close a dead transport, but not the one that another thread may have opened since."""
        with self._state:
            if self._transport is transport:
                self._transport = None
        transport.close()

    @contextlib.contextmanager
    def translate_disconnects(self, channel: paramiko.Channel) -> Iterator[None]:
        """Raise a lost connection's faults as ``UnreachableError``."""
        try:
            yield
        except TimeoutError:
            raise
        except FAULTS as error:
            transport = transport_of(channel)
            # paramiko calls a transport active for a moment after it has read its end, which is not a refusal.
            if transport.is_active() and not isinstance(error, EOFError):
                raise NodeError(self._machine.name, f"sshd refuses to run a command ({error})") from error
            self.discard(transport)
            raise self._machine.unreachable(str(error) or "the connection was closed") from error


def transport_of(channel: paramiko.Channel) -> paramiko.Transport:
    """The transport that a channel runs over."""
    return channel.get_transport()


class TrustState(Enum):
    """Whether known_hosts trusts the key that a machine offers."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    DIFFERENT = "different"
    REVOKED = "revoked"


@dataclass(frozen=True)
class OfferedKey:
    """The host key that a machine offers: ``fingerprint`` is its SHA-256, ``expected`` those of the recorded keys."""

    machine: Machine
    key: paramiko.PKey
    trust: TrustState
    expected: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Its type, such as ``ssh-ed25519``."""
        return fingerprint(self.key).split()[0]

    @property
    def fingerprint(self) -> str:
        """Its SHA-256 fingerprint, as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.key).split()[1]

    def record(self) -> None:
        """Add it to the machine's known_hosts file, which is made where there is none.

        Raises:
            ValueError: another key is recorded, or this one is revoked; neither is ever replaced.
            InputError: the file cannot be written.
        """
        if self.trust in (TrustState.DIFFERENT, TrustState.REVOKED):
            raise ValueError(f"the key of {self.machine.address} is {self.trust.value}")
        hop = self.machine.hop
        if self.trust is TrustState.UNKNOWN:
            record_key(hop.known_hosts, hop.host, hop.port, self.key)


def machines_by_depth(inventory: Inventory) -> Iterator[list[Machine]]:
    """Every machine of an inventory once, jump hosts before what is behind them: first those reached from here.

    Two nodes at the same host and port are one machine, if they have the same known_hosts file and way there.
    """
    machines: dict[tuple[object, ...], Machine] = {}
    for node in inventory.nodes:
        jumps = [machine_of_jump(node.ssh.jump[: end + 1]) for end in range(len(node.ssh.jump))]
        for machine in (*jumps, machine_of_node(node)):
            hop = machine.hop
            machines.setdefault((hop.host, hop.port, hop.known_hosts, machine.jump), machine)
    depth = 0
    while level := [machine for machine in machines.values() if len(machine.jump) == depth]:
        yield level
        depth += 1


def ask_for_key(machine: Machine, seconds: float) -> OfferedKey:
    """The key that a machine offers now. Its jump hosts are logged in on, the machine itself is not.

    Raises:
        UnreachableError: it does not answer, or a jump host forwards no connection.
        HostKeyError: the key of a jump host is not known yet, or not the right one.
        InputError: known_hosts cannot be read; or as a login on a jump host.
    """
    key, known = offered_key(machine, seconds)
    return OfferedKey(machine, key, _trust(key, known.trusted, known.revokes(key)), _fingerprints(known.trusted))


def _trust(key: paramiko.PKey, trusted: Sequence[paramiko.PKey], revoked: bool) -> TrustState:
    if revoked:
        return TrustState.REVOKED
    if key.asbytes() in {one.asbytes() for one in trusted}:
        return TrustState.KNOWN
    return TrustState.DIFFERENT if trusted else TrustState.UNKNOWN


def _fingerprints(keys: Sequence[paramiko.PKey]) -> tuple[str, ...]:
    return tuple(fingerprint(key) for key in keys)
