"""Notices a machine that goes away without a word behind a jump host, where no kernel on the way tells of it."""

from __future__ import annotations

import threading

import paramiko

# As long as a straight connection's silence may last before the kernel drops it (login.SOCKET_OPTIONS).
EVERY_SECONDS = 5.0
PATIENCE_SECONDS = 10.0


class Pulse(threading.Thread):
    """Asks the other end for a sign of life, again and again, and cuts the connection when none comes.

    The jump host's sshd holds the TCP connection to the machine, and the one from here to the jump host stays well.
    OpenSSH's client asks in the same way (ServerAliveInterval); every server answers, if only that it cannot do that.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__(name="ssh-pulse", daemon=True)
        self._transport = transport
        self._over = threading.Event()

    def run(self) -> None:
        """Ask until the transport is closed or silent."""
        while not self._over.wait(EVERY_SECONDS) and self._transport.is_active():
            cut = threading.Timer(PATIENCE_SECONDS, self._transport.close)
            cut.daemon = True
            cut.start()
            try:
                self._transport.global_request("keepalive@openssh.com", wait=True)  # returns when the transport ends
            except (paramiko.SSHException, OSError, EOFError):
                return  # it ended
            finally:
                cut.cancel()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
