"""Writes tables and metrics into the record of a run. Does nothing without a runner."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib import journal

P = ParamSpec("P")
R = TypeVar("R")

_NO_NAME = "table"


class Kept:
    """What a session writes into the record: its nodes, and tables under names that are the same in every run."""

    def __init__(self) -> None:
        self._known: list[pd.DataFrame] = []
        self._nodes: dict[str, journal.NodeFacts] = {}

    def node(self, facts: journal.NodeFacts) -> None:
        """Record the facts of a node; they replace earlier ones."""
        self._nodes[facts.node] = facts
        journal.note(facts)

    def address(self, node: str, address: str) -> None:
        """Record a node's last known address on the cluster's network."""
        facts = self._nodes.get(node)
        if facts is not None and facts.address != address:
            self.node(replace(facts, address=address))

    def keep(self, name: str, table: pd.DataFrame) -> None:
        """Record the table; a table with the same name is a later reading of the same thing."""
        if journal.wanted():
            self._known.append(table)
            journal.note(journal.Table(re.sub(r"\W+", "_", name).strip("_"), as_csv(table)))

    def shown(self, table: pd.DataFrame) -> None:
        """Record a displayed table, unless it is already recorded, or a part of a recorded one."""
        if journal.wanted() and not any(_is_within(table, known) for known in self._known):
            self.keep(shown_name(), table)

    def watch_displays(self) -> None:
        """Call ``shown`` with every table that this kernel displays from now on."""
        if not journal.wanted() or not InteractiveShell.initialized():
            return
        formatter = InteractiveShell.instance().display_formatter
        if formatter is not None:
            # The first formatter that is called; it returns None, so the table is then formatted as usual.
            formatter.mimebundle_formatter.for_type(pd.DataFrame, self.shown)


class Keeping(Protocol):
    """An object whose methods return tables to record."""

    @property
    def kept(self) -> Kept:
        """Where the tables are recorded."""


S = TypeVar("S", bound=Keeping)


def kept(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Record the table that a method returns, or the ``table`` of its result, under the method's name."""

    @functools.wraps(method)
    def keeping(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result = method(self, *args, **kwargs)
        table = getattr(result, "table", result)
        assert isinstance(table, pd.DataFrame)
        self.kept.keep(method.__name__, table)
        return result

    return keeping


def as_csv(table: pd.DataFrame) -> str:
    """The complete table with full-precision numbers; with its index only if that is not just row numbers."""
    numbered = pd.api.types.is_integer_dtype(table.index.dtype) and table.index.name is None
    return table.to_csv(index=not numbered, lineterminator="\n")


def measured(name: str, value: float | None, unit: str) -> None:
    """Record a metric, if it has a value."""
    if value is not None and journal.wanted():
        journal.note(journal.Metric(name, float(value), unit))


def shown_name() -> str:
    """A name for the running cell's output, from its last expression (``pings.summary``: pings_summary)."""
    shell = InteractiveShell.instance() if InteractiveShell.initialized() else None
    cells: list[Any] = shell.user_ns.get("In", []) if shell is not None else []
    try:
        statements = ast.parse(cells[-1]).body if cells else []
    except SyntaxError:  # a cell with a top-level await does not parse as a module
        return _NO_NAME
    last = statements[-1] if statements else None
    words = list(_words(last.value)) if isinstance(last, ast.Expr) else []
    return "_".join(words) or _NO_NAME


def _words(expression: ast.expr) -> list[str]:
    match expression:
        case ast.Name(id=name):
            return [] if name in ("run", "get_ipython") else [name]
        case ast.Attribute(value=value, attr=name):
            return [*_words(value), name]
        case ast.Call(func=value) | ast.Subscript(value=value):
            return _words(value)
        case _:
            return []


def _is_within(table: pd.DataFrame, known: pd.DataFrame) -> bool:
    if table is known:
        return True
    columns = list(table.columns)
    return len(table) == len(known) and set(columns) <= set(known.columns) and table.equals(known[columns])
