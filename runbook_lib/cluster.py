"""The cluster: nodes by name with their connections, opened lazily, and the one way to ask many of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from runbook_lib.errors import DeadlineError, InputError, RunbookError
from runbook_lib.model.inventory import Inventory, NodeSpec, SwarmManager
from runbook_lib.model.parameters import Timeouts
from runbook_lib.transport.docker.classic_swarm import SwarmEngine
from runbook_lib.transport.docker.classic_swarm_manager import ManagedNode
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection

T = TypeVar("T")


class Node:
    """One node: what the inventory says of it, its SSH connection and its engine.

    The engine is reached through ``manager`` where a classic Swarm manager serves all nodes.
    """

    def __init__(self, spec: NodeSpec, timeouts: Timeouts, manager: SwarmManager | None = None) -> None:
        self.spec = spec
        self.name = spec.name
        self.manager = manager
        self.ssh = SshConnection(spec, timeouts)
        self.engine = (
            Engine(spec, self.ssh, timeouts) if manager is None else SwarmEngine(spec, manager, self.ssh, timeouts)
        )

    def close(self) -> None:
        """Close both connections; the next use opens them again."""
        self.engine.close()
        self.ssh.close()

    def __repr__(self) -> str:
        return f"Node({self.name!r})"


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What one node answered: a value, or the error it ended with."""

    node: str
    value: T | None
    error: RunbookError | None
    seconds: float

    @property
    def result(self) -> T:
        """The value. Raises the error when there is none."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Cluster:
    """All nodes of an inventory. Use as a context manager: leaving it closes every connection."""

    def __init__(self, inventory: Inventory, timeouts: Timeouts | None = None) -> None:
        self.inventory = inventory
        self.timeouts = timeouts or Timeouts()
        self.nodes = tuple(Node(spec, self.timeouts, inventory.swarm_manager) for spec in inventory.nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def close(self) -> None:
        """Close every connection."""
        for node in self.nodes:
            node.close()

    def node(self, name: str) -> Node:
        """The node of that name. Raises ``InputError`` that lists the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise InputError(f"there is no node {name!r}", place="inventory", remedy=f"the nodes are {names}")

    def listed_by_manager(self) -> tuple[ManagedNode, ...] | None:
        """Every node that the classic Swarm manager lists now; ``None`` for a cluster without one.

        Raises:
            InputError, UnreachableError: a fault of the manager, not of a node.
        """
        engine = self.nodes[0].engine
        return engine.nodes() if isinstance(engine, SwarmEngine) else None

    def without_manager(self) -> Cluster:
        """The same nodes, each reached by its own engine alone; it has connections of its own, to be closed."""
        return Cluster(self.inventory.model_copy(update={"swarm_manager": None}), self.timeouts)

    def part(self, names: Collection[str]) -> Cluster:
        """The same cluster with the named nodes only. They share their connections with it: close the whole one."""
        part = copy.copy(self)
        part.nodes = tuple(node for node in self.nodes if node.name in names)
        return part

    def each(
        self, ask: Callable[[Node], T], *, nodes: Iterable[Node] | None = None, timeout: float | None = None
    ) -> list[Outcome[T]]:
        """Ask all nodes (or the given ones) at once; every node answers, in the order of the nodes.

        A node that fails yields an ``Outcome`` with its error; one that has not answered after
        ``timeout`` seconds yields a ``DeadlineError`` and loses its connections, which ends its call.
        Anything but a ``RunbookError`` is a defect: it is raised, after every node has ended. On Ctrl-C
        the nodes still under way lose their connections too.
        """
        chosen = tuple(self.nodes if nodes is None else nodes)
        if not chosen:
            return []
        pool = ThreadPoolExecutor(max_workers=len(chosen), thread_name_prefix="node")
        futures = [(node, pool.submit(_timed, ask, node)) for node in chosen]
        try:
            wait([future for _, future in futures], timeout=timeout)
            done = [(node, future if future.done() else None) for node, future in futures]
        finally:
            for node, future in futures:
                if not future.done():
                    node.close()
            pool.shutdown(wait=False, cancel_futures=True)
        return [future.result() if future is not None else _late(node, timeout) for node, future in done]


def _late(node: Node, timeout: float | None) -> Outcome[Any]:
    error = DeadlineError(
        f"no answer within {timeout} s", place=node.name, remedy="raise the timeout, or mend the node"
    )
    return Outcome(node.name, None, error, timeout or 0.0)


def _timed(ask: Callable[[Node], T], node: Node) -> Outcome[T]:
    started = time.monotonic()
    try:
        value = ask(node)
    except RunbookError as error:
        return Outcome(node.name, None, error, time.monotonic() - started)
    return Outcome(node.name, value, None, time.monotonic() - started)
