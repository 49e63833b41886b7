"""Tables in a notebook's output: as HTML, the session's summary, and the docker_gwbridge experiment.

pandas' own HTML aligns every column to the right and cuts long texts; its ``Styler`` aligns columns by a style sheet,
which viewers drop from an untrusted notebook. Here each cell has its own alignment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.model.results import Check, Status, StepResult, Verdict
from runbook_lib.tables.frame import DECIMAL, WHOLE, Column, Table, document_columns
from runbook_lib.verify.gateway_bridge import BridgeExperiment, Traffic

# Longer words (identifiers, paths) may wrap, or the table would be wider than a sheet of paper; a MAC may not, to stay
# readable. By style, not by <wbr>: redaction would not find a secret that is split into pieces.
_LONGEST_WORD = 16
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2},?")
# Narrower than JupyterLab's own, for the same reason.
_PADDING = "padding-left:.35em;padding-right:.35em"
# Left-aligned like a cell's output, also inside a widget, where JupyterLab would centre it.
_TABLE = '<table class="dataframe runbook-table" style="margin-left:0;margin-right:0">'


def table_html(table: pd.DataFrame) -> str:
    """The table as HTML without row numbers: text left, numbers right, missing values blank.

    A table with row names, or with more rows than pandas shows, is returned as pandas shows it.
    """
    # A part of a table keeps its original row numbers.
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


def register_table_formatter() -> None:
    """Make this kernel show every table with ``table_html``."""
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


class _Line(NamedTuple):
    what: str
    kind: str
    ok: int
    skipped: int
    warnings: int = 0
    changed: int = 0
    planned: int = 0
    seconds: float | None = None


SUMMARY = Table[_Line](
    "One row per step or check.",
    Column("what", lambda line: line.what),
    Column("kind", lambda line: line.kind, meaning="``step`` or ``check``"),
    Column("ok", lambda line: line.ok, WHOLE, meaning="on how many nodes"),
    Column("warnings", lambda line: line.warnings, WHOLE, meaning="of a check"),
    Column("changed", lambda line: line.changed, WHOLE),
    Column("planned", lambda line: line.planned, WHOLE),
    Column("skipped", lambda line: line.skipped, WHOLE),
    Column("time", lambda line: line.seconds, DECIMAL, "s", meaning="the slowest node's"),
)


@document_columns(SUMMARY)
def summary(results: Sequence[StepResult], checks: Sequence[Check]) -> pd.DataFrame:
    """The steps, their nodes counted by status, then the checks, their verdicts counted."""
    names = dict.fromkeys(row.step for row in results)
    lines = [_step(name, [row for row in results if row.step == name]) for name in names]
    claims = dict.fromkeys(check.check for check in checks)
    lines += [_check(claim, [check.verdict for check in checks if check.check == claim]) for claim in claims]
    return SUMMARY(lines)


def _step(name: str, rows: Sequence[StepResult]) -> _Line:
    statuses = [row.status for row in rows]
    return _Line(
        name,
        "step",
        ok=statuses.count(Status.OK),
        skipped=statuses.count(Status.SKIPPED),
        changed=statuses.count(Status.CHANGED),
        planned=statuses.count(Status.PLANNED),
        seconds=round(max(row.seconds for row in rows), 1),
    )


def _check(claim: str, verdicts: Sequence[Verdict]) -> _Line:
    passed, skipped, warned = (verdicts.count(verdict) for verdict in (Verdict.PASS, Verdict.SKIP, Verdict.WARN))
    return _Line(claim, "check", passed, skipped, warned)


TRAFFIC = Table[Traffic](
    "One row per kind of traffic and interface.",
    Column("traffic", lambda row: row.traffic),
    Column("node", lambda row: row.node),
    Column("interface", lambda row: row.interface),
    Column("role", lambda row: row.role),
    Column("packets", lambda row: row.moved, WHOLE, meaning="how many more it had counted afterwards"),
)


@dataclass(frozen=True)
class Experiment:
    """The packet counters of each interface for each kind of traffic; no result in plan mode without containers."""

    result: BridgeExperiment | None

    @property
    @document_columns(TRAFFIC)
    def table(self) -> pd.DataFrame:
        """The packet counters of each interface."""
        return TRAFFIC(self.result.traffic if self.result else ())

    @property
    def checks(self) -> tuple[Check, ...]:
        """The verdicts."""
        if self.result is None:
            return (Check("docker_gwbridge is tested", "", Verdict.SKIP, found="plan mode: no container to test from"),)
        return self.result.checks
