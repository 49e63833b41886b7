"""The results of pings: table, summary, heat map and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

import pandas as pd

from runbook_lib import charts, tables
from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import By, Check, Probe, Verdict
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import DECIMAL, WHOLE, Column, Table, document_columns
from runbook_lib.tables.results import PROBE_SUMMARY
from runbook_lib.verify.ping_matrix import ping_matrix
from runbook_lib.verify.probe import SHARED

MOST_PINGS = 1000
Ways = Literal["name", "address", "both"]


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)


SPREAD: Table[charts.RoundTrips] = Table(
    "One row per pair, or per source where there are many pairs.",
    Column("from and to", lambda row: row.name),
    Column("answered", lambda row: len(row.warm) + len(row.cold), WHOLE),
    Column("lost", lambda row: row.lost, WHOLE),
    Column("first ping", lambda row: max(row.cold, default=None), DECIMAL, "ms", "slower: the peer has to be found"),
    Column("median", lambda row: _rounded(row.middle), DECIMAL, "ms", meaning="of the pings after the first"),
    Column("95 % within", lambda row: _rounded(row.share(0.95)), DECIMAL, "ms", meaning="of the same"),
    Column("slowest", lambda row: _rounded(row.share(1.0)), DECIMAL, "ms", meaning="of the same"),
)


class _Ping(NamedTuple):
    probe: Probe
    number: int
    milliseconds: float | None


EACH = Table[_Ping](
    "One row per ping.",
    Column("source", lambda ping: ping.probe.source),
    Column("target", lambda ping: ping.probe.target),
    Column("by", lambda ping: ping.probe.by, meaning="``name`` or ``address``"),
    Column("number", lambda ping: ping.number, WHOLE, meaning="0 is the first"),
    Column("ping", lambda ping: ping.milliseconds, DECIMAL, "ms", meaning="none when it was lost"),
)


@dataclass(frozen=True)
class Pings:
    """Probes along ordered pairs of containers.

    ``reasons`` are the results of the port and table checks on the nodes of lost pairs.
    """

    probes: tuple[Probe, ...]
    reasons: tuple[Check, ...] = ()

    @property
    @document_columns(tables.probes)
    def table(self) -> pd.DataFrame:
        """The probes with their most important columns."""
        return tables.probes(self.probes)

    @property
    @document_columns(tables.probe_details)
    def details(self) -> pd.DataFrame:
        """The probes with every column."""
        return tables.probe_details(self.probes)

    @property
    @document_columns(PROBE_SUMMARY)
    def summary(self) -> pd.DataFrame:
        """The loss and times of each source's probes."""
        return tables.probe_summary(self.probes)

    @property
    @document_columns(SPREAD)
    def spread(self) -> pd.DataFrame:
        """The spread of the round trips."""
        return SPREAD(charts.round_trips(self.probes))

    @property
    @document_columns(EACH)
    def each(self) -> pd.DataFrame:
        """Every single ping."""
        return EACH(_Ping(probe, *ping) for probe in self.probes for ping in enumerate(probe.times))

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
        """One check with its reason per pair that is not as expected; a single check if all are.

        What could not be tested (TCP, if a node has no perl) is a warning, also beside failed pairs.
        """
        if not self.probes:
            return (Check("there is something to ping", "", Verdict.FAIL, "two running containers", "no pair at all"),)
        odd: dict[tuple[str, str, Verdict, str], list[Probe]] = {}
        for probe in self.probes:
            if probe.verdict is not Verdict.PASS:
                words = probe.detail.removesuffix(SHARED).removesuffix("; ")
                odd.setdefault((probe.source, probe.target, probe.verdict, words), []).append(probe)
        if odd:
            return (
                *(_check(alike, words, self.reasons) for (*_, words), alike in odd.items()),
                *self.reasons,
                *self._unproven(),
            )
        wanted = {probe.expected for probe in self.probes}
        count = f"{len(self.probes)} of {len(self.probes)}"
        passed = Check(f"pairs are {' or '.join(sorted(wanted))} as expected", "", Verdict.PASS, count, count)
        return (passed, *self._unproven())

    def _unproven(self) -> Iterator[Check]:
        nodes: dict[str, dict[str, None]] = {}
        # the check of a failed pair itself says what was not tested
        for probe in (probe for probe in self.probes if probe.verdict is Verdict.PASS):
            for words in probe.unproven:
                nodes.setdefault(words, {})[probe.source_node] = None
        for words, where in nodes.items():
            expected = "packets of full size, a TCP connection and the tables, all tried"
            yield Check("every kind of packet was tried", ", ".join(where), Verdict.WARN, expected, words)

    def picture(self) -> Picture:
        """The heat map, with the losses in words."""
        return Picture(charts.ping_heatmap(self.probes), charts.heatmap_text(self.probes))

    def spread_picture(self) -> Picture:
        """Every round trip as a dot, with the medians in words."""
        return Picture(charts.latency_spread(self.probes), charts.spread_text(self.probes))


def ping(
    cluster: Cluster,
    parameters: Parameters,
    *,
    by: Ways,
    expect_unreachable: Sequence[str],
    last_known: Mapping[str, str],
    count: int | None = None,
) -> Pings:
    """Ping between all wanted containers on the overlay; ``count`` overrides the parameters' number of pings.

    Raises:
        InputError: an invalid count, or fewer than two containers.
        PreconditionError: a container does not exist.
    """
    probes_wanted = parameters.probes
    if count is not None:
        if not 1 <= count <= MOST_PINGS:
            raise InputError(f"{count} pings a pair", place="count", remedy=f"ask for 1 to {MOST_PINGS}")
        probes_wanted = probes_wanted.model_copy(update={"count": count})
    ways: tuple[By, ...] = ("name", "address") if by == "both" else (by,)
    probes = ping_matrix(
        cluster,
        [container.name for container in parameters.containers],
        parameters.overlay.name,
        probes_wanted,
        by=ways,
        expect_unreachable=expect_unreachable,
        last_known=last_known,
    )
    return Pings(probes)


def _check(alike: Sequence[Probe], words: str, reasons: Sequence[Check]) -> Check:
    probe = alike[0]
    ways = " and by ".join(row.by for row in alike)
    claim = f"{probe.target} is {probe.expected} from {probe.source} by {ways}"
    found = words or f"{probe.loss_percent:.0f} % lost"
    return Check(claim, probe.source_node, probe.verdict, probe.expected, found, probe.remedy_beside(reasons))
