"""The calls of the Docker Engine API of one node.

They return the API's JSON, which facts turn into typed data, and raise this package's errors.
"""

from __future__ import annotations

import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import docker
import docker.errors
import requests
from pydantic import SecretStr

from runbook_lib.transport.docker import connection
from runbook_lib.transport.docker.connection import EngineConnection, Json
from runbook_lib.transport.docker.http import read_frames

Role = Literal["manager", "worker"]
T = TypeVar("T")


class SwarmCalls(ABC):
    """Swarm mode's calls. Join tokens are ``SecretStr`` values, which no print shows."""

    @abstractmethod
    def _call(self, what: str, call: Callable[[docker.APIClient], T]) -> T:
        """Make a call and turn its errors into this package's."""

    def swarm_init(self, advertise: str) -> str:
        """Create a swarm with this engine as its first manager; returns its node ID.

        It listens at every address and tells the others ``advertise``. That address is kept for good: an engine that
        restarts with another one is not found by the other managers (moby#30455).

        Raises:
            EngineError: the engine is part of a swarm already (status 503), or the address is none.
        """
        return str(self._call("swarm init", lambda api: api.init_swarm(advertise_addr=advertise)))

    def swarm_join(self, managers: Sequence[str], token: SecretStr, advertise: str) -> None:
        """Make this engine a member of the swarm of ``managers`` (``ADDRESS:PORT``), in the role the token is for.

        Raises:
            EngineError: the engine is part of a swarm already (status 503), or no manager took it.
        """
        self._call(
            f"swarm join {' '.join(managers)}",
            lambda api: api.join_swarm(list(managers), token.get_secret_value(), advertise_addr=advertise),
        )

    def swarm_join_token(self, role: Role) -> SecretStr:
        """The join token of a role. Raises ``EngineError`` unless this engine is a manager of a quorum."""
        swarm: Json = self._call("swarm join-token", lambda api: api.inspect_swarm())
        return SecretStr(str(swarm["JoinTokens"][role.capitalize()]))

    def swarm_info(self) -> Json:
        """``Swarm`` of ``GET /info``: what it knows of its own membership, with or without a quorum.

        ``LocalNodeState`` is inactive, pending, active, error or locked; ``ControlAvailable`` tells a manager;
        ``Error`` is why there is no quorum.
        """
        return dict(self._call("info", lambda api: api.info()).get("Swarm") or {})

    def swarm_nodes(self) -> list[Json]:
        """``GET /nodes``. Raises ``EngineError`` (status 503) unless this engine is a manager of a quorum."""
        return list(self._call("node ls", lambda api: api.nodes()))


class Engine(EngineConnection, SwarmCalls):
    """One node's Docker engine: connected at first use, over TLS or over the node's SSH connection."""

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
        """``GET /networks/{name}``; ``verbose`` where the engine has it. Raises ``EngineNotFound``."""

        def inspect(api: docker.APIClient) -> Json:
            known = connection.has(api.api_version, connection.VERBOSE_NETWORK_SINCE)
            return cast(Json, api.inspect_network(name, verbose=(verbose and known) or None))

        return self._call(f"network inspect {name}", inspect)

    def create_network(
        self,
        name: str,
        *,
        driver: str = "overlay",
        subnet: str | None = None,
        gateway: str | None = None,
        ip_range: str | None = None,
        reserved: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        attachable: bool | None = None,
        internal: bool = False,
    ) -> str:
        """Create a network and return its ID. Raises ``EngineConflict`` when the engine knows the name.

        The engine gives out addresses of ``ip_range``, part of ``subnet``, but none of ``reserved`` (name to address).
        """
        ipam = None
        if subnet is not None:
            pool = docker.types.IPAMPool(subnet, ip_range, gateway, dict(reserved or {}) or None)
            ipam = docker.types.IPAMConfig(pool_configs=[pool])

        def create(api: docker.APIClient) -> Json:
            checked = connection.has(api.api_version, connection.NAMES_ALWAYS_CHECKED_SINCE)
            return cast(
                Json,
                api.create_network(
                    name,
                    driver=driver,
                    options=dict(options or {}),
                    ipam=ipam,
                    check_duplicate=None if checked else True,
                    labels=dict(labels or {}),
                    attachable=attachable,
                    internal=internal,
                ),
            )

        return str(self._call(f"network create {name}", create)["Id"])

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
        address: str | None = None,
        ports: Mapping[int, int] | None = None,
        tty: bool = False,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        binds: Sequence[str] = (),
        restart_policy: str = "no",
        stop_timeout: int | None = None,
        capabilities: Sequence[str] = (),
    ) -> str:
        """Create a container and return its ID. Raises ``EngineConflict`` when the name is taken.

        ``address`` is its own on ``network``; ``ports`` publishes its TCP ports (container to host) on every address
        of the node; ``stop_timeout`` is the seconds between SIGTERM and SIGKILL (Docker 1.12 knows
        but its own 10).
        """

        def create(api: docker.APIClient) -> Json:
            stoppable = connection.has(api.api_version, connection.STOP_TIMEOUT_SINCE)
            endpoint = {network: api.create_endpoint_config(ipv4_address=address)} if network and address else None
            host_config = api.create_host_config(
                network_mode=network,
                port_bindings=cast(Any, ports) or None,
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
                    stop_timeout=stop_timeout if stoppable else None,
                    host_config=host_config,
                    ports=list(ports or ()) or None,
                    networking_config=cast(Any, endpoint) and api.create_networking_config(cast(Any, endpoint)),
                    # not this machine's proxies
                    use_config_proxy=False,
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
        """Run a command in a container; returns its exit status and its output, both streams together.

        Raises:
            DeadlineError: it does not end in time (it may go on running in the container).
        """

        def run(api: docker.APIClient) -> tuple[int, str]:
            deadline = time.monotonic() + self._timeouts.command
            created = api.exec_create(container, list(argv), privileged=privileged)
            output = _exec_output(api, str(created["Id"]), deadline)
            return self._exit_status(api, str(created["Id"]), deadline), output.decode(errors="replace")

        return self._call(f"exec {container} {shlex.join(argv)}", run)

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

    def _exit_status(self, api: docker.APIClient, exec_id: str, deadline: float) -> int:
        """The exit status of an exec whose output has ended; the engine needs a moment to know it."""
        while (status := api.exec_inspect(exec_id)["ExitCode"]) is None:
            if time.monotonic() >= deadline:
                raise TimeoutError
            time.sleep(0.01)
        return int(status)


def _exec_output(api: docker.APIClient, exec_id: str, deadline: float) -> bytes:
    """Start an exec and read its output to the end. docker-py's own way waits without any timeout."""
    url = f"{api.base_url}/v{api.api_version}/exec/{exec_id}/start"
    with api.post(url, json={"Detach": False, "Tty": False}, stream=True, timeout=api.timeout) as response:
        try:
            response.raise_for_status()
        except requests.exceptions.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)
        return read_frames(response.raw, deadline)
