"""The definition of tables: a list of named, typed columns, each with a function from a row to its value."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

TEXT = "str"
WHOLE = "Int64"
DECIMAL = "Float64"
FLAG = "boolean"
MOMENT = "datetime64[us, UTC]"
"""A point in time; its values are texts in ISO 8601, an empty one is a missing value."""

Columns = Mapping[str, str]

Row = TypeVar("Row", contravariant=True)
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Function = TypeVar("Function", bound=Callable[..., Any])

# The list of columns is inserted in a docstring before the first of these sections.
_SECTION = re.compile(r"^(?:Args|Returns|Raises):$", re.MULTILINE)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table: ``getter`` returns its value for a row, ``None`` is a missing value.

    ``unit`` is shown in the heading (``MTU (bytes)``), ``meaning`` in the documentation.
    """

    title: str
    getter: Callable[[Row], object]
    dtype: str = TEXT
    unit: str = ""
    meaning: str = ""

    @property
    def heading(self) -> str:
        """The column's name in the table."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


class Table(Generic[Row]):
    """A kind of table. A call with rows returns a DataFrame.

    ``about`` describes a row. The docstring of a table is that and the list of its columns.
    """

    def __init__(self, about: str, *columns: Column[Row]) -> None:
        self.about, self.columns = about, columns
        self.dtypes: Columns = {column.heading: column.dtype for column in columns}
        lines = (f"- ``{column.heading}``" + (f": {column.meaning}" if column.meaning else "") for column in columns)
        self.__doc__ = f"{about} Columns:\n\n" + "\n".join(lines)

    def __call__(self, rows: Iterable[Row] = ()) -> pd.DataFrame:
        """A DataFrame of the rows, with the same columns and dtypes even without rows."""
        return frame(([column.getter(row) for column in self.columns] for row in rows), self.dtypes)

    def only(self, *headings: str) -> Table[Row]:
        """The same table with only these columns, in this order."""
        columns = {column.heading: column for column in self.columns}
        return Table(self.about, *(columns[heading] for heading in headings))

    def with_column(self, column: Column[Row], place: int | None = None) -> Table[Row]:
        """The same table with one more column, at an index, or at the end."""
        columns = list(self.columns)
        columns.insert(len(columns) if place is None else place, column)
        return Table(self.about, *columns)


def document_columns(table: Table[Any]) -> Callable[[Function], Function]:
    """Add a table's description and columns to the docstring of a function that returns it."""
    return add_to_docstring(table.__doc__ or "")


def add_to_docstring(text: str) -> Callable[[Function], Function]:
    """Add a text to the docstring of a function, before its sections (Args, Returns, Raises)."""

    def add(function: Function) -> Function:
        own = inspect.cleandoc(function.__doc__ or "")
        section = _SECTION.search(own)
        end = section.start() if section else len(own)
        function.__doc__ = "\n\n".join(filter(None, (own[:end].strip(), text, own[end:])))
        return function

    return add


def grouped(rows: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The rows grouped by their key, in their order."""
    groups: dict[Key, list[Item]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def frame(rows: Iterable[Sequence[Any]], columns: Columns) -> pd.DataFrame:
    """A table whose columns depend on its rows; for all others see ``Table``.

    Args:
        rows: each has one value a column; ``None`` is a missing value, in a text column an empty text.
        columns: name → dtype, in the order of the values.

    Raises:
        ValueError: a row with another number of values.
    """
    names = list(columns)
    values = [list(row) for row in rows]
    for row in values:
        if len(row) != len(names):
            raise ValueError(f"a row of {len(row)} values for {len(names)} columns: {row}")
    table = pd.DataFrame(values, columns=names, dtype=object)
    for name, dtype in columns.items():
        column = table[name]
        if dtype in (TEXT, MOMENT):
            column = column.map(lambda value: "" if value is None else str(value)).astype("str")
        if dtype == MOMENT:
            table[name] = pd.to_datetime(column, utc=True, format="ISO8601").dt.as_unit("us")
        else:
            table[name] = column.astype(dtype)  # type: ignore[call-overload]
    return table
