"""Tables of steps, checks and probes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from runbook_lib.model.results import Check, Probe, StepResult, Verdict
from runbook_lib.tables.frame import DECIMAL, WHOLE, Column, Table, document_columns, grouped

steps = Table[StepResult](
    "One row per step and node.",
    Column("step", lambda row: row.step),
    Column("node", lambda row: row.node),
    Column("status", lambda row: row.status, meaning="ok, changed, planned, failed, unreachable or skipped"),
    Column("before", lambda row: row.before, meaning="what the step found"),
    Column("after", lambda row: row.after, meaning="what the step set"),
    Column("time", lambda row: round(row.seconds, 2), DECIMAL, "s"),
    Column("detail", lambda row: row.detail),
)

one_step = steps.only("node", "status", "before", "after", "time (s)", "detail")

checks = Table[Check](
    "One row per check and node.",
    Column("check", lambda row: row.check, meaning="what was looked at"),
    Column("node", lambda row: row.node),
    Column("verdict", lambda row: row.verdict, meaning="pass, warn, fail or skip"),
    Column("expected", lambda row: row.expected),
    Column("found", lambda row: row.found),
    Column("remedy", lambda row: row.remedy, meaning="what to do about it"),
)


def _count(same: Sequence[Check | Probe], verdict: Verdict) -> int:
    return sum(row.verdict == verdict for row in same)


def _trouble(same: Sequence[Check]) -> str:
    return "; ".join(f"{row.node}: {row.found}" for row in same if row.verdict in (Verdict.WARN, Verdict.FAIL))


CHECKS_BY_NAME = Table[Sequence[Check]](
    "One row per check, its verdicts counted.",
    Column("check", lambda same: same[0].check, meaning="what was looked at"),
    Column("pass", lambda same: _count(same, Verdict.PASS), WHOLE, meaning="on how many nodes"),
    Column("warn", lambda same: _count(same, Verdict.WARN), WHOLE),
    Column("fail", lambda same: _count(same, Verdict.FAIL), WHOLE),
    Column("skip", lambda same: _count(same, Verdict.SKIP), WHOLE),
    Column("trouble", _trouble, meaning="the nodes where it did not pass, and what was found there"),
)


@document_columns(CHECKS_BY_NAME)
def checks_by_name(rows: Iterable[Check]) -> pd.DataFrame:
    """The checks counted by name."""
    return CHECKS_BY_NAME(grouped(rows, lambda row: row.check).values())


def _source(row: Probe) -> str:
    return f"{row.source_node}/{row.source}"


def _target(row: Probe) -> str:
    return f"{row.target_node}/{row.target}" if row.target_node else row.target


probe_details = Table[Probe](
    "One row per probe: some pings from one container to another.",
    Column("source", _source, meaning="the pinging container, ``node3/alpine1``"),
    Column("target", _target, meaning="the pinged one"),
    Column("by", lambda row: row.by, meaning="name or address"),
    Column("resolved", lambda row: row.resolved, meaning="the address that was pinged; empty: the name led to none"),
    Column("sent", lambda row: row.sent, WHOLE, meaning="how many pings, the first one included"),
    Column("received", lambda row: row.received, WHOLE, meaning="how many of them were answered"),
    Column("loss", lambda row: row.loss_percent, DECIMAL, "%"),
    Column("ping min", lambda row: row.min_ms, DECIMAL, "ms", meaning="the fastest after the first one"),
    Column("ping avg", lambda row: row.avg_ms, DECIMAL, "ms", meaning="the mean after the first one"),
    Column("ping max", lambda row: row.max_ms, DECIMAL, "ms", meaning="the slowest after the first one"),
    Column("first ping", lambda row: row.first_ms, DECIMAL, "ms", meaning="in none of the other three"),
    Column("largest", lambda row: row.largest, WHOLE, "bytes", "the largest IP packet that passed unfragmented"),
    Column("expected", lambda row: row.expected, meaning="reachable or unreachable"),
    Column("verdict", lambda row: row.verdict, meaning="pass, warn or fail"),
    Column("detail", lambda row: row.detail, meaning="why it did not pass"),
)

probes = probe_details.only(
    "source", "target", "by", "resolved", "loss (%)", "ping avg (ms)", "largest (bytes)", "verdict"
)


def _loss_percent(same: Sequence[Probe]) -> float | None:
    sent, received = sum(row.sent for row in same), sum(row.received for row in same)
    return round(100 * (sent - received) / sent, 1) if sent else None


def _mean_ms(same: Sequence[Probe]) -> float | None:
    averages = [row.avg_ms for row in same if row.avg_ms is not None]
    return round(sum(averages) / len(averages), 3) if averages else None


def _slowest_ms(same: Sequence[Probe]) -> float | None:
    return max((row.max_ms for row in same if row.max_ms is not None), default=None)


PROBE_SUMMARY = Table[Sequence[Probe]](
    "One row per source and way of addressing.",
    Column("source", lambda same: _source(same[0]), meaning="the pinging container, ``node3/alpine1``"),
    Column("by", lambda same: same[0].by, meaning="name or address"),
    Column("probes", len, WHOLE, meaning="how many containers it pinged"),
    Column("passed", lambda same: _count(same, Verdict.PASS), WHOLE),
    Column("lost pings", _loss_percent, DECIMAL, "%"),
    Column("ping avg", _mean_ms, DECIMAL, "ms", meaning="the mean of the probes' means"),
    Column("slowest ping", _slowest_ms, DECIMAL, "ms"),
)


@document_columns(PROBE_SUMMARY)
def probe_summary(rows: Iterable[Probe]) -> pd.DataFrame:
    """How many of each source's probes passed, and their times."""
    return PROBE_SUMMARY(grouped(rows, lambda row: (_source(row), row.by)).values())
