"""The rule for host keys of SSH clients that other packages open: known_hosts decides, nothing is trusted on sight."""

from __future__ import annotations

import re
from pathlib import Path

import paramiko

from runbook_lib.errors import HostKeyError
from runbook_lib.transport.ssh.known_hosts import fingerprint, read_known_keys

_WITH_PORT = re.compile(r"\[(?P<host>.*)\]:(?P<port>\d+)")


class KnownHostsPolicy(paramiko.MissingHostKeyPolicy):
    """Accepts a host key that an OpenSSH known_hosts file vouches for."""

    def __init__(self, known_hosts: Path) -> None:
        self._known_hosts = known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Let the connection go on, or refuse it.

        Raises:
            HostKeyError: the file has no such key of this host.
            InputError: the file cannot be read.
        """
        found = _WITH_PORT.fullmatch(hostname)
        host, port = (found["host"], int(found["port"])) if found else (hostname, 22)
        known = read_known_keys(str(self._known_hosts), host, port)
        if known.trusts(key):
            return
        raise HostKeyError(
            hostname,
            offered=fingerprint(key),
            expected=", ".join(fingerprint(one) for one in known.trusted) or None,
            known_hosts=str(self._known_hosts),
            host=hostname,
            revoked=known.revokes(key),
        )
