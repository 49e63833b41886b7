"""Pings as a notebook shows them: table, summary, heat map, and the checks that they lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import pandas as pd

from runbook_lib import tables
from runbook_lib.charts import heatmap_text, ping_heatmap
from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.display import Picture
from runbook_lib.verify.ping_matrix import ping_matrix
from runbook_lib.verify.probe import By, Probe

Ways = Literal["name", "address", "both"]


@dataclass(frozen=True)
class Pings:
    """Probes along ordered pairs of containers."""

    probes: tuple[Probe, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row a probe: source, target, by, resolved, loss (%), ping avg (ms), expected, verdict."""
        return tables.probes(self.probes)

    @property
    def details(self) -> pd.DataFrame:
        """One row a probe with every column."""
        return tables.probes(self.probes, full=True)

    @property
    def summary(self) -> pd.DataFrame:
        """One row a source and way of addressing, with loss and times."""
        return tables.probe_summary(self.probes)

    @property
    def latency_ms(self) -> float | None:
        """The mean round trip in milliseconds over the probes that answered; ``None`` when none did."""
        return fmean(times) if (times := [probe.avg_ms for probe in self._wanted if probe.avg_ms is not None]) else None

    @property
    def loss_percent(self) -> float | None:
        """How many of the echo requests were lost to peers that should answer; ``None`` when none was sent."""
        sent = sum(probe.sent for probe in self._wanted)
        return 100 * (1 - sum(probe.received for probe in self._wanted) / sent) if sent else None

    @property
    def _wanted(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.expected == "reachable"]

    @property
    def checks(self) -> tuple[Check, ...]:
        """A check for every probe that is not as expected; one that counts them all when every one is."""
        odd = [probe for probe in self.probes if probe.verdict is not Verdict.PASS]
        if odd or not self.probes:
            return tuple(_check(probe) for probe in odd) or (
                Check("there is something to ping", "", Verdict.FAIL, "two running containers", "no pair at all"),
            )
        wanted = {probe.expected for probe in self.probes}
        count = f"{len(self.probes)} of {len(self.probes)}"
        return (Check(f"pairs are {' or '.join(sorted(wanted))} as expected", "", Verdict.PASS, count, count),)

    def picture(self) -> Picture:
        """The heat map, with the losses in words."""
        return Picture(ping_heatmap(self.probes), heatmap_text(self.probes))


def ping(
    cluster: Cluster,
    parameters: Parameters,
    *,
    by: Ways,
    expect_unreachable: Sequence[str],
    last_known: Mapping[str, str],
) -> Pings:
    """Ping between all wanted containers on the overlay."""
    ways: tuple[By, ...] = ("name", "address") if by == "both" else (by,)
    probes = ping_matrix(
        cluster,
        [container.name for container in parameters.containers],
        parameters.overlay.name,
        parameters.probes,
        by=ways,
        expect_unreachable=expect_unreachable,
        last_known=last_known,
    )
    return Pings(probes)


def _check(probe: Probe) -> Check:
    claim = f"{probe.target} is {probe.expected} from {probe.source} by {probe.by}"
    found = probe.detail or f"{probe.loss_percent:.0f} % lost"
    return Check(claim, probe.source_node, probe.verdict, probe.expected, found)
