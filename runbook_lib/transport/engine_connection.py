"""How one node's Docker engine is reached and spoken to: connection, API version, errors."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import docker
import docker.errors
import docker.tls
import requests
import urllib3.exceptions

from runbook_lib.errors import (
    CertificateError,
    DeadlineError,
    EngineConflict,
    EngineError,
    EngineNotFound,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.keyfiles import check_file, check_key_file
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport import api_versions
from runbook_lib.transport.http import EndableAdapter, SshAdapter, TlsAdapter, innermost
from runbook_lib.transport.ssh import SshConnection

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
            first = self._client(adapter, api_versions.LOWEST)
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
        return api_versions.negotiate(self._node.name, version)

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
        # Proxies, netrc and REQUESTS_CA_BUNDLE of the environment must not come between a node and its authority.
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
                remedy=f"look at {_LOG}, or raise timeouts.command",
            ) from error
        except docker.errors.InvalidVersion as error:
            raise EngineError(
                node, what, str(error), remedy="this engine is too old to be spoken to: update Docker there"
            ) from error
        except _CONNECTION_FAULTS as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        access = self._node.docker
        where = f"{access.host}:{access.port} over TLS" if access.via == "tls" else "its socket, reached over SSH"
        what = f"the Docker engine does not answer at {where} ({innermost(error)})"
        if isinstance(error, requests.exceptions.SSLError):
            remedy = "make its certificate valid for this address and the authority the right one"
            return CertificateError(self._node.name, what, remedy=remedy)
        remedy = f"is dockerd running there? look at {_LOG}"
        if access.via == "ssh" and "permission denied" in innermost(error).lower():
            user = self._node.ssh.user
            remedy = f"let {user} use it: usermod -aG docker {user} on the node, or give {user} sudo there"
        return UnreachableError(self._node.name, what, remedy=remedy)
