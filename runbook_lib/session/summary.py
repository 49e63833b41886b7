"""The table at a notebook's end."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from runbook_lib.model.results import Check, Status, StepResult, Verdict
from runbook_lib.tables.frame import DECIMAL, TEXT, WHOLE, frame

COLUMNS = {
    "what": TEXT,
    "kind": TEXT,
    "ok": WHOLE,
    "warnings": WHOLE,
    "changed": WHOLE,
    "planned": WHOLE,
    "skipped": WHOLE,
    "time (s)": DECIMAL,
}


def summary(results: Sequence[StepResult], checks: Sequence[Check]) -> pd.DataFrame:
    """One row a step (its nodes counted by status, the slowest node's time), then one a check (its verdicts counted).

    Columns: what, kind (``step`` or ``check``), ok, warnings (of checks), changed, planned, skipped, time (s).
    """
    names = dict.fromkeys(row.step for row in results)
    rows = [_step(name, [row for row in results if row.step == name]) for name in names]
    claims = dict.fromkeys(check.check for check in checks)
    rows += [_check(claim, [check.verdict for check in checks if check.check == claim]) for claim in claims]
    return frame(rows, COLUMNS)


def _step(name: str, rows: Sequence[StepResult]) -> tuple[object, ...]:
    statuses = [row.status for row in rows]
    counts = [statuses.count(status) for status in (Status.CHANGED, Status.PLANNED, Status.SKIPPED)]
    return (name, "step", statuses.count(Status.OK), 0, *counts, round(max(row.seconds for row in rows), 1))


def _check(claim: str, verdicts: Sequence[Verdict]) -> tuple[object, ...]:
    counts = [verdicts.count(verdict) for verdict in (Verdict.PASS, Verdict.WARN)]
    return (claim, "check", *counts, 0, 0, verdicts.count(Verdict.SKIP), None)
