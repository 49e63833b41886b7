"""Tables of what was done and what was found: steps, checks and probes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pandas as pd

from runbook_lib.model.results import Check, StepResult
from runbook_lib.tables.frame import DECIMAL, TEXT, WHOLE, frame


class ProbeRow(Protocol):
    """What a table needs of one probe: a few pings from one container to another, times in milliseconds."""

    @property
    def source(self) -> str:
        """The pinging container."""

    @property
    def source_node(self) -> str:
        """Its node."""

    @property
    def target(self) -> str:
        """The pinged container."""

    @property
    def target_node(self) -> str:
        """Its node; empty when it has none."""

    @property
    def by(self) -> str:
        """``name`` or ``address``."""

    @property
    def resolved(self) -> str | None:
        """The address that was pinged; ``None`` when the name did not resolve."""

    @property
    def sent(self) -> int:
        """Echo requests, the cold first one included."""

    @property
    def received(self) -> int:
        """Their answers."""

    @property
    def loss_percent(self) -> float | None:
        """Lost requests; ``None`` when none was sent."""

    @property
    def min_ms(self) -> float | None:
        """The fastest answer after the first request."""

    @property
    def avg_ms(self) -> float | None:
        """Their average."""

    @property
    def max_ms(self) -> float | None:
        """The slowest of them."""

    @property
    def first_ms(self) -> float | None:
        """The cold probe's answer, ``None`` when it was lost."""

    @property
    def largest(self) -> int | None:
        """The largest IP packet that passed whole, in bytes; ``None`` when none was tried."""

    @property
    def expected(self) -> str:
        """``reachable`` or ``unreachable``."""

    @property
    def verdict(self) -> str:
        """``pass`` or ``fail``."""

    @property
    def detail(self) -> str:
        """Why it failed."""


STEP_COLUMNS = {
    "step": TEXT,
    "node": TEXT,
    "status": TEXT,
    "before": TEXT,
    "after": TEXT,
    "time (s)": DECIMAL,
    "detail": TEXT,
}


def steps(rows: Iterable[StepResult]) -> pd.DataFrame:
    """One row a step and node; ``status`` is ok, changed, planned, failed, unreachable or skipped."""
    return frame(
        ((row.step, row.node, row.status, row.before, row.after, round(row.seconds, 2), row.detail) for row in rows),
        STEP_COLUMNS,
    )


CHECK_COLUMNS = {"check": TEXT, "node": TEXT, "verdict": TEXT, "expected": TEXT, "found": TEXT, "remedy": TEXT}


def checks(rows: Iterable[Check]) -> pd.DataFrame:
    """One row a check and node; ``verdict`` is pass, warn, fail or skip."""
    return frame(
        ((row.check, row.node, row.verdict, row.expected, row.found, row.remedy) for row in rows), CHECK_COLUMNS
    )


def checks_by_name(rows: Iterable[Check]) -> pd.DataFrame:
    """One row a check, its verdicts counted: columns ``check``, ``pass``, ``warn``, ``fail``, ``skip``, ``trouble``.

    ``trouble`` lists the nodes where it did not pass, with what was found there.
    """
    known = list(rows)
    verdicts = ("pass", "warn", "fail", "skip")
    table = []
    for name in dict.fromkeys(row.check for row in known):
        own = [row for row in known if row.check == name]
        counts = [sum(row.verdict == verdict for row in own) for verdict in verdicts]
        trouble = "; ".join(f"{row.node}: {row.found}" for row in own if row.verdict in ("warn", "fail"))
        table.append((name, *counts, trouble))
    return frame(table, {"check": TEXT, **dict.fromkeys(verdicts, WHOLE), "trouble": TEXT})


PROBE_COLUMNS = {
    "source": TEXT,
    "target": TEXT,
    "by": TEXT,
    "resolved": TEXT,
    "sent": WHOLE,
    "received": WHOLE,
    "loss (%)": DECIMAL,
    "ping min (ms)": DECIMAL,
    "ping avg (ms)": DECIMAL,
    "ping max (ms)": DECIMAL,
    "first ping (ms)": DECIMAL,
    "largest (bytes)": WHOLE,
    "expected": TEXT,
    "verdict": TEXT,
    "detail": TEXT,
}

PROBE_COLUMNS_SHORT = (
    "source",
    "target",
    "by",
    "resolved",
    "loss (%)",
    "ping avg (ms)",
    "largest (bytes)",
    "verdict",
)


def probes(rows: Iterable[ProbeRow], *, full: bool = False) -> pd.DataFrame:
    """One row a probe, source and target as ``node3/alpine1``; eight columns, or with ``full`` all of them.

    ``first ping (ms)`` is the cold probe's time, which is in none of the other three; ``largest (bytes)`` the largest
    IP packet that passed whole.
    """
    table = frame(
        (
            (
                f"{row.source_node}/{row.source}",
                f"{row.target_node}/{row.target}" if row.target_node else row.target,
                row.by,
                row.resolved,
                row.sent,
                row.received,
                row.loss_percent,
                row.min_ms,
                row.avg_ms,
                row.max_ms,
                row.first_ms,
                row.largest,
                row.expected,
                row.verdict,
                row.detail,
            )
            for row in rows
        ),
        PROBE_COLUMNS,
    )
    return table if full else table[list(PROBE_COLUMNS_SHORT)]


PROBE_SUMMARY_COLUMNS = {
    "source": TEXT,
    "by": TEXT,
    "probes": WHOLE,
    "passed": WHOLE,
    "lost pings (%)": DECIMAL,
    "ping avg (ms)": DECIMAL,
    "slowest ping (ms)": DECIMAL,
}


def probe_summary(rows: Iterable[ProbeRow]) -> pd.DataFrame:
    """One row a source and way of addressing: how many of its probes passed, and their times."""
    known = list(rows)
    groups: dict[tuple[str, str], list[ProbeRow]] = {}
    for row in known:
        groups.setdefault((f"{row.source_node}/{row.source}", row.by), []).append(row)
    table = []
    for (source, by), own in groups.items():
        sent, received = sum(row.sent for row in own), sum(row.received for row in own)
        averages = [row.avg_ms for row in own if row.avg_ms is not None]
        slowest = [row.max_ms for row in own if row.max_ms is not None]
        table.append(
            (
                source,
                by,
                len(own),
                sum(row.verdict == "pass" for row in own),
                round(100 * (sent - received) / sent, 1) if sent else None,
                round(sum(averages) / len(averages), 3) if averages else None,
                max(slowest, default=None),
            )
        )
    return frame(table, PROBE_SUMMARY_COLUMNS)
