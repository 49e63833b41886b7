"""The kept transport of a connection: opened at first use, reopened when it died, with channels on it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import paramiko

from runbook_lib.errors import NodeError, RunbookError
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.transport.ssh.exchange import FAULTS
from runbook_lib.transport.ssh.jump import open_transport
from runbook_lib.transport.ssh.machine import machine_of_node

_SESSION_RETRY_SECONDS = 0.05


class Link:
    """A node's transport, shared by threads: each of them gets channels of its own."""

    def __init__(self, node: NodeSpec, connect_seconds: float) -> None:
        self._node = node
        self._machine = machine_of_node(node)
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
                opened = open_transport(self._node, self._connect_seconds)
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
                        self._node.name,
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
    def may_vanish(self, channel: paramiko.Channel) -> Iterator[None]:
        """Turn the faults of a connection that dies in the middle into ``UnreachableError``."""
        try:
            yield
        except TimeoutError:
            raise
        except FAULTS as error:
            transport = transport_of(channel)
            # paramiko calls a transport active for a moment after it has read its end, which is no refusal.
            if transport.is_active() and not isinstance(error, EOFError):
                raise NodeError(self._node.name, f"sshd refuses to run a command ({error})") from error
            self.discard(transport)
            raise self._machine.unreachable(str(error) or "the connection was closed") from error


def transport_of(channel: paramiko.Channel) -> paramiko.Transport:
    """The transport that a channel runs over."""
    return channel.get_transport()
