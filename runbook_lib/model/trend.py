"""One number over time: what the archive yields and a chart draws."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class TrendPoint:
    """What one record holds: when it was started, on which cluster, how it ended, the number, how many checks warned.

    ``passed`` is whether everything held; what a failed run measured may mean something else.
    """

    record: str
    started: datetime
    cluster: str
    verdict: str
    passed: bool
    value: float
    warnings: int = 0


@dataclass(frozen=True)
class Trend:
    """A metric of one notebook over time, the oldest point first; values are in ``unit``."""

    notebook: str
    metric: str
    unit: str
    points: tuple[TrendPoint, ...]
