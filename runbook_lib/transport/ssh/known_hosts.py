"""Reads and extends OpenSSH known_hosts files, and verifies host keys by them, never on first use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeys
from paramiko.pkey import UnknownKeyType

from runbook_lib.errors import HostKeyError, InputError
from runbook_lib.files import write_whole


def fingerprint(key: paramiko.PKey) -> str:
    """The key's type and SHA-256 fingerprint, as ``ssh-keygen -l`` prints them."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


@dataclass(frozen=True)
class KnownKeys:
    """One host's keys in known_hosts: trusted and revoked."""

    trusted: tuple[paramiko.PKey, ...] = ()
    revoked: tuple[paramiko.PKey, ...] = ()

    def trusts(self, key: paramiko.PKey) -> bool:
        """True if the host may show this key."""
        return key.asbytes() in {known.asbytes() for known in self.trusted} and not self.revokes(key)

    def revokes(self, key: paramiko.PKey) -> bool:
        """True if a ``@revoked`` line has this key."""
        return key.asbytes() in {known.asbytes() for known in self.revoked}

    @property
    def algorithms(self) -> frozenset[str]:
        """The signature algorithms of the trusted keys."""
        names = {key.get_name() for key in self.trusted}
        return frozenset(names | ({"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in names else set()))


def read_known_keys(path: str, host: str, port: int) -> KnownKeys:
    """The keys of one host in an OpenSSH known_hosts file: plain or hashed names, ``[host]:port``, several types.

    Raises:
        InputError: the file cannot be read, or a line about this host holds no key.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(
            f"known_hosts {path} cannot be read ({error.strerror})",
            remedy="set a file with the host keys of your nodes",
        ) from error
    name = known_hosts_name(host, port)
    keys: dict[str, list[paramiko.PKey]] = {"": [], "@revoked": []}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if marker in keys and len(fields) >= 2 and _names(fields[0], name):
            key = _parse_key(fields[1:3], f"{path}:{number}")
            if key is not None:
                keys[marker].append(key)
    return KnownKeys(tuple(keys[""]), tuple(keys["@revoked"]))


def known_hosts_name(host: str, port: int) -> str:
    """A machine's name in known_hosts: its port belongs to it, unless that is 22."""
    return host if port == 22 else f"[{host}]:{port}"


def record_key(path: str, host: str, port: int, key: paramiko.PKey) -> None:
    """Add a host's key to a known_hosts file, which is made (for its owner only) where there is none.

    The file is replaced in one step: a reader sees the old or the new file, never a part.

    Raises:
        InputError: the file cannot be written.
    """
    file = Path(path).resolve()  # a link stays one
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = file.read_bytes() if file.exists() else b""
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        line_end = b"" if not old or old.endswith(b"\n") else b"\n"
        line = f"{known_hosts_name(host, port)} {key.get_name()} {key.get_base64()}\n".encode()
        write_whole(file, old + line_end + line, durable=True, mode=mode, exact=True)
    except OSError as error:
        raise InputError(
            f"the host key cannot be written into {path} ({error.strerror})",
            remedy="set a writable known_hosts file",
        ) from error


def _names(patterns: str, host: str) -> bool:
    found = False
    for pattern in patterns.split(","):
        if pattern.startswith("|1|"):
            found |= _is_hash_of(pattern, host)
        elif pattern.startswith("!"):
            if _matches(pattern[1:], host):
                return False
        else:
            found |= _matches(pattern, host)
    return found


def _matches(pattern: str, host: str) -> bool:
    # '*' and '?' only: a bracket belongs to [host]:port and is not a character class
    return fnmatchcase(host, pattern.replace("[", "[[]"))


def _is_hash_of(hashed: str, host: str) -> bool:
    try:
        return HostKeys.hash_host(host, hashed) == hashed
    except (ValueError, IndexError, AssertionError):
        return False  # a damaged line matches no host, as in OpenSSH


def _parse_key(fields: Sequence[str], place: str) -> paramiko.PKey | None:
    """The public key of a line, or ``None`` for a type that paramiko does not speak."""
    try:
        key: paramiko.PKey = paramiko.PKey.from_type_string(fields[0], base64.b64decode(fields[1], validate=True))
    except UnknownKeyType:
        return None
    except (IndexError, binascii.Error, ValueError, paramiko.SSHException) as error:
        raise InputError(
            "this line does not contain a host key",
            place=place,
            remedy="it should read 'HOST TYPE KEY', as ssh-keyscan writes it",
        ) from error
    return key


_WITH_PORT = re.compile(r"\[(?P<host>.*)\]:(?P<port>\d+)")


class KnownHostsPolicy(paramiko.MissingHostKeyPolicy):
    """Accepts a host key that is in an OpenSSH known_hosts file."""

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
