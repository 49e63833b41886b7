"""Tables as HTML that reads well in a notebook, in an exported page and on paper.

pandas' own HTML sets every column to the right and cuts long texts; its ``Styler`` aligns columns by a style sheet,
which viewers drop from a notebook that they do not trust. Here each cell says for itself how it is aligned.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

# Longer words (identifiers, paths) may be broken where there is no room, or the table is wider than a sheet of paper; a
# MAC is not, which nobody could read then. By style, not by <wbr>: a secret in pieces would not be found when output is
# redacted.
_LONGEST_WORD = 16
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2},?")
# Narrower than JupyterLab's own, for the same reason.
_PADDING = "padding-left:.35em;padding-right:.35em"
# Left of its page, as the output of a cell is, also inside a widget, where JupyterLab would centre it.
_TABLE = '<table class="dataframe runbook-table" style="margin-left:0;margin-right:0">'


def table_html(table: pd.DataFrame) -> str:
    """Return the table without its row numbers: text to the left, numbers to the right, what is missing left blank.

    A table with names of its rows, or with more rows than pandas shows, is returned as pandas shows it.
    """
    # Of a part of a table, the rows' numbers are what is left of 0, 1, 2 …
    numbered = table.index.name is None and pd.api.types.is_integer_dtype(table.index) and table.columns.nlevels == 1
    if not numbered or len(table) > pd.get_option("display.max_rows"):
        return str(table._repr_html_())  # type: ignore[operator]
    sides = ["right" if _is_number(dtype) else "left" for dtype in table.dtypes]
    head = "".join(_cell("th", name, side) for name, side in zip(table.columns, sides, strict=True))
    rows = [
        "".join(_cell("td", value, side) for value, side in zip(row, sides, strict=True))
        for row in table.itertuples(index=False, name=None)
    ]
    if not rows:
        rows = [f'<td colspan="{max(1, len(sides))}" style="text-align:left"><i>no rows</i></td>']
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def show_tables_so() -> None:
    """Have this kernel show every table as ``table_html`` does."""
    if InteractiveShell.initialized():
        formatter = InteractiveShell.instance().display_formatter
        if formatter is not None:
            formatter.formatters["text/html"].for_type(pd.DataFrame, table_html)


def _is_number(dtype: Any) -> bool:
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _cell(tag: str, value: Any, side: str) -> str:
    text = _text(value)
    long = [word for word in text.split() if len(word) > _LONGEST_WORD and not _MAC.fullmatch(word)]
    breaks = ";overflow-wrap:anywhere" if long else ""
    return f'<{tag} style="{_PADDING};text-align:{side}{breaks}">{escape(text)}</{tag}>'


def _text(value: Any) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    return str(value)
