"""A cluster of hosts of which only the logins are known: from OpenSSH's configuration, or from Docker's contexts.

Docker's contexts: ``contexts/meta/ID/meta.json``, with TLS material in ``contexts/tls/ID/docker``.

The ID of a folder is the SHA-256 of the context's name (docker/cli, cli/context/store).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import InputError
from runbook_lib.model.imports.draft import (
    PLACEHOLDER_SUBNET,
    Draft,
    DraftNode,
    Note,
    free_address,
    node_names,
    refuse_twins,
    subnet_around,
)
from runbook_lib.model.inventory import SshAccess


@dataclass(frozen=True)
class Host:
    """One host: what its source calls it, how to log in, how to reach its engine; ``notes`` are for its reader."""

    name: str
    ssh: SshAccess
    docker: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def draft_of_hosts(hosts: Sequence[Host], origin: str, name: str) -> Draft:
    """The parameter file of a cluster of hosts, in which network and control plane are guesses that say so.

    Raises:
        InputError: two hosts of one name or address.
    """
    names = node_names([host.name for host in hosts])
    found = {host.name: _address(host.ssh) for host in hosts}
    known = [address for address in found.values() if address]
    subnet = subnet_around(known)
    notes = [Note("platform", "How the hosts get their addresses; auto finds it out on each node.")]
    notes += _guesses(subnet)
    network = subnet or PLACEHOLDER_SUBNET
    taken = {address for address in known if ipaddress.IPv4Address(address) in network}
    nodes = []
    for host in hosts:
        address, node = found[host.name], names[host.name]
        if address not in taken:
            where = f", and not {address}" if address else ""
            address = free_address(network, taken)
            taken.add(address)
            text = f"Its address on the network between the nodes is not known: {address} is a placeholder{where}."
            notes.append(Note(f"nodes.{node}", f"{text} Fill it in.", fill_in=True))
        notes += [Note(f"nodes.{node}", text) for text in host.notes]
        login = host.ssh.model_dump(mode="json", exclude_defaults=True)
        nodes.append(DraftNode(node, address, login, host.docker))
    refuse_twins(nodes, "name each host once")
    return Draft(
        origin=origin,
        name=name,
        platform="auto",
        control_plane="swarm-mode",
        network={"interface": "eth0", "subnet": str(network)},
        nodes=tuple(nodes),
        notes=tuple(notes),
    )


def _guesses(subnet: ipaddress.IPv4Network | None) -> list[Note]:
    where = (
        "A guess around the hosts' addresses; 'ip -4 addr' on a node shows the real prefix length."
        if subnet
        else "The network between the nodes is not known: this is a placeholder. Fill it in."
    )
    return [
        Note(
            "control_plane",
            "A login does not show where the engines keep an overlay: swarm-mode is what people run today; etcd up to"
            " Docker 20.10; classic-swarm has a manager's endpoint besides. 'inventory check' shows what it finds.",
            fill_in=True,
        ),
        Note(
            "network.interface",
            "The interface of every node on the network between them: 'ip -4 addr' on a node shows it.",
            fill_in=True,
        ),
        Note("network.subnet", where + " Name gateway and dhcp_pool too, if the network has them.", fill_in=True),
    ]


def _address(access: SshAccess) -> str:
    """The IPv4 address at which SSH reaches a host, if the cluster could know it by that; else nothing."""
    try:
        address = str(ipaddress.IPv4Address(access.host))
    except ValueError:
        if access.jump:
            return ""  # the name means something to the jump host, not necessarily here
        try:
            address = str(socket.getaddrinfo(access.host, None, socket.AF_INET)[0][4][0])
        except OSError:
            return ""
    return "" if ipaddress.IPv4Address(address).is_loopback else address


CONFIG_VARIABLE = "DOCKER_CONFIG"
_ENDPOINT = "docker"
_TLS_PORT = 2376
_TLS_FILES = ("ca", "cert", "key")


@dataclass(frozen=True)
class Context:
    """Where a context's engine is: ``user`` and ``port`` of SSH (``None`` where the URL has none), ``docker`` as the
    inventory wants it, ``notes`` for the reader of the file."""

    name: str
    host: str
    user: str | None
    port: int | None
    docker: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def default_config() -> Path:
    """Where Docker's command line keeps its contexts: ``DOCKER_CONFIG``, else ``~/.docker``."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else Path("~/.docker").expanduser()


def read_context(config: Path, name: str) -> Context:
    """The context of that name.

    Raises:
        InputError: there is none, its file is broken, or its engine is not on a host that SSH reaches.
    """
    identity = hashlib.sha256(name.encode()).hexdigest()
    place = config.absolute() / "contexts" / "meta" / identity / "meta.json"
    url = _url(place, config, name)
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"the context {name!r} has the endpoint {url!r}: {error}", place=str(place)) from error
    if parts.scheme not in ("ssh", "tcp") or not host:
        raise InputError(
            f"the context {name!r} has the endpoint {url or 'of this computer'!r}, which is not another host",
            place=str(place),
            remedy="name contexts whose endpoint is ssh://USER@HOST or tcp://HOST:2376",
        )
    if parts.scheme == "ssh":
        return Context(name, host, parts.username, port, {"via": "ssh"})
    folder = config.absolute() / "contexts" / "tls" / identity / _ENDPOINT
    files = {key: folder / f"{key}.pem" for key in _TLS_FILES}
    if not all(path.is_file() for path in files.values()):
        note = f"Its endpoint {url} lacks TLS or a client certificate, so Docker is reached over SSH."
        return Context(name, host, None, None, {"via": "ssh"}, (note,))
    named = {key: str(path) for key, path in files.items()}
    return Context(name, host, None, None, {"via": "tls", "host": host, "port": port or _TLS_PORT, **named})


def _url(place: Path, config: Path, name: str) -> str:
    """The endpoint of a context, as its file has it; empty for none."""
    try:
        meta = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"there is no context {name!r}",
            place=str(config),
            remedy=f"its contexts are {', '.join(_names(config)) or 'none'}; --config names another folder",
        ) from error
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})", place=str(place)) from error
    except ValueError as error:
        raise InputError(
            f"invalid JSON ({error})", place=str(place), remedy="remove the context and make it again"
        ) from error
    return _host(meta)


def _host(meta: Any) -> str:
    for key in ("Endpoints", _ENDPOINT, "Host"):
        meta = meta.get(key) if isinstance(meta, dict) else None
    return meta if isinstance(meta, str) else ""


def _names(config: Path) -> list[str]:
    """The names of all contexts whose files can be read."""
    names = []
    for path in config.glob("contexts/meta/*/meta.json"):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # only a list for a message, whose own fault is another
        if isinstance(meta, dict) and isinstance(meta.get("Name"), str):
            names.append(meta["Name"])
    return sorted(names)
