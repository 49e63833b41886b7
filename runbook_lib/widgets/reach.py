"""Who reaches whom, in words that need no colour."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from runbook_lib.tables.frame import TEXT, frame
from runbook_lib.verify.probe import Probe

COLUMNS = {"from": TEXT, "to": TEXT, "by name": TEXT, "by address": TEXT}


def reach_matrix(probes: Sequence[Probe]) -> pd.DataFrame:
    """A row an ordered pair of containers. Columns: from, to, by name, by address (``answers in 0.15 ms``)."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for probe in probes:
        found.setdefault((probe.source, probe.target), {})[probe.by] = _words(probe)
    rows = [(source, to, ways.get("name", ""), ways.get("address", "")) for (source, to), ways in found.items()]
    return frame(rows, COLUMNS)


def no_matrix() -> pd.DataFrame:
    """The table where there is nothing to ping."""
    return frame([], COLUMNS)


def _words(probe: Probe) -> str:
    if probe.received:
        took = probe.avg_ms if probe.avg_ms is not None else probe.first_ms
        answers = "answers" if took is None else f"answers in {took:.2f} ms"
        return answers if probe.expected == "reachable" else f"✗ still {answers}"
    if probe.expected == "unreachable":
        return "– silent, as expected"
    return f"✗ no answer{f': {probe.detail}' if probe.detail else ''}"
