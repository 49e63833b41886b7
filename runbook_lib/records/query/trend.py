"""A metric of a notebook over time."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from runbook_lib.errors import InputError
from runbook_lib.model.results import Trend, TrendPoint
from runbook_lib.records.query.index import Row, open_index, reading_names, readings
from runbook_lib.records.query.query import Filters, list_records
from runbook_lib.records.store.archive import Archive

if TYPE_CHECKING:
    from runbook_lib.model.record import Record

#: The metric of every finished record: its duration.
SECONDS = "seconds"

_GOOD = ("pass", "planned")
_BARS = "▁▂▃▄▅▆▇█"


class Measured(NamedTuple):
    """The mean of a record's values of one metric, in ``unit``."""

    value: float
    unit: str


def values_of(record: Record) -> dict[str, Measured]:
    """Each metric of a record, including its seconds; the mean of several values of one metric."""
    values: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    for metric in record.metrics:
        values.setdefault(metric.name, []).append(metric.value)
        units[metric.name] = metric.unit
    found = {} if record.seconds is None else {SECONDS: Measured(record.seconds, "s")}
    return found | {name: Measured(statistics.fmean(values[name]), units[name]) for name in values}


def trend(archive: Archive, notebook: str, metric: str, *, cluster: str = "", since: datetime | None = None) -> Trend:
    """The metric in every record of a notebook (its name, or a unique prefix).

    Raises:
        InputError: an unknown notebook, or a metric that none of its records has; the remedy names the known ones.
    """
    everything = [row for row in list_records(archive) if row.notebook]
    name = _one_notebook(notebook, everything, archive)
    chosen = Filters(cluster=cluster, since=since).select([row for row in everything if row.notebook == name])
    unit, values = _values(archive, metric, chosen)
    if not values:
        _refuse(archive, name, metric, chosen)
    points = [_point(row, values[row.folder]) for row in reversed(chosen) if row.folder in values]
    return Trend(name, metric, unit, tuple(points))


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """The values as a line of bars; more than ``width`` values are averaged in groups."""
    if len(values) > width:
        edges = [round(place * len(values) / width) for place in range(width + 1)]
        values = [statistics.fmean(values[low:high]) for low, high in itertools.pairwise(edges)]
    if not values:
        return ""
    low, span = min(values), max(values) - min(values)
    if not span:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def _one_notebook(wanted: str, everything: Iterable[Row], archive: Archive) -> str:
    names = sorted({row.notebook for row in everything})
    wanted = wanted.removesuffix(".ipynb")
    found = [name for name in names if name == wanted] or [name for name in names if wanted and name.startswith(wanted)]
    if len(found) != 1:
        what = f"{len(found)} notebooks begin with" if found else "there is no record of a notebook"
        there = f"one of: {', '.join(found or names)}" if names else "run a notebook first: ./runbook run"
        raise InputError(f"{what} {wanted!r}", place=archive.location, remedy=there)
    return found[0]


def _values(archive: Archive, metric: str, chosen: Iterable[Row]) -> tuple[str, dict[str, float]]:
    """The metric's unit, and its value in each record that has it, by the record's folder."""
    if metric == SECONDS:
        return "s", {row.folder: row.seconds for row in chosen if row.seconds is not None}
    wanted = {row.folder for row in chosen}
    found: dict[str, list[float]] = {}
    unit = ""
    with open_index(archive) as index:
        for reading in readings(index, metric):
            if reading.folder in wanted:
                found.setdefault(reading.folder, []).append(reading.value)
                unit = reading.unit
    return unit, {folder: statistics.fmean(values) for folder, values in found.items()}


def _refuse(archive: Archive, notebook: str, metric: str, chosen: Sequence[Row]) -> None:
    if not chosen:
        raise InputError(
            f"no record of {notebook} matches the filters", place=archive.location, remedy="see: ./runbook records list"
        )
    wanted = {row.folder for row in chosen}
    with open_index(archive) as index:
        names = sorted({name for folder, name in reading_names(index) if folder in wanted} | {SECONDS})
    raise InputError(
        f"no record of {notebook} has the metric {metric!r}",
        place=archive.location,
        remedy=f"one of: {', '.join(names)}",
    )


def _point(row: Row, value: float) -> TrendPoint:
    return TrendPoint(
        record=row.id,
        started=datetime.fromisoformat(row.started),
        cluster=row.cluster,
        verdict=row.verdict,
        warnings=row.warnings,
        passed=row.verdict in _GOOD,
        value=value,
    )
