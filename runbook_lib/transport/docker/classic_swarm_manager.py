"""How one node is reached through a classic Swarm manager: the endpoint, the node's place in its list, what may fail.

File names in comments are of docker/classicswarm, as of 1.2.

The nodes of a classic Swarm manager, from the pairs of text that its ``GET /info`` answers.

The pairs are made in cluster/swarm/cluster.go (``Info``) of docker/classicswarm: one that begins with a space is a
node and its address, those after it that begin with ``└`` tell of that node. They are the only list of nodes there is:
``GET /nodes`` belongs to Swarm mode.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import requests

from runbook_lib.errors import EngineError, InputError, UnreachableError
from runbook_lib.model.inventory import DockerAccess, NodeSpec, SwarmManager
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker import connection
from runbook_lib.transport.docker.connection import Json, read_validity
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.docker.http import innermost
from runbook_lib.transport.ssh import SshConnection

# cluster/engine.go, stateText; a node in any other state is given no work and listed with what it had last.
HEALTHY = "Healthy"
PENDING = "Pending"
UNNAMED = "(unknown)"
_BRANCH = "└"


@dataclass(frozen=True)
class ManagedNode:
    """One node as the manager knows it.

    ``name`` is the hostname that its engine told, ``(unknown)`` until it has told one; ``address`` is ``host:port`` of
    the engine as the manager reaches it; ``status`` is ``Healthy``, ``Pending``, ``Unhealthy``, …
    """

    name: str
    address: str
    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def get(self, key: str) -> str:
        """The manager's value for a key (``ID``, ``Labels``, ``Reserved CPUs``, …); empty if there is none."""
        return dict(self.pairs).get(key, "")

    @property
    def status(self) -> str:
        """The manager's state of it."""
        return self.get("Status")

    @property
    def engine_id(self) -> str:
        """The ID that its engine tells; empty while it has told none.

        Since 1.2.7 the manager adds the address (``ID|10.0.0.3:2376``), so that cloned engines are told apart.
        """
        return self.get("ID").partition("|")[0]

    @property
    def registering(self) -> bool:
        """Whether the manager has just discovered it and not contacted it yet."""
        return self.status == PENDING and not self.get("Error")

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.address.rpartition(":")[0]

    def __str__(self) -> str:
        return f"{self.name} ({self.address}, {self.status.lower() or 'state unknown'})"


def parse_system_status(pairs: Sequence[Sequence[str]]) -> tuple[ManagedNode, ...]:
    """The nodes of ``info()["SystemStatus"]``, in the manager's order.

    Raises:
        ValueError: not pairs of text, or something told of a node before any is named.
    """
    nodes: list[ManagedNode] = []
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ValueError(f"not a pair of texts: {pair!r}")
        key, value = pair
        told = key.strip()
        if told.startswith(_BRANCH):
            if not nodes:
                raise ValueError(f"{told!r} before any node")
            last = nodes.pop()
            more = (*last.pairs, (told.removeprefix(_BRANCH).strip(), value))
            nodes.append(ManagedNode(last.name, last.address, more))
        elif key.startswith(" "):
            nodes.append(ManagedNode(told, value))
    return tuple(nodes)


PLACE = "inventory: swarm_manager"
# api/handlers.go: why a call about a container is refused while its node does not answer the manager.
_UNHEALTHY = "on unhealthy node"
# How often a manager that does not list a node yet is asked again.
_LISTED_AGAIN_SECONDS = 0.5
# What Python's ssl says when the server ends a TLS handshake: a fatal alert, or only the end of the connection.
_ALERT = re.compile(r"alert [a-z ]*[a-z]|EOF occurred in violation of protocol")


class ManagerConnection(Engine):
    """The connection to the manager, kept for one node whose own engine is reached beside it."""

    def __init__(
        self, node: NodeSpec, manager: SwarmManager, ssh: SshConnection, timeouts: Timeouts | None = None
    ) -> None:
        access = DockerAccess(
            via="tls", host=manager.host, port=manager.port, ca=manager.ca, cert=manager.cert, key=manager.key
        )
        super().__init__(node.model_copy(update={"docker": access}), ssh, timeouts)
        self._own = Engine(node, ssh, timeouts)
        self._name = node.name
        self._manager = f"{manager.host}:{manager.port}"
        self._closed = threading.Event()
        self._listed_by: float | None = None  # since the first call that found this node unlisted

    def close(self) -> None:
        """Close the connections to the manager and to the node's own engine, and end a wait for the manager."""
        ended, self._closed = self._closed, threading.Event()
        ended.set()
        self._listed_by = None
        super().close()
        self._own.close()

    def nodes(self) -> tuple[ManagedNode, ...]:
        """Every node that the manager lists now; none before the first has registered. What is raised is the manager's
        fault, and no node's."""
        info = self._call("info of the Swarm manager", lambda api: api.info())
        if not info.get("SystemStatus"):
            raise InputError(
                f"{self._manager} is not a classic Swarm manager but one engine (Docker {info.get('ServerVersion')})",
                place=PLACE,
                remedy="name the port of the manager (docker-machine env --swarm tells it, normally 3376), or leave"
                " swarm_manager out and choose control_plane: etcd",
            )
        try:
            return parse_system_status(info["SystemStatus"])
        except ValueError as error:
            raise InputError(
                f"{self._manager} does not list nodes like a classic Swarm manager: {error}",
                place=PLACE,
                remedy="run the manager from the image swarm:1.2.9",
            ) from error

    def managed(self, *, placing: bool = False) -> ManagedNode | None:
        """This node as the manager knows it, which must hold it for healthy; ``None`` while it lists no node at all.

        A node that is not listed yet is waited for, at most ``timeouts.reboot``; with ``placing`` the first one too.
        That time is had once: when it is over, later calls ask once and fail, until it is listed or this is closed.
        """
        closed = self._closed
        while True:
            nodes = self.nodes()
            if not nodes and not placing:
                return None
            managed = self._own_row(nodes)
            if managed is not None and not managed.registering:
                self._listed_by = None
                break
            deadline = self._listed_by = self._listed_by or time.monotonic() + self._timeouts.reboot
            if time.monotonic() >= deadline:
                raise self._never_listed(nodes)
            if closed.wait(_LISTED_AGAIN_SECONDS):
                raise self._lost("the connection was closed while it was waited for")
        if managed.status != HEALTHY:
            reason = managed.get("Error") or "it gives no reason"
            raise self._lost(f"{managed.status or 'no status'}: {reason}", managed)
        return managed

    def _chosen_version(self, version: Json) -> str:
        try:
            return super()._chosen_version(version)
        except EngineError as error:
            # 1.2.9 speaks 1.30 and its later source 1.40: it can only be too old.
            raise InputError(
                f"the Swarm manager at {self._manager} is too old: it speaks API {version['ApiVersion']}, and"
                f" {connection.LOWEST} is the oldest that is spoken here",
                place=PLACE,
                remedy="run the manager from the image swarm:1.2.9, which speaks 1.30 (1.2.8 and older speak 1.22)",
            ) from error

    def _own_row(self, nodes: Sequence[ManagedNode]) -> ManagedNode | None:
        """This node among those that the manager lists; ``None`` when it is not listed yet."""
        found = [item for item in nodes if item.name == self._name]
        found += [item for item in nodes if item.name == UNNAMED and item.host == self._node.cluster_address]
        if not found and nodes:
            self._refuse_another_name(nodes)
        return found[0] if found else None

    def _refuse_another_name(self, nodes: Sequence[ManagedNode]) -> None:
        """An engine that is listed under another name will never be listed under this one."""
        own = self._own.info().get("ID")
        for item in nodes:
            if own and item.engine_id == own:
                raise InputError(
                    f"the Swarm manager at {self._manager} lists no node {self._name!r}: it lists that engine as"
                    f" {item.name}",
                    place=PLACE,
                    remedy=f"name the inventory's nodes as the manager does; its nodes: {', '.join(map(str, nodes))}",
                )

    def _never_listed(self, nodes: Sequence[ManagedNode]) -> UnreachableError:
        known = ", ".join(map(str, nodes)) or "none"
        return UnreachableError(
            self._name,
            f"the Swarm manager at {self._manager} has not listed this node within {self._timeouts.reboot:g} s",
            remedy="check that its agent runs there (docker ps shows swarm-agent) and the manager's discovery answers."
            " Where that is the cluster's own etcd, notebook 02_autostart_etcd starts it. A manager of nodes://… must"
            f" be told this node's address. Its nodes: {known}",
        )

    def _lost(self, why: str, managed: ManagedNode | None = None) -> UnreachableError:
        where = f" at {managed.address}" if managed else ""
        return UnreachableError(
            self._name,
            f"the Swarm manager does not reach this node{where} ({why})",
            remedy="check that dockerd runs there and the manager reaches it. The manager retries within a minute",
        )

    @contextlib.contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        try:
            with super()._mapped(what):
                yield
        except EngineError as error:
            if _UNHEALTHY in error.explanation:
                raise self._lost(error.explanation) from error
            raise

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = innermost(error)
        alert = _ALERT.search(why)
        message = f"the Swarm manager does not answer at {self._manager} over TLS ({why})"
        remedy = "check the manager's container with docker ps on its machine"
        if alert is not None:
            fault = self._certificate_fault(alert[0])
            message = f"the Swarm manager at {self._manager} refuses the client certificate ({fault})"
            remedy = "set swarm_manager.cert and key to a valid pair signed by its CA"
        elif isinstance(error, requests.exceptions.SSLError):
            remedy = "set swarm_manager.ca to the CA of its certificate, which must be valid for this address"
        return UnreachableError(self._name, message, remedy=remedy)

    def _certificate_fault(self, alert: str) -> str:
        """Why a server may have refused it: a client is told no more than an alert, and sometimes not even that."""
        path = str(self._node.docker.cert)
        fault = read_validity(path).fault()
        return f"{path} {fault}" if fault else alert
