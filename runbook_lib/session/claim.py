"""The cluster lock in a notebook's kernel, for cells and panels that change or measure something.

All cells and panels of one kernel share the lock. Another notebook or command that needs it gets an error that names
the holder. Under ``runbook run`` the runner holds the lock, and its kernel works under that.

``answers`` returns the values of all nodes, or raises one error that names each node that failed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.cluster import Outcome
from runbook_lib.errors import InputError, NodeError, UnreachableError
from runbook_lib.locking import foreign_holder, lock_names, take_locks
from runbook_lib.model.inventory import Inventory

P = ParamSpec("P")
R = TypeVar("R")


class Claim:
    """Exclusive use of a notebook's cluster."""

    def __init__(self, inventory: Inventory, notebook: str) -> None:
        self._inventory = inventory
        self._notebook = notebook
        self._cluster_locks = _cluster_locks(lock_names(inventory))
        _follow_cells()

    @contextmanager
    def held(self, part: str = "") -> Iterator[None]:
        """Hold the cluster lock for the block; in a cell, until the end of that cell.

        Args:
            part: what holds it if not a cell, such as ``live matrix``.

        Raises:
            LockedError: one of the nodes is in use; names the holder. Nothing was done, and there is no wait.
            InputError: the lock folder cannot be used.
        """
        what = ", ".join(filter(None, (f"notebook {self._notebook}", part)))
        if _in_a_cell():
            self._cluster_locks.take(_Cell, self._inventory, what)
            yield
            return
        mine = object()
        try:
            self._cluster_locks.take(mine, self._inventory, what)
            yield
        finally:
            self._cluster_locks.leave(mine)


def other_holder() -> str:
    """Which other process holds a cluster of this kernel now, and for what; empty if none."""
    holder = foreign_holder(frozenset[str]().union(*_CLUSTER_LOCKS))
    return str(holder) if holder else ""


class Claiming(Protocol):
    """An object with methods that need the cluster lock."""

    @property
    def claim(self) -> Claim:
        """The lock that its methods take."""


S = TypeVar("S", bound=Claiming)


def alone(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Run a method that changes or measures something under its object's claim. Also raises ``LockedError``."""

    @functools.wraps(method)
    def claiming(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.claim.held():
            return method(self, *args, **kwargs)

    return claiming


class _ClusterLocks:
    """The locks of one cluster in this kernel: the first user takes them, the last one releases them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._present: set[object] = set()
        self._locks = ExitStack()

    def take(self, who: object, inventory: Inventory, what: str) -> None:
        with self._guard:
            if not self._present:
                self._locks = take_locks(inventory, what)
            self._present.add(who)

    def leave(self, who: object) -> None:
        with self._guard:
            self._present.discard(who)
            if not self._present:
                self._locks.close()


_CLUSTER_LOCKS: dict[frozenset[str], _ClusterLocks] = {}
_CLUSTER_LOCKS_GUARD = threading.Lock()


def _cluster_locks(names: frozenset[str]) -> _ClusterLocks:
    with _CLUSTER_LOCKS_GUARD:
        return _CLUSTER_LOCKS.setdefault(names, _ClusterLocks())


class _Cell:
    """Whether this kernel's main thread runs a cell; used as the holder for that cell."""

    running = False


_FOLLOWED: WeakSet[InteractiveShell] = WeakSet()


def _in_a_cell() -> bool:
    return _Cell.running and threading.current_thread() is threading.main_thread()


def _follow_cells() -> None:
    """Register for the begin and end of every cell; the shell reports the end in any case."""
    if not InteractiveShell.initialized():
        return
    shell = InteractiveShell.instance()
    if shell in _FOLLOWED:
        return
    _FOLLOWED.add(shell)
    shell.events.register("pre_execute", _cell_begins)
    shell.events.register("post_execute", _cell_ends)
    # The cell that opened the session has begun already.
    kernel: Any = getattr(shell, "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else {}
    _Cell.running = request.get("header", {}).get("msg_type") == "execute_request"


def _cell_begins() -> None:
    _Cell.running = True


def _cell_ends() -> None:
    _Cell.running = False
    for locks in tuple(_CLUSTER_LOCKS.values()):
        locks.leave(_Cell)


T = TypeVar("T")


def answers(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """Every node's value, in the order of the outcomes.

    Raises:
        InputError: a refused key or host key; raised before other errors, because the user has to fix it.
        RunbookError: the one node's error; where several nodes failed, one error with a line for each of them
            (``UnreachableError`` when none of them could be reached, else ``NodeError``).
    """
    errors = [(outcome.node, outcome.error) for outcome in outcomes if outcome.error is not None]
    for _, error in errors:
        if isinstance(error, InputError):
            raise error
    if len(errors) == 1:
        error = errors[0][1]
        if isinstance(error, UnreachableError):
            error.remedy = _unless_restarting(error.remedy)
        raise error
    if errors:
        unreachable = all(isinstance(error, UnreachableError) for _, error in errors)
        lines = "".join(f"\n  - {node}: {error.message}" for node, error in errors)
        nodes = ", ".join(node for node, _ in errors)
        remedy = next((error.remedy for _, error in errors if error.remedy), "")
        remedy = _unless_restarting(remedy) if unreachable else remedy
        kind = UnreachableError if unreachable else NodeError
        raise kind(nodes, f"{len(errors)} of {len(outcomes)} nodes did not answer:{lines}", remedy=remedy)
    return [outcome.result for outcome in outcomes]


def _unless_restarting(remedy: str) -> str:
    """Name the holder in an error of a reading, which takes no lock: the holder may be restarting the node."""
    holder = other_holder()
    if not holder:
        return remedy
    wait = f"{holder} works on this cluster now and may be restarting it: wait for its end and read again"
    return f"{wait}; else {remedy}" if remedy else wait
