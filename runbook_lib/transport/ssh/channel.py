"""One command on an open channel, and a channel in the place of a socket."""

from __future__ import annotations

import contextlib
import io
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paramiko

from runbook_lib.transport.ssh.shell import without_marks

_CHUNK = 1 << 17
# paramiko has no event for an opened send window: poll it while input waits.
_WINDOW_LOOK = 0.005
_LONGEST_WAIT = 1.0


# What paramiko raises when a connection fails under it.
FAULTS = (paramiko.SSHException, OSError, EOFError)


def close(channel: paramiko.Channel) -> None:
    """Close a channel, even if its connection is lost."""
    with contextlib.suppress(*FAULTS):
        channel.close()


@contextlib.contextmanager
def closing(channel: paramiko.Channel) -> Iterator[paramiko.Channel]:
    """Close a channel at the end of the block."""
    try:
        yield channel
    finally:
        close(channel)


@contextlib.contextmanager
def closed_at(channel: paramiko.Channel, deadline: float) -> Iterator[None]:
    """Close the channel if the block, whose calls have no timeout, is not done by the deadline.

    Raises:
        TimeoutError: it was not.
    """
    watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), close, [channel])
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    except FAULTS as error:
        if time.monotonic() >= deadline:
            raise TimeoutError from error
        raise
    finally:
        watchdog.cancel()


# Whether stdout and stderr contain only our own marks so far.
Quiet = Callable[[bytes, bytes], bool]


class NotBegun(TimeoutError):
    """What came on both outputs instead of the sign that a command begins."""

    def __init__(self, stdout: bytes, stderr: bytes) -> None:
        super().__init__("it has not begun in time")
        self.stdout, self.stderr = stdout, stderr


def exchange(
    channel: paramiko.Channel, stdin: bytes, deadline: float, *, sign: bytes, begin_by: float, quiet: Quiet
) -> tuple[bytes, bytes]:
    """Feed standard input and collect both outputs until the command ends or the connection does.

    As with ``ssh``, a command has ended when it has exited *and* nothing holds its outputs open any more.

    Raises:
        TimeoutError: it has not ended by the deadline.
        NotBegun: ``sign`` has not come on its standard output at ``begin_by``, and something else has (not ``quiet``);
            or nothing at all by the deadline.
    """
    begun = False
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    stdout, stderr = bytearray(), bytearray()
    rest = memoryview(stdin)
    if not rest:
        channel.shutdown_write()
    while True:
        # Asked before the buffers are emptied: what arrived before the end is in them.
        over = channel.closed or (channel.eof_received and channel.exit_status_ready())
        moved = _receive(channel, stdout, stderr)
        if rest:
            unsent = _send(channel, rest)
            moved = moved or len(unsent) < len(rest)
            rest = unsent
        if over and not moved:
            return bytes(stdout), bytes(stderr)
        begun = begun or sign in stdout
        now = time.monotonic()
        late = not begun and begin_by < deadline and now >= begin_by
        if late and (now >= deadline or not quiet(bytes(stdout), bytes(stderr))):
            raise NotBegun(bytes(stdout), bytes(stderr))
        if now >= deadline:
            raise TimeoutError
        left = (deadline if begun or late else min(deadline, begin_by)) - now
        if moved:
            continue
        if rest:
            poller.poll(min(left, _WINDOW_LOOK) * 1000)
        elif channel.eof_received:
            # The poller would return at once from now on; only the exit status is still to come.
            channel.status_event.wait(min(left, _LONGEST_WAIT))
        else:
            poller.poll(min(left, _LONGEST_WAIT) * 1000)


def read_until(
    channel: paramiko.Channel, sign: bytes, deadline: float, *, begin_by: float, quiet: Quiet
) -> tuple[bytes, bytes]:
    """Read standard output up to and with ``sign``, and no further; what came there and on standard error.

    Raises:
        NotBegun: ``sign`` has not come at ``begin_by``, and something else has (not ``quiet``); or nothing at all by
            the deadline.
    """
    stdout, stderr = bytearray(), bytearray()
    channel.settimeout(0.1)
    while not stdout.endswith(sign):
        try:
            byte = channel.recv(1)
        except TimeoutError:
            now = time.monotonic()
            if now < min(begin_by, deadline):
                continue
            stderr += _waiting_stderr(channel)
            if now < deadline and quiet(bytes(stdout), bytes(stderr)):
                continue
            raise NotBegun(bytes(stdout), bytes(stderr)) from None
        if not byte:
            break
        stdout += byte
    channel.settimeout(None)
    while not stdout.endswith(sign) and (more := channel.recv_stderr(_CHUNK)):  # it has ended: nothing is waited for
        stderr += more
    return bytes(stdout), bytes(stderr)


def _waiting_stderr(channel: paramiko.Channel) -> bytes:
    """What has come on standard error and was not read yet."""
    return channel.recv_stderr(_CHUNK) if channel.recv_stderr_ready() else b""


def _receive(channel: paramiko.Channel, stdout: bytearray, stderr: bytearray) -> bool:
    moved = False
    if channel.recv_ready():
        stdout += channel.recv(_CHUNK)
        moved = True
    if channel.recv_stderr_ready():
        stderr += channel.recv_stderr(_CHUNK)
        moved = True
    return moved


def _send(channel: paramiko.Channel, rest: memoryview) -> memoryview:
    """Send what the window takes now; returns what is still to be sent."""
    try:
        while rest and channel.send_ready() and not channel.closed:
            sent = channel.send(bytes(rest[:_CHUNK]))
            if sent == 0:
                break
            rest = rest[sent:]
        if not rest:
            channel.shutdown_write()
    except OSError:
        return rest[:0]  # the command ended without reading it all, as 'head' does
    return rest[:0] if channel.closed else rest


class ChannelSocket:
    """What ``http.client`` uses of a socket; it stays open until the files made from it are closed too.

    Faults of the connection are raised as ``ConnectionResetError``, as a socket does.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._files = 0
        self._closing = False

    @property
    def usable(self) -> bool:
        """False once either side has ended it."""
        return not (self._closing or self._channel.closed or self._channel.eof_received)

    def settimeout(self, seconds: float | None) -> None:
        """Let reading and writing wait this long."""
        self._channel.settimeout(seconds)

    def sendall(self, data: Any) -> None:
        """Send all of it.

        Raises:
            BrokenPipeError: the other end has ended, which HTTP clients take for a reason to read what it said before.
        """
        try:
            with _faults_as_socket():
                self._channel.sendall(bytes(data))
        except ConnectionResetError as error:
            raise BrokenPipeError(str(error)) from error

    def recv(self, size: int) -> bytes:
        """What has arrived, at most ``size`` bytes; nothing at the end."""
        with _faults_as_socket():
            return self._channel.recv(size)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """A file that reads from it."""
        self._files += 1
        return io.BufferedReader(_Reader(self))

    def complaint(self) -> str:
        """The standard error of the command at the other end."""
        said = b""
        while self._channel.recv_stderr_ready():
            said += self._channel.recv_stderr(65536)
        return without_marks(said.decode(errors="replace"))

    def release(self) -> None:
        """Record that a file made from it was closed."""
        self._files -= 1
        if self._closing:
            self.close()

    def close(self) -> None:
        """Close it, as soon as no file reads from it any more."""
        self._closing = True
        if self._files <= 0:
            self.shut()

    def shut(self) -> None:
        """Close it now; pending reads end."""
        close(self._channel)


class _Reader(io.RawIOBase):
    def __init__(self, sock: ChannelSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._sock.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._sock.release()


@contextlib.contextmanager
def _faults_as_socket() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise
    except FAULTS as error:
        raise ConnectionResetError(str(error) or "the SSH connection was lost") from error
