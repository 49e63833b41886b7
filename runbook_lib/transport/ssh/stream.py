"""A channel in the place of a socket, for libraries that speak HTTP over sockets only."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import paramiko

from runbook_lib.transport.ssh.exchange import FAULTS, close
from runbook_lib.transport.ssh.shell import without_marks


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
        """What the command at the other end has said on its standard error."""
        said = b""
        while self._channel.recv_stderr_ready():
            said += self._channel.recv_stderr(65536)
        return without_marks(said.decode(errors="replace"))

    def release(self) -> None:
        """Take note that a file made from it was closed."""
        self._files -= 1
        if self._closing:
            self.close()

    def close(self) -> None:
        """Close it, as soon as no file reads from it any more."""
        self._closing = True
        if self._files <= 0:
            self.shut()

    def shut(self) -> None:
        """Close it now, which ends whoever reads from it."""
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
