"""The Docker Engine API of one node. The only user of the docker SDK.

Calls return the API's own JSON; facts turn it into typed data. Errors become this package's.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import docker
import docker.constants
import docker.errors
import docker.tls
import docker.transport.sshconn as docker_ssh
import requests

from runbook_lib.errors import (
    DeadlineError,
    EngineConflict,
    EngineError,
    EngineNotFound,
    StoreUnavailable,
    UnreachableError,
)
from runbook_lib.model.inventory import NodeSpec
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.ssh import SshConnection

Json = dict[str, Any]
T = TypeVar("T")

# What engines up to 20.10 say when the cluster store is missing or does not answer (moby#27098, moby#34384).
_STORE_TROUBLE = (
    "datastore for scope",
    "cluster is unavailable or misconfigured",
    "could not get pools config from store",
    "failed to get store",
)


class _SharedSshAdapter(docker_ssh.SSHHTTPAdapter):
    """docker-py's SSH adapter over a connection whose host key this package has already verified."""

    def __init__(self, connection: SshConnection, timeout: int) -> None:
        self._connection = connection
        super().__init__("ssh://node", timeout=timeout, pool_connections=4)

    def _create_paramiko_client(self, base_url: str) -> None:
        self.ssh_client: Any = None
        self.ssh_params: dict[str, Any] = {}

    def _connect(self) -> None:
        self.ssh_client = self._connection.client()

    def close(self) -> None:
        cast(Any, self.pools).clear()


class Engine:
    """One node's Docker engine: connected at first use, over TLS or over the node's SSH connection."""

    def __init__(self, node: NodeSpec, ssh: SshConnection, timeouts: Timeouts | None = None) -> None:
        self._node = node
        self._ssh = ssh
        self._timeouts = timeouts or Timeouts()
        self._api: docker.APIClient | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def at(self, host: str) -> Engine:
        """The same engine reached over TLS at another address (to prove that the address serves it)."""
        access = self._node.docker.model_copy(update={"host": host})
        return Engine(self._node.model_copy(update={"docker": access}), self._ssh, self._timeouts)

    def ping(self) -> None:
        """Make sure that the engine answers."""
        self._call("ping", lambda api: api.ping())

    def version(self) -> Json:
        """``GET /version``."""
        return self._call("version", lambda api: api.version(api_version=False))

    def info(self) -> Json:
        """``GET /info``."""
        return self._call("info", lambda api: api.info())

    def networks(self, *, names: Sequence[str] = (), driver: str | None = None) -> list[Json]:
        """``GET /networks``; a name filter of Docker matches parts, so exact names are compared here again."""
        filters = {"driver": driver} if driver else None
        found: list[Json] = self._call("network ls", lambda api: api.networks(filters=filters))
        return [item for item in found if not names or item["Name"] in names]

    def network(self, name: str, *, verbose: bool = False) -> Json:
        """``GET /networks/{name}``. Raises ``EngineNotFound``."""
        return self._call(f"network inspect {name}", lambda api: api.inspect_network(name, verbose=verbose or None))

    def create_network(
        self,
        name: str,
        *,
        driver: str = "overlay",
        subnet: str | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        attachable: bool | None = None,
        internal: bool = False,
    ) -> str:
        """Create a network and return its ID. Raises ``EngineConflict`` when the engine knows the name."""
        ipam = None
        if subnet is not None:
            ipam = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet)])
        created: Json = self._call(
            f"network create {name}",
            lambda api: api.create_network(
                name,
                driver=driver,
                options=dict(options or {}),
                ipam=ipam,
                check_duplicate=True,
                labels=dict(labels or {}),
                attachable=attachable,
                internal=internal,
            ),
        )
        return str(created["Id"])

    def remove_network(self, name: str) -> None:
        """Remove a network. Raises ``EngineNotFound``, or ``EngineError`` while it has endpoints."""
        self._call(f"network rm {name}", lambda api: api.remove_network(name))

    def connect(self, container: str, network: str, *, address: str | None = None) -> None:
        """Connect a container to a network."""
        self._call(
            f"network connect {network} {container}",
            lambda api: api.connect_container_to_network(container, network, ipv4_address=address),
        )

    def disconnect(self, container: str, network: str, *, force: bool = False) -> None:
        """Disconnect a container from a network."""
        self._call(
            f"network disconnect {network} {container}",
            lambda api: api.disconnect_container_from_network(container, network, force=force),
        )

    def containers(self, *, every: bool = True, labels: Mapping[str, str] | None = None) -> list[Json]:
        """``GET /containers/json``; ``every`` includes stopped ones."""
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]} if labels else None
        return self._call("ps", lambda api: api.containers(all=every, filters=filters))

    def container(self, name: str) -> Json:
        """``GET /containers/{name}/json``. Raises ``EngineNotFound``."""
        return self._call(f"inspect {name}", lambda api: api.inspect_container(name))

    def create_container(
        self,
        name: str,
        image: str,
        *,
        command: Sequence[str] | None = None,
        network: str | None = None,
        tty: bool = False,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        binds: Sequence[str] = (),
        restart_policy: str = "no",
        capabilities: Sequence[str] = (),
    ) -> str:
        """Create a container and return its ID. Raises ``EngineConflict`` when the name is taken."""

        def create(api: docker.APIClient) -> Json:
            host_config = api.create_host_config(
                network_mode=network,
                binds=list(binds) or None,
                restart_policy={"Name": restart_policy},
                cap_add=list(capabilities) or None,
            )
            return cast(
                Json,
                api.create_container(
                    image,
                    name=name,
                    command=list(command) if command is not None else None,
                    tty=tty,
                    stdin_open=tty,
                    labels=dict(labels or {}),
                    environment=dict(environment or {}),
                    host_config=host_config,
                ),
            )

        return str(self._call(f"create {name}", create)["Id"])

    def start(self, container: str) -> None:
        """Start a container; a running one is left alone."""
        self._call(f"start {container}", lambda api: api.start(container))

    def stop(self, container: str, *, grace: int = 2) -> None:
        """Stop a container, killing it after ``grace`` seconds."""
        self._call(f"stop {container}", lambda api: api.stop(container, timeout=grace))

    def remove_container(self, container: str, *, force: bool = False) -> None:
        """Remove a container with its anonymous volumes."""
        self._call(f"rm {container}", lambda api: api.remove_container(container, v=True, force=force))

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Set a container's restart policy (``no``, ``always``, ``unless-stopped``)."""
        self._call(
            f"update --restart {policy} {container}",
            lambda api: api.update_container(container, restart_policy=cast(Any, {"Name": policy})),
        )

    def execute(self, container: str, argv: Sequence[str], *, privileged: bool = False) -> tuple[int, str]:
        """Run a command in a container; returns its exit status and its output, both streams together."""

        def run(api: docker.APIClient) -> tuple[int, str]:
            created = api.exec_create(container, list(argv), privileged=privileged)
            output = api.exec_start(created["Id"])
            status = api.exec_inspect(created["Id"])["ExitCode"]
            return int(status), output.decode(errors="replace")

        return self._call(f"exec {container} {' '.join(argv)}", run)

    def images(self) -> list[Json]:
        """``GET /images/json``."""
        return self._call("images", lambda api: api.images())

    def image(self, name: str) -> Json:
        """``GET /images/{name}/json``. Raises ``EngineNotFound``."""
        return self._call(f"image inspect {name}", lambda api: cast(Json, cast(Any, api).inspect_image(name)))

    def load_image(self, archive: bytes) -> None:
        """Load a ``docker save`` archive."""

        def load(api: docker.APIClient) -> None:
            for event in cast(Any, api).load_image(archive):
                if "error" in event:
                    raise docker.errors.APIError(event["error"])

        self._call("load", load)

    def logs(self, container: str, *, tail: int = 50) -> str:
        """The end of a container's log."""
        return self._call(f"logs {container}", lambda api: api.logs(container, tail=tail).decode(errors="replace"))

    def _call(self, what: str, call: Callable[[docker.APIClient], T]) -> T:
        with self._mapped(what):
            return call(self._connected())

    def _connected(self) -> docker.APIClient:
        with self._lock:
            if self._api is None:
                self._api = self._open()
            return self._api

    def _open(self) -> docker.APIClient:
        """A client that speaks the engine's own API version, asked of the engine first."""
        with contextlib.closing(self._client(docker.constants.DEFAULT_DOCKER_API_VERSION)) as first:
            version = str(first.version(api_version=False)["ApiVersion"])
        return self._client(version)

    def _client(self, version: str) -> docker.APIClient:
        access, timeout = self._node.docker, int(self._timeouts.command)
        if access.via == "tls":
            tls = docker.tls.TLSConfig(client_cert=(str(access.cert), str(access.key)), ca_cert=access.ca, verify=True)
            api = docker.APIClient(f"tcp://{access.host}:{access.port}", tls=tls, version=version, timeout=timeout)
        else:
            api = docker.APIClient("tcp://127.0.0.1:2375", version=version, timeout=timeout)
            api.mount("http+docker://ssh", _SharedSshAdapter(self._ssh, timeout))
            api.base_url = "http+docker://ssh"
        # requests prefers REQUESTS_CA_BUNDLE and proxies of the environment over the authority given here
        api.trust_env = False
        return api

    @contextlib.contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        node = self._node.name
        try:
            yield
        except docker.errors.NotFound as error:
            raise EngineNotFound(node, what, _explain(error), status=404) from error
        except docker.errors.APIError as error:
            explanation = _explain(error)
            status = error.status_code
            if any(phrase in explanation for phrase in _STORE_TROUBLE):
                raise StoreUnavailable(
                    node,
                    what,
                    explanation,
                    status=status,
                    remedy="the cluster store does not answer: notebook 02_autostart_etcd brings it up",
                ) from error
            kind = EngineConflict if status == 409 else EngineError
            raise kind(node, what, explanation, status=status) from error
        except requests.exceptions.ReadTimeout as error:
            raise DeadlineError(
                f"the engine did not finish '{what}' in {self._timeouts.command:.0f} s",
                place=node,
                remedy="look at its log (/var/lib/boot2docker/log/docker.log), or raise timeouts.command",
            ) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        access = self._node.docker
        where = f"{access.host}:{access.port} over TLS" if access.via == "tls" else "the SSH connection"
        return UnreachableError(
            self._node.name,
            f"the Docker engine does not answer at {where} ({_innermost(error)})",
            remedy="is dockerd running there? its log is /var/lib/boot2docker/log/docker.log",
        )


def _explain(error: docker.errors.APIError) -> str:
    return str(error.explanation or error).strip()


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None or error.__context__ is not None:
        error = cast(BaseException, error.__cause__ or error.__context__)
    return str(error) or type(error).__name__
