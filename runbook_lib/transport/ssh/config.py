"""A host's settings in OpenSSH's configuration.

Read with ``ssh -G``, since paramiko's parser lacks ``Include`` and other options.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from runbook_lib.errors import InputError
from runbook_lib.model.inventory import SshAccess, SshHop
from runbook_lib.transport.ssh.authentication import needs_passphrase

_SECONDS = 20.0
_MOST_JUMPS = 8


@dataclass(frozen=True)
class ConfiguredHost:
    """OpenSSH's login for a host; ``notes`` list settings that could not be used."""

    access: SshAccess
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SshConfig:
    """OpenSSH's configuration: the user's and the system's, or a file that is named, as ``ssh -F``."""

    file: Path | None = None

    def host(self, name: str, *, user: str | None = None, port: int | None = None) -> ConfiguredHost:
        """The login that ``ssh NAME`` would use; jump hosts come from ``ProxyJump``, each with its own configuration.

        Raises:
            InputError: no OpenSSH here, a configuration that it refuses, a ``ProxyCommand``, or a name that is none.
        """
        options = self._ask(name, user, port)
        jumps = [self._hop(hop) for hop in self._chain(name, options)]
        login, notes = _login(name, options)
        notes += [f"Jump host {hop['host']}: {text}" for hop, texts in jumps for text in texts]
        try:
            hops = tuple(SshHop.model_validate(hop) for hop, _ in jumps)
            return ConfiguredHost(SshAccess.model_validate({**login, "jump": hops}), tuple(notes))
        except ValidationError as error:
            why = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
            raise InputError(f"OpenSSH's configuration of {name}: {why}", remedy=f"see: ssh -G {name}") from error

    def _hop(self, hop: _Hop) -> tuple[Mapping[str, object], list[str]]:
        return _login(hop.host, self._ask(hop.host, hop.user, hop.port))

    def _chain(self, name: str, options: Mapping[str, Sequence[str]], depth: int = 0) -> list[_Hop]:
        """The jump hosts on the way. As OpenSSH has it, the first one's own ``ProxyJump`` holds, the others' do not."""
        if _first(options, "proxycommand", "none") != "none":
            raise InputError(
                f"{name} uses a ProxyCommand, which is not supported",
                remedy="write it as ProxyJump, or write this node into the inventory by hand",
            )
        given = _first(options, "proxyjump", "none")
        if given == "none":
            return []
        if depth == _MOST_JUMPS:
            raise InputError(f"the jump hosts of {name} form a loop", remedy=f"see: ssh -G {name}")
        hops = [_Hop.parse(text) for text in given.split(",")]
        first = hops[0]
        before = self._chain(first.host, self._ask(first.host, first.user, first.port), depth + 1)
        return [*before, *hops]

    def _ask(self, name: str, user: str | None, port: int | None) -> dict[str, list[str]]:
        """The options of ``ssh -G``, in lower case, each with its values."""
        program = shutil.which("ssh")
        if program is None:
            raise InputError(
                "OpenSSH is not installed on this machine: its configuration cannot be read",
                remedy="install it: apt-get install -y openssh-client",
            )
        argv = [program, "-G", *(["-F", str(self.file)] if self.file else [])]
        argv += [*(["-l", user] if user else []), *(["-p", str(port)] if port else []), "--", name]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"'ssh -G {name}' does not end", remedy="a 'Match exec' in it may be waiting") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise InputError(f"OpenSSH refuses {name!r}: {lines[-1]}", remedy=f"see: ssh -G {name}")
        return parse_options(done.stdout)


@dataclass(frozen=True)
class _Hop:
    host: str
    user: str | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> _Hop:
        """``[user@]host[:port]`` or ``ssh://…``, as ``ProxyJump`` takes it."""
        user, _, place = text.strip().removeprefix("ssh://").rstrip("/").rpartition("@")
        host, colon, port = place.rpartition(":")
        if not colon or not port.isdecimal():
            host, port = place, ""
        return cls(host.strip("[]"), user or None, int(port) if port else None)


def parse_options(text: str) -> dict[str, list[str]]:
    """The output of ``ssh -G``: an option a line, some of them several times."""
    options: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        options.setdefault(name.lower(), []).append(value.strip())
    return options


def _login(name: str, options: Mapping[str, Sequence[str]]) -> tuple[dict[str, object], list[str]]:
    """One machine's fields of the inventory, and what to tell about them."""
    host, user = _first(options, "hostname", name), _first(options, "user", getpass.getuser())
    port = int(_first(options, "port", "22"))
    tokens = {"%%": "%", "%d": str(Path.home()), "%h": host, "%n": name, "%p": str(port), "%r": user}
    tokens["%u"] = getpass.getuser()
    hosts_files = [_path(word, tokens) for word in _first(options, "userknownhostsfile", "").split()]
    login: dict[str, object] = {"host": host, "port": port, "user": user}
    key, note = _key([_path(text, tokens) for text in options.get("identityfile", ())])
    login |= {"agent": True} if key is None else {"key_file": str(key)}
    usable = [path for path in hosts_files if path.is_file()] or hosts_files[:1]
    login["known_hosts"] = str(usable[0] if usable else Path("~/.ssh/known_hosts").expanduser())
    return login, [note] if note else []


def _key(candidates: Sequence[Path]) -> tuple[Path | None, str]:
    """The first key file that can be used as it is; else ``None``, for ssh-agent, and why."""
    present = [path for path in candidates if path.is_file()]
    for path in present:
        if not needs_passphrase(str(path)):
            return path, ""
    if present:
        return None, f"The key {present[0]} has a passphrase, so ssh-agent's keys are used: ssh-add it there."
    return None, "No key file is there, so ssh-agent's keys are used."


def _path(text: str, tokens: Mapping[str, str]) -> Path:
    for token, value in tokens.items():
        text = text.replace(token, value)
    return Path(os.path.expandvars(text.strip('"'))).expanduser()


def _first(options: Mapping[str, Sequence[str]], name: str, usual: str) -> str:
    return next(iter(options.get(name, ())), "") or usual
