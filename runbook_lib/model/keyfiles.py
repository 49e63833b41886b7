"""Private keys and certificates: they must exist, and only their owner may read a private key."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from runbook_lib.errors import KeyFileError
from runbook_lib.model.documents import Source
from runbook_lib.model.inventory import DockerAccess, Inventory, NodeSpec, SshHop, SwarmManager

Place = tuple[str | int, ...]

_PRIVATE_KEY = "private key"
_KNOWN_HOSTS = "known_hosts file"


def check_key_file(path: str, place: str) -> None:
    """Make sure that a private key exists and only its owner may read it.

    Raises:
        KeyFileError: with the command that mends it.
    """
    found = _key_fault(path)
    if found is not None:
        message, remedy = found
        raise KeyFileError(message, place=place, remedy=remedy)


def check_file(path: str, what: str, place: str) -> None:
    """Make sure that a file such as a certificate exists. Raises ``KeyFileError``."""
    if not Path(path).is_file():
        raise KeyFileError(f"the {what} {path} does not exist", place=place, remedy=f"name the right {what}")


def check_key_files(keys: Iterable[tuple[str, str]]) -> None:
    """Check many private keys, given as (path, place); every fault is in the one error that is raised.

    Raises:
        KeyFileError: naming each faulty file once, at the first place that uses it.
    """
    first_place: dict[str, str] = {}
    for path, place in keys:
        first_place.setdefault(path, place)
    found = [(path, place, fault) for path, place in first_place.items() if (fault := _key_fault(path))]
    if len(found) == 1:
        _, place, (message, remedy) = found[0]
        raise KeyFileError(message, place=place, remedy=remedy)
    if found:
        lines = "".join(f"\n  - {place}: {message}" for _, place, (message, _) in found)
        remedies = "; ".join(dict.fromkeys(remedy for _, _, (_, remedy) in found))
        raise KeyFileError(f"{len(found)} private keys cannot be used:{lines}", remedy=remedies)


def _key_fault(path: str) -> tuple[str, str] | None:
    """What is wrong with a private key, and the remedy; ``None`` when nothing is."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return f"the private key {path} cannot be read ({error.strerror})", "name the right key file"
    if not stat.S_ISREG(mode):
        return f"the private key {path} is not a file", "name the right key file"
    if stat.S_IMODE(mode) & 0o077:
        return (
            f"the private key {path} may be read by others (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {shlex.quote(path)}",
        )
    return None


def check_files(inventory: Inventory, source: Source, *, known_hosts: bool = True) -> None:
    """Make sure that every file an inventory names is there, and that only their owner may read private keys.

    Without ``known_hosts``, the files of that kind may be missing still.

    Raises:
        KeyFileError: as ``check_key_files`` does, then the first other file that is missing.
    """
    keys, others = list[tuple[str, str]](), dict[tuple[str, str], str]()
    for path, what, place in _files(inventory):
        if what == _PRIVATE_KEY:
            keys.append((path, source.place(*place)))
        elif known_hosts or what != _KNOWN_HOSTS:
            others.setdefault((path, what), source.place(*place))
    check_key_files(keys)
    for (path, what), told in others.items():
        check_file(path, what, told)


def _files(inventory: Inventory) -> Iterator[tuple[str, str, Place]]:
    """Every file that an inventory names: path, what it is and its place."""
    for index, node in enumerate(inventory.nodes):
        for hop, where in _hops(node, index):
            if hop.key_file is not None:
                yield hop.key_file, _PRIVATE_KEY, (*where, "key_file")
            yield hop.known_hosts, _KNOWN_HOSTS, (*where, "known_hosts")
        yield from _certificates(node.docker, ("nodes", index, "docker"))
    if inventory.swarm_manager is not None:
        yield from _certificates(inventory.swarm_manager, ("swarm_manager",))


def _certificates(access: DockerAccess | SwarmManager, where: Place) -> Iterator[tuple[str, str, Place]]:
    for name, path, what in (
        ("key", access.key, _PRIVATE_KEY),
        ("ca", access.ca, "certificate authority"),
        ("cert", access.cert, "client certificate"),
    ):
        if path is not None:
            yield path, what, (*where, name)


def _hops(node: NodeSpec, index: int) -> Iterator[tuple[SshHop, Place]]:
    """The logins on a node and its jump hosts, each with its place in the inventory."""
    where = ("nodes", index, "ssh")
    yield node.ssh, where
    for number, hop in enumerate(node.ssh.jump):
        yield hop, (*where, "jump", number)
