"""One node's Docker engine: connection, choice of the API version, errors, certificate validity.

Versions and what changed with them are from Docker's "Engine API version history". Of the calls made here these differ:

* 1.25 brought ``StopTimeout`` of a container, 1.28 ``verbose`` of a network; older engines are not asked for either.
* 1.44 deprecated ``CheckDuplicate`` of a new network: from Docker 25 on, names are always checked.
* 1.44 also put a container's short ID among its ``Aliases``, and 1.45 took it out again; 1.45 dropped ``Container`` and
  ``ContainerConfig`` of an image: nothing here reads them.

Connecting (with a fixed address since 1.22), exec, and a container's networking at its creation are the same from 1.24
to 1.51 as far as they are used here: one network, at most one address.

``Validity`` is a certificate's period of validity.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import docker
import docker.errors
import docker.tls
import requests
import urllib3.exceptions
from cryptography import x509

from runbook_lib.errors import (
    CertificateError,
    DeadlineError,
    EngineConflict,
    EngineError,
    EngineNotFound,
    KeyFileError,
    NodeError,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.base import ControlPlaneName
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.keyfiles import check_file, check_key_file
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.http import EndableAdapter, SshAdapter, TlsAdapter, innermost
from runbook_lib.transport.ssh import SshConnection

# The oldest that docker-py supports.
LOWEST = "1.24"
# Above docker-py's own default: nothing that is called here changed since.
HIGHEST = "1.51"

STOP_TIMEOUT_SINCE = "1.25"
VERBOSE_NETWORK_SINCE = "1.28"
NAMES_ALWAYS_CHECKED_SINCE = "1.44"


@dataclass(frozen=True)
class SupportedEngines:
    """A range of engines: their series, the newest API of each, and the control planes that they can have.

    ``run`` is the version used by this project's tests, empty if only documentation supports the entry.
    """

    engines: str
    api: str
    control_planes: tuple[ControlPlaneName, ...]
    run: str = ""


_STORE: tuple[ControlPlaneName, ...] = ("etcd", "classic-swarm", "swarm-mode")
_SWARM_MODE: tuple[ControlPlaneName, ...] = ("swarm-mode",)

# 20.10 is the last series with a cluster store; 29 refuses clients older than 1.44.
SUPPORTED = (
    SupportedEngines("1.12 to 17.05", "1.24 to 1.29", _STORE),
    SupportedEngines("17.06 to 19.03", "1.30 to 1.40", _STORE),
    SupportedEngines("20.10", "1.41", _STORE, run="20.10.24"),
    SupportedEngines("23.0 and 24.0", "1.42 and 1.43", _SWARM_MODE),
    SupportedEngines("25.0", "1.44", _SWARM_MODE),
    SupportedEngines("26.0 and 26.1", "1.45", _SWARM_MODE, run="26.1.5"),
    SupportedEngines("27 and 28", "1.46 to 1.51", _SWARM_MODE),
    SupportedEngines("29", "1.52 and later", _SWARM_MODE),
)


def negotiate(node: str, version: Mapping[str, Any]) -> str:
    """The API version to speak with an engine, from its ``GET /version``: its own, but none above ``HIGHEST``.

    Raises:
        EngineError: the engine's newest is below ``LOWEST``, or its oldest above ``HIGHEST``.
        NodeError: the answer has no version, so it is not an engine.
    """
    try:
        newest, oldest = str(version["ApiVersion"]), str(version.get("MinAPIVersion") or LOWEST)
        too_old, too_new = number(newest) < number(LOWEST), number(oldest) > number(HIGHEST)
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError(
            node,
            f"the endpoint is not a Docker engine: its /version is {str(version)[:80]}",
            remedy="correct the node's docker.host and docker.port",
        ) from error
    name = f"Docker {version.get('Version') or 'of an unknown version'}"
    if too_old:
        raise EngineError(
            node,
            f"API {LOWEST} to {HIGHEST}",
            f"{name} supports API {newest} at most, but {LOWEST} is the lowest supported here",
            remedy="this engine is too old: update Docker there to 1.12 or newer, a classic Swarm manager to 1.2.9",
        )
    if too_new:
        raise EngineError(
            node,
            f"API {LOWEST} to {HIGHEST}",
            f"{name} accepts no API older than {oldest}, but {HIGHEST} is the highest supported here",
            remedy="this engine is too new: update this project, or start dockerd there with"
            f" DOCKER_MIN_API_VERSION={HIGHEST} in its environment",
        )
    return min(newest, HIGHEST, key=number)


def number(version: str) -> tuple[int, ...]:
    """``1.41`` as numbers to compare. Raises ``ValueError``."""
    if re.fullmatch(r"\d+\.\d+", version) is None:
        raise ValueError(f"{version!r} is not a version of the Docker Engine API")
    return tuple(int(part) for part in version.split("."))


def has(spoken: str, since: str) -> bool:
    """Whether the version ``spoken`` has what came with ``since``."""
    return number(spoken) >= number(since)


Json = dict[str, Any]
T = TypeVar("T")

_CONNECTION_FAULTS = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)

_LOG = "its log (/var/lib/boot2docker/log/docker.log, or journalctl -u docker)"

# What engines up to 20.10 say when the cluster store is missing or does not answer (moby#27098, moby#34384).
_STORE_TROUBLE = (
    "datastore for scope",
    "cluster is unavailable or misconfigured",
    "could not get pools config from store",
    "failed to get store",
)


class EngineConnection:
    """One node's Docker engine: connected at first use, over TLS or over the node's SSH connection."""

    def __init__(self, node: NodeSpec, ssh: SshConnection, timeouts: Timeouts | None = None) -> None:
        self._node = node
        self._ssh = ssh
        self._timeouts = timeouts or Timeouts()
        self._api: docker.APIClient | None = None
        self._adapter: EndableAdapter | None = None
        self._opening = threading.Lock()  # held while connecting, so that threads share one client
        self._state = threading.Lock()  # held for moments only, so that close() never waits for a connect

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, ending calls that are under way; the next call opens a new one."""
        with self._state:
            adapter, self._adapter, self._api = self._adapter, None, None
        if adapter is not None:
            adapter.end()

    def _call(self, what: str, call: Callable[[docker.APIClient], T]) -> T:
        with self._mapped(what):
            return call(self._connected())

    def _connected(self) -> docker.APIClient:
        """A client that speaks a version of the API that the engine speaks as well; the engine is asked first."""
        with self._opening:
            with self._state:
                if self._api is not None:
                    return self._api
                adapter = self._adapter = self._new_adapter()
            first = self._client(adapter, LOWEST)
            try:
                api = self._client(adapter, self._chosen_version(first.version(api_version=False)))
            except BaseException:
                adapter.end()
                raise
            with self._state:
                if self._adapter is adapter:  # else it was closed meanwhile, and its calls fail
                    self._api = api
            return api

    def _chosen_version(self, version: Json) -> str:
        """The version of the API to speak, from ``GET /version``."""
        return negotiate(self._node.name, version)

    def _new_adapter(self) -> EndableAdapter:
        access, node = self._node.docker, self._node.name
        if access.via == "ssh":
            return SshAdapter(node, self._ssh, self._timeouts.connect)
        check_file(str(access.ca), "certificate authority", node)
        check_file(str(access.cert), "client certificate", node)
        check_key_file(str(access.key), node)
        return TlsAdapter(node, self._timeouts.connect)

    def _client(self, adapter: EndableAdapter, version: str) -> docker.APIClient:
        access = self._node.docker
        host, port = (access.host, access.port) if access.via == "tls" else ("localhost", 2375)
        api = docker.APIClient(f"tcp://{host}:{port}", version=version, timeout=int(self._timeouts.command) or 1)
        # Ignore proxies, netrc and REQUESTS_CA_BUNDLE of the environment.
        api.trust_env = False
        if access.via == "tls":
            api.base_url = f"https://{host}:{port}"
            api.cert = (str(access.cert), str(access.key))
            api.verify = str(access.ca)
        api.mount(f"{api.base_url}/", adapter)
        return api

    @contextlib.contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        node = self._node.name
        try:
            yield
        except docker.errors.APIError as error:
            explanation = str(error.explanation or error).strip()
            status = error.status_code
            if any(phrase in explanation for phrase in _STORE_TROUBLE):
                raise StoreUnavailable(
                    node,
                    what,
                    explanation,
                    status=status,
                    remedy="the cluster store does not answer: notebook 02_autostart_etcd brings it up",
                ) from error
            kind = {404: EngineNotFound, 409: EngineConflict}.get(status or 0, EngineError)
            raise kind(node, what, explanation, status=status) from error
        except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise DeadlineError(
                f"the engine did not finish '{what}' in {self._timeouts.command:g} s",
                place=node,
                remedy=f"check {_LOG}, or raise timeouts.command",
            ) from error
        except docker.errors.InvalidVersion as error:
            raise EngineError(node, what, str(error), remedy="this engine is too old: update Docker there") from error
        except _CONNECTION_FAULTS as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        access = self._node.docker
        where = f"{access.host}:{access.port} over TLS" if access.via == "tls" else "its socket, reached over SSH"
        what = f"the Docker engine does not answer at {where} ({innermost(error)})"
        if isinstance(error, requests.exceptions.SSLError):
            remedy = "use a certificate that is valid for this address, and the right CA"
            return CertificateError(self._node.name, what, remedy=remedy)
        remedy = f"check that dockerd runs there, and {_LOG}"
        if access.via == "ssh" and "permission denied" in innermost(error).lower():
            user = self._node.ssh.user
            remedy = f"let {user} use it: usermod -aG docker {user} on the node, or give {user} sudo there"
        return UnreachableError(self._node.name, what, remedy=remedy)


@dataclass(frozen=True)
class Validity:
    """Both moments in UTC; the certificate is valid in between."""

    begins: datetime
    ends: datetime

    def fault(self, now: datetime | None = None) -> str:
        """Why it is not valid now, with the day; empty when it is."""
        moment = now or datetime.now(UTC)
        if moment > self.ends:
            return f"expired on {self.ends:%Y-%m-%d}"
        return f"is not valid before {self.begins:%Y-%m-%d}" if moment < self.begins else ""


def read_validity(path: str) -> Validity:
    """When the first certificate of a PEM file is valid. Raises ``KeyFileError`` when there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        raise KeyFileError(f"the certificate {path} cannot be read ({error.strerror})", remedy="name it") from error
    except ValueError as error:
        raise KeyFileError(f"{path} does not contain a PEM certificate", remedy="name the right certificate") from error
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
