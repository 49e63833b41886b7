"""Docker's contexts: ``contexts/meta/ID/meta.json``, with TLS material in ``contexts/tls/ID/docker``.

The ID of a folder is the SHA-256 of the context's name (docker/cli, cli/context/store).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.errors import InputError

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
            f"the context {name!r} has the endpoint {url or 'of this computer'!r}, which is no other host",
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
            f"this is broken JSON ({error})", place=str(place), remedy="remove the context and make it again"
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
