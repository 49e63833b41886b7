"""HTTP to an engine: over TLS, or through the node's SSH connection.

Both have separate timeouts to connect and to answer, detect a lost node, drop stale connections, and can be closed from
another thread.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ProtocolError
from urllib3.util.ssl_ import create_urllib3_context

from runbook_lib import journal
from runbook_lib.errors import SudoError
from runbook_lib.redact import Redactor
from runbook_lib.transport.ssh import SOCKET_OPTIONS, ChannelSocket, SshConnection

# An older kept connection is not used for calls that must not be repeated: the node may have rebooted.
_FRESH_SECONDS = 1.0
_DIAL_ENGINE = ("docker", "system", "dial-stdio")
# The docker client's error if the user may not use the engine's socket.
_MAY_NOT = "permission denied"
_FRAME_HEADER = 8
# Knows no values, only the shapes that are nothing but secrets.
_SHAPES = Redactor()


class Readable(Protocol):
    """The raw body of an answer."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


def read_frames(body: Readable, deadline: float) -> bytes:
    """The output of a process in a container, both streams together, to its end.

    Raises:
        ConnectionError: it was cut off.
        TimeoutError: it goes on at ``deadline`` (of the monotonic clock).
    """
    output = bytearray()
    # Each frame is one write of the process: a byte for the stream, three of padding, the length.
    while header := body.read(_FRAME_HEADER):
        length = struct.unpack(">BxxxL", header)[1] if len(header) == _FRAME_HEADER else 1
        data = body.read(length)
        if len(data) < length:
            raise ConnectionError("the output was cut off")
        output += data
        if time.monotonic() >= deadline:
            raise TimeoutError
    return bytes(output)


def innermost(error: BaseException) -> str:
    """The message of an error's first cause."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    return str(error) or type(error).__name__


class EndableAdapter(HTTPAdapter):
    """An adapter whose calls, in whatever thread, end when ``end`` is called."""

    def __init__(self, node: str, connect_seconds: float) -> None:
        """``node``: the name of the node whose engine it reaches, as the journal tells."""
        self._node = node
        self._connect_seconds = connect_seconds
        self._live: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ended = False
        self._last_used = time.monotonic()
        super().__init__()

    def register(self, connection: HTTPConnection) -> None:
        """Take a connection that opens; raises ``ConnectionError`` when the adapter has been ended."""
        with self._lock:
            if self._ended:
                raise ConnectionError("the connection was closed")
            self._live.add(connection)

    def end(self) -> None:
        """End every call that is under way and let no other begin."""
        with self._lock:
            self._ended = True
            live = list(self._live)
        for connection in live:
            _shut(connection.sock)
        self.close()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; a read is repeated once when the kept connection under it turns out stale."""
        read = kwargs.get("timeout")
        if isinstance(read, int | float):
            kwargs["timeout"] = (self._connect_seconds, read)
        repeatable = request.method in ("GET", "HEAD")
        if not repeatable and time.monotonic() - self._last_used > _FRESH_SECONDS:
            self.forget()
        try:
            return self._send(request, *args, **kwargs)
        except requests.ConnectionError as error:
            stale = bool(error.args) and isinstance(error.args[0], ProtocolError)
            if not (repeatable and stale) or self._ended:
                raise
            self.forget()
            return self._send(request, *args, **kwargs)
        finally:
            self._last_used = time.monotonic()

    def _send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        with journal.call(self._node, "docker", _words(request)) as answer:
            response = super().send(request, *args, **kwargs)
            answer.status = response.status_code
            return response

    def forget(self) -> None:
        """Drop the connections that are kept for later calls."""
        self.poolmanager.clear()


class TlsAdapter(EndableAdapter):
    """HTTPS over TCP."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools whose connections notice a dead peer and report to this adapter.

        Certificates are verified like by the docker command: docker-machine creates them without the key identifiers
            that RFC 5280 requires, and from Python 3.13 on urllib3 would refuse those (``VERIFY_X509_STRICT``).
        """
        context = create_urllib3_context(verify_flags=0)
        super().init_poolmanager(*args, socket_options=SOCKET_OPTIONS, ssl_context=context, **kwargs)

        class Pool(HTTPSConnectionPool):
            # A partial stands for the class: urllib3 only calls it. Static, or Python 3.14 would bind it as a method.
            ConnectionCls = staticmethod(functools.partial(_TlsConnection, register=self.register))  # type: ignore[assignment]

        self.poolmanager.pool_classes_by_scheme = {"https": Pool}


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, register: Callable[[HTTPConnection], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._register = register

    def connect(self) -> None:
        self._register(self)
        super().connect()


class SshAdapter(EndableAdapter):
    """HTTP to the engine's own socket, through ``docker system dial-stdio`` on the node's SSH connection."""

    def __init__(self, node: str, ssh: SshConnection, connect_seconds: float) -> None:
        self._ssh = ssh
        self._as_root = False
        super().__init__(node, connect_seconds)
        self._pool = self._new_pool()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        """The only pool: every address is the same engine."""
        return self._pool

    def forget(self) -> None:
        """Drop the channels that are kept for later calls."""
        old, self._pool = self._pool, self._new_pool()
        old.close()

    def close(self) -> None:
        """Close the kept channels."""
        self._pool.close()
        super().close()

    def _send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; if the user may not use the engine's socket, use root from then on.

        The request never reached the engine then, so that even one that changes something can be sent again.
        """
        try:
            return super()._send(request, *args, **kwargs)
        except requests.ConnectionError as error:
            if self._as_root or _MAY_NOT not in innermost(error).lower():
                raise
            answer = self._send_as_root(request, *args, **kwargs)
            if answer is None:
                raise  # the fault is the missing right to the socket; sudo is only a workaround
            return answer

    def _send_as_root(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response | None:
        """The answer through sudo, used from then on; ``None`` if sudo fails too."""
        self._as_root = True
        self.forget()
        try:
            return super()._send(request, *args, **kwargs)
        except (requests.ConnectionError, SudoError):
            self._as_root = False
            self.forget()
            return None

    def _new_pool(self) -> HTTPConnectionPool:
        class Pool(HTTPConnectionPool):
            ConnectionCls = staticmethod(  # type: ignore[assignment]
                functools.partial(_SshHttpConnection, dial=self._dial, register=self.register)
            )

        return Pool("localhost", maxsize=2)

    def _dial(self) -> ChannelSocket:
        return ChannelSocket(self._ssh.stream(_DIAL_ENGINE, sudo=self._as_root))


class _SshHttpConnection(HTTPConnection):
    """HTTP over an SSH channel, which stands for the socket."""

    def __init__(
        self, *args: Any, dial: Callable[[], ChannelSocket], register: Callable[[HTTPConnection], None], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._dial = dial
        self._register = register

    def connect(self) -> None:
        self._register(self)
        self._stream = self._dial()
        self._stream.settimeout(self.timeout)
        self.sock = cast(socket.socket, self._stream)

    @property
    def is_connected(self) -> bool:
        return self.sock is not None and self._stream.usable

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().getresponse(*args, **kwargs)
        except http.client.RemoteDisconnected as error:
            # The command's error output on the node is the true reason.
            raise http.client.RemoteDisconnected(self._stream.complaint() or str(error)) from None


def _words(request: requests.PreparedRequest) -> list[str]:
    """Method, path and, where it is text, the body: what was asked for, as a command's words are.

    A swarm's join token in it is masked here, before the journal cuts or writes anything.
    """
    words = [str(request.method), request.path_url]
    body = request.body
    if isinstance(body, bytes) and request.headers.get("Content-Type") == "application/json":
        body = body.decode(errors="replace")
    return [*words, _SHAPES(body)] if isinstance(body, str) and body else words


def _shut(sock: socket.socket | ChannelSocket | None) -> None:
    """Wake its readers."""
    if isinstance(sock, ChannelSocket):
        sock.shut()
    elif sock is not None:
        with contextlib.suppress(OSError):  # already closed
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
