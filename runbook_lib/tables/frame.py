"""The one way to make a table: named, typed columns in a fixed order, with or without rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

TEXT = "str"
WHOLE = "Int64"
DECIMAL = "Float64"
FLAG = "boolean"

Columns = Mapping[str, str]


def frame(rows: Iterable[Sequence[Any]], columns: Columns) -> pd.DataFrame:
    """A table of the rows under ``columns`` (name → dtype), in that order, with those dtypes even without a row.

    Each row has one value a column; ``None`` is a missing value, in a text column an empty text.

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
        if dtype == TEXT:
            column = column.map(lambda value: "" if value is None else str(value))
        table[name] = column.astype(dtype)  # type: ignore[call-overload]
    return table
