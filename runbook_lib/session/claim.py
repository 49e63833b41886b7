"""The cluster's lock as a notebook's kernel takes it: for a cell that changes or measures, and for a panel's work.

A kernel is one person at work: its cells and its panels hold the cluster together. Whoever runs another notebook, in
another page or by a command, is told who holds it. Under ``runbook run`` the runner has the lock, and its kernel works
under that.

What all nodes answered, or one error that names every node that did not.
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
from runbook_lib.locking import holder_elsewhere, lock_names, take_locks
from runbook_lib.model.inventory import Inventory

P = ParamSpec("P")
R = TypeVar("R")


class Claim:
    """What a notebook may ask for: its cluster for itself."""

    def __init__(self, inventory: Inventory, notebook: str) -> None:
        self._inventory = inventory
        self._notebook = notebook
        self._desk = _desk(lock_names(inventory))
        _follow_cells()

    @contextmanager
    def held(self, part: str = "") -> Iterator[None]:
        """Hold the cluster for the block; when a cell runs the block, to the end of that cell.

        Args:
            part: what of the notebook holds it, where that is no cell, such as ``live matrix``.

        Raises:
            LockedError: somebody else works on one of the nodes; it says who. Nothing was done, and nobody waits.
            InputError: the folder of the locks cannot be used.
        """
        what = ", ".join(filter(None, (f"notebook {self._notebook}", part)))
        if _in_a_cell():
            self._desk.take(_Cell, self._inventory, what)
            yield
            return
        mine = object()
        try:
            self._desk.take(mine, self._inventory, what)
            yield
        finally:
            self._desk.leave(mine)


def at_work_elsewhere() -> str:
    """Who works on a cluster of this kernel's now, in another page or by a command, and at what; empty when nobody."""
    holder = holder_elsewhere(frozenset[str]().union(*_DESKS))
    return str(holder) if holder else ""


class Claiming(Protocol):
    """Whoever works on a cluster."""

    @property
    def claim(self) -> Claim:
        """What it works under."""


S = TypeVar("S", bound=Claiming)


def alone(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let a method, which changes or measures something, work under its claim. Raises ``LockedError`` besides."""

    @functools.wraps(method)
    def claiming(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.claim.held():
            return method(self, *args, **kwargs)

    return claiming


class _Desk:
    """One cluster in this kernel: the first who works there takes its locks, the last who leaves releases them."""

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


_DESKS: dict[frozenset[str], _Desk] = {}
_DESKS_GUARD = threading.Lock()


def _desk(names: frozenset[str]) -> _Desk:
    with _DESKS_GUARD:
        return _DESKS.setdefault(names, _Desk())


class _Cell:
    """The running cell: whether this kernel's main thread runs one. At a desk it stands for that cell."""

    running = False


_FOLLOWED: WeakSet[InteractiveShell] = WeakSet()


def _in_a_cell() -> bool:
    return _Cell.running and threading.current_thread() is threading.main_thread()


def _follow_cells() -> None:
    """Learn of every cell's begin and end, of which the shell tells however the cell ends."""
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
    for desk in tuple(_DESKS.values()):
        desk.leave(_Cell)


T = TypeVar("T")


def answers(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """Every node's value, in the order of the outcomes.

    Raises:
        InputError: a key or host key that was refused; it comes before all else, for the user has to mend it.
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
    """A reading needs no lock: a node may be down since somebody else, who holds the cluster, restarts it."""
    holder = at_work_elsewhere()
    if not holder:
        return remedy
    wait = f"{holder} works on this cluster now and may be restarting it: wait for its end and read again"
    return f"{wait}; else {remedy}" if remedy else wait
