"""One node of a classic Swarm manager, with the interface of any node's engine.

The manager serves the whole cluster at one address (``docker-machine env --swarm``): names have the node as a prefix
(``node3/alpine1``), and the manager schedules new containers. Here every call is about one node: lists are filtered,
prefixes are removed and added, and new containers are pinned to the node. The manager answers from its cache
(cluster/engine.go refreshes it at events and every half minute), so current state, and what the manager does not know,
is read from the node's own engine, as the inventory reaches it.

A manager lists a node only after its agent registers, once a minute, and no node while its discovery is down, which may
be the etcd on these nodes that is yet to be started. Meanwhile the nodes' own engines do everything except what the
manager must schedule; that waits for it.

File names in comments are of docker/classicswarm, as of 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runbook_lib.errors import EngineConflict, EngineError, EngineNotFound, InputError
from runbook_lib.transport.docker.classic_swarm_manager import PLACE, ManagerConnection
from runbook_lib.transport.docker.connection import Json
from runbook_lib.transport.docker.engine import Engine

_FULL_ID = re.compile(r"[0-9a-f]{64}")


class SwarmEngine(ManagerConnection):
    """One node of a classic Swarm manager. Besides what an ``Engine`` raises, every call may raise

    - ``InputError``: the endpoint is not a manager, is too old, or lists this node's engine under another name;
    - ``UnreachableError``: the manager does not answer, or does not reach this node, or has not listed it within
      ``timeouts.reboot``.
    """

    def at(self, host: str) -> Engine:
        """The node's own engine at another address."""
        return self._own.at(host)

    def ping(self) -> None:
        """Make sure that the node's engine answers, and that the manager, once it lists nodes, reaches it."""
        self._own.ping()
        self.managed()

    def version(self) -> Json:
        """``GET /version`` of the node's own engine: the manager's is its own."""
        return self._own.version()

    def info(self) -> Json:
        """``GET /info`` of the node's own engine, with the manager's pairs about this node as ``SystemStatus``.

        They are none while the manager lists no node.

        Raises:
            InputError: the manager's node of this name is another engine.
        """
        managed = self.managed()
        own = self._own.info()
        if managed is None:
            return {**own, "SystemStatus": []}
        known = managed.engine_id
        if known and own.get("ID") and known != own["ID"]:
            raise InputError(
                f"{self._name} of the Swarm manager ({managed.address}) is another engine than the one that the"
                " inventory reaches under this name",
                place=PLACE,
                remedy="name the nodes of the inventory by the hostnames of their machines",
            )
        return {**own, "SystemStatus": [list(pair) for pair in managed.pairs]}

    def networks(self, *, names: Sequence[str] = (), driver: str | None = None) -> list[Json]:
        """``GET /networks`` of the node's own engine.

        The manager cannot tell who sees a global network: it lists it once, and enters a new one for every node by
        itself (cluster/swarm/cluster.go, CreateNetwork). Of docker_gwbridge it may hear late.
        """
        self.managed()
        return self._own.networks(names=names, driver=driver)

    def network(self, name: str, *, verbose: bool = False) -> Json:
        """``GET /networks/{name}`` of the node's own engine: the manager joins the endpoints of all nodes."""
        return self._own.network(name, verbose=verbose)

    def create_network(self, name: str, **options: Any) -> str:
        """Create a network, from this node. Raises ``EngineConflict`` when its engine knows the name."""
        self.managed(placing=True)
        try:
            # cluster/swarm/cluster.go, CreateNetwork: a node before the name is where it is made
            return super().create_network(f"{self._name}/{name}", **options)
        except EngineError as error:
            # api/handlers.go, postNetworksCreate: whatever the node's engine refuses is a 500
            if "already exists" in error.explanation:
                raise EngineConflict(error.node, error.call, error.explanation, status=error.status) from error
            raise

    def remove_network(self, name: str) -> None:
        """Remove a network. Raises ``EngineNotFound``, or ``EngineError`` while it has endpoints."""
        if self.managed() is None:
            self._own.remove_network(name)
        else:
            super().remove_network(self._network_id(name))

    def connect(self, container: str, network: str, *, address: str | None = None) -> None:
        """Connect a container to a network."""
        if self.managed() is None:
            self._own.connect(container, network, address=address)
            return
        # api/handlers.go, proxyNetworkConnect: the body goes to the node as it is, which knows no node3/alpine1
        super().connect(self._container_id(container), self._network_id(network), address=address)

    def disconnect(self, container: str, network: str, *, force: bool = False) -> None:
        """Disconnect a container from a network.

        By force the node's own engine does it: the manager would give the call to a node of its own choice
        (api/handlers.go, proxyNetworkDisconnect).
        """
        if force or self.managed() is None:
            self._own.disconnect(container, network, force=force)
        else:
            super().disconnect(self._container_id(container), self._network_id(network))

    def containers(self, *, every: bool = True, labels: Mapping[str, str] | None = None) -> list[Json]:
        """``GET /containers/json``, this node's, with the names that its own engine gives them.

        Which of them run is told by inspecting each: after a restart of the node the manager's list may say otherwise
        for as long as nothing else happens to that container (cluster/engine.go misses events while it reconnects).
        """
        if self.managed() is None:  # the manager lists what a lost node had, as "Host Down"
            return self._own.containers(every=every, labels=labels)
        filters: dict[str, Any] = {"node": [self._name]}
        if labels:
            filters["label"] = [f"{key}={value}" for key, value in labels.items()]
        found: list[Json] = self._call("ps", lambda api: api.containers(all=True, filters=filters))
        # the manager's filter takes the name for a pattern: node1 finds node10 as well
        here = [self._local(item) for item in found if self._is_here(item)]
        return here if every else [item for item in here if self._runs(item)]

    def container(self, name: str) -> Json:
        """``GET /containers/{name}/json``. Raises ``EngineNotFound``, also for a container of another node."""
        if self.managed() is None:
            return self._own.container(name)
        found = super().container(self._reference(name))
        node = (found.get("Node") or {}).get("Name", self._name)
        if node != self._name:
            raise EngineNotFound(self._name, f"inspect {name}", f"it is on {node}", status=404)
        return {**found, "Name": self._without_node(str(found["Name"]))}

    def create_container(
        self, name: str, image: str, *, environment: Mapping[str, str] | None = None, **options: Any
    ) -> str:
        """Create a container on this node and return its ID.

        Raises:
            EngineConflict: the name is taken, which must be unique in the whole cluster; it says by which node.
        """
        self.managed(placing=True)
        # scheduler/filter/constraint.go: the manager takes it out of the environment (cluster/config.go)
        pinned = {**(environment or {}), "constraint:node": f"={self._name}"}
        try:
            return super().create_container(name, image, environment=pinned, **options)
        except EngineConflict as error:
            raise self._taken(name, error) from error

    def start(self, container: str) -> None:
        """Start a container; a running one is left alone."""
        if self.managed() is None:
            self._own.start(container)
        else:
            super().start(self._reference(container))

    def stop(self, container: str, *, grace: int = 2) -> None:
        """Stop a container, killing it after ``grace`` seconds."""
        if self.managed() is None:
            self._own.stop(container, grace=grace)
        else:
            super().stop(self._reference(container), grace=grace)

    def remove_container(self, container: str, *, force: bool = False) -> None:
        """Remove a container with its anonymous volumes."""
        if self.managed() is None:
            self._own.remove_container(container, force=force)
        else:
            super().remove_container(self._reference(container), force=force)

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Set a container's restart policy (``no``, ``always``, ``unless-stopped``)."""
        if self.managed() is None:
            self._own.set_restart_policy(container, policy)
        else:
            super().set_restart_policy(self._reference(container), policy)

    def execute(self, container: str, argv: Sequence[str], *, privileged: bool = False) -> tuple[int, str]:
        """Run a command in a container; returns its exit status and its output, both streams together."""
        if self.managed() is None:
            return self._own.execute(container, argv, privileged=privileged)
        return super().execute(self._reference(container), argv, privileged=privileged)

    def images(self) -> list[Json]:
        """``GET /images/json``, this node's."""
        if self.managed() is None:
            return self._own.images()
        return self._call("images", lambda api: api.images(filters={"node": [self._name]}))

    def image(self, name: str) -> Json:
        """``GET /images/{name}/json`` of the node's own engine: the manager answers for any node's image."""
        return self._own.image(name)

    def load_image(self, archive: bytes) -> None:
        """Load a ``docker save`` archive on this node: the manager would load it on every one."""
        self._own.load_image(archive)

    def logs(self, container: str, *, tail: int = 50) -> str:
        """The end of a container's log."""
        if self.managed() is None:
            return self._own.logs(container, tail=tail)
        return super().logs(self._reference(container), tail=tail)

    def _exit_status(self, api: Any, exec_id: str, deadline: float) -> int:
        try:
            with self._mapped("exec inspect"):
                return super()._exit_status(api, exec_id, deadline)
        except EngineNotFound:
            # api/utils.go, getContainerFromVars looks for it among the containers' ExecIDs, which an ended one leaves
            # when the manager refreshes its containers
            return self._own._call("exec inspect", lambda own: self._own._exit_status(own, exec_id, deadline))

    def _network_id(self, name: str) -> str:
        """The ID of a network of this node, by which the manager finds it: a name may be of several nodes' networks."""
        found: list[Json] = self._call("network ls", lambda api: api.networks())
        for item in found:
            # a local network is listed as node3/docker_gwbridge, a global one by its bare name
            listed = str(item["Name"])
            here = listed == f"{self._name}/{name}" if item["Scope"] == "local" else listed == name
            if here or item["Id"] == name:
                return str(item["Id"])
        raise EngineNotFound(
            self._name, f"network {name}", f"the Swarm manager lists no network {name} of this node", status=404
        )

    def _container_id(self, name: str) -> str:
        return name if _FULL_ID.fullmatch(name) else str(self.container(name)["Id"])

    def _reference(self, container: str) -> str:
        """The reference by which the manager finds the container: its ID, since a name may be another node's."""
        return container if _FULL_ID.fullmatch(container) else f"{self._name}/{container}"

    def _runs(self, summary: Json) -> bool:
        try:
            return bool(super().container(str(summary["Id"]))["State"]["Running"])
        except EngineNotFound:  # it ended and was removed meanwhile
            return False

    def _is_here(self, summary: Json) -> bool:
        return any(str(name).startswith(f"/{self._name}/") for name in summary["Names"] or ())

    def _local(self, summary: Json) -> Json:
        return {**summary, "Names": [self._without_node(str(name)) for name in summary["Names"]]}

    def _without_node(self, name: str) -> str:
        return f"/{name.removeprefix(f'/{self._name}/').removeprefix('/')}"

    def _taken(self, name: str, error: EngineConflict) -> EngineConflict:
        found: list[Json] = self._call("ps", lambda api: api.containers(all=True))
        names = [str(item).lstrip("/") for summary in found for item in summary["Names"] or ()]
        holders = [item for item in names if item.partition("/")[2] == name]
        where = f": {', '.join(holders)} has it" if holders else f" ({error.explanation})"
        return EngineConflict(
            self._name,
            error.call,
            f"the name {name} is taken, and names are unique in the whole cluster of a Swarm manager{where}",
            status=error.status,
            remedy="remove or rename that container, or choose another name",
        )
