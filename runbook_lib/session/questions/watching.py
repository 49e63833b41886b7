"""Performs a step while a peer probes repeatedly, and measures when the peer notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from runbook_lib import charts, tables
from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Probes
from runbook_lib.model.results import Check, StepResult, Verdict
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import DECIMAL, FLAG, WHOLE, Column, Table, document_columns
from runbook_lib.verify.convergence import Convergence, Sample
from runbook_lib.verify.ping_matrix import ping_pair
from runbook_lib.waiting import wait_until

_PAUSE = 0.2


class _Notice(NamedTuple):
    event: str
    words: str
    seconds: float | None
    limit: float


NOTICES = Table[_Notice](
    "One row per thing that the peer notices.",
    Column("after", lambda row: row.event, meaning="what was done"),
    Column("the peer", lambda row: row.words, meaning="what it noticed"),
    Column("time", lambda row: row.seconds, DECIMAL, "s", meaning="none: it did not notice"),
    Column("at most", lambda row: row.limit, DECIMAL, "s"),
)

SAMPLES = Table[Sample](
    "One row per probe of the peer, in order.",
    Column("source", lambda look: look.source, meaning="the container that probes"),
    Column("target", lambda look: look.target),
    Column("since the event", lambda look: look.elapsed, DECIMAL, "s"),
    Column("resolved", lambda look: look.resolved, meaning="the address that the name resolved to; empty: none"),
    Column("answered", lambda look: look.answered, FLAG),
    Column("ping", lambda look: look.milliseconds, DECIMAL, "ms"),
)

PHASES: Table[charts.Phase] = Table(
    "One row per period with the same result; the event is at 0 s.",
    Column("from", lambda phase: round(phase.begin, 1), DECIMAL, "s"),
    Column("to", lambda phase: round(phase.end, 1), DECIMAL, "s"),
    Column("looks", lambda phase: phase.looks, WHOLE, meaning="how many there were"),
    Column("name resolves to", lambda phase: phase.resolved),
    Column("answered", lambda phase: phase.answered, FLAG),
    Column("slowest ping", lambda phase: phase.slowest_ms, DECIMAL, "ms"),
)


@dataclass(frozen=True)
class Watched:
    """A step's rows, and the peer's probes before, during and after it; ``timeline`` is ``None`` in plan mode."""

    rows: tuple[StepResult, ...]
    timeline: Convergence | None
    reachable: bool
    limit: float

    @property
    @document_columns(tables.steps)
    def steps(self) -> pd.DataFrame:
        """The step's rows."""
        return tables.steps(self.rows)

    @property
    @document_columns(NOTICES)
    def table(self) -> pd.DataFrame:
        """When the peer noticed, by name resolution and by ping."""
        line = self.timeline
        if line is None:
            return NOTICES()
        resolves, answers = self._words()
        return NOTICES(
            _Notice(line.event, f"{line.source} {words} {line.target}", seconds, self.limit)
            for words, seconds in ((resolves, line.resolves_after), (answers, line.answers_after))
        )

    @property
    @document_columns(SAMPLES)
    def samples(self) -> pd.DataFrame:
        """Every probe of the peer."""
        return SAMPLES(self.timeline.samples if self.timeline is not None else ())

    @property
    @document_columns(PHASES)
    def phases(self) -> pd.DataFrame:
        """The periods in which the peer's probes had the same result."""
        return PHASES(charts.phases(self.timeline.samples) if self.timeline is not None else ())

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether the peer noticed both within the limit."""
        line = self.timeline
        if line is None:
            return (Check("the peer notices", "", Verdict.SKIP, found="plan mode: nothing was changed"),)
        resolves, answers = self._words()
        return tuple(
            Check(
                f"{line.source} {words} {line.target} after {line.event}",
                "",
                Verdict.FAIL if seconds is None else Verdict.PASS,
                f"within {self.limit:.0f} s",
                "not within the time" if seconds is None else f"after {seconds:.1f} s",
            )
            for words, seconds in ((resolves, line.resolves_after), (answers, line.answers_after))
        )

    def picture(self) -> Picture | str:
        """The time line, a mark every 100 ms."""
        if self.timeline is None:
            return "plan mode: nothing was changed, so there is no time line"
        return Picture(charts.convergence_timeline(self.timeline), charts.timeline_text(self.timeline))

    def _words(self) -> tuple[str, str]:
        return ("resolves", "reaches") if self.reachable else ("no longer resolves", "no longer reaches")


def wait_for_way_back(cluster: Cluster, source: str, target: str, network: str, seconds: float) -> None:
    """Wait, bounded, until a container that was connected reaches its peer by name as well.

    Its name server learns of the network's other containers shortly after they have learned of it. A timeout does not
    raise: the checks of the return path then fail.
    """

    def reached() -> bool:
        probes = ping_pair(cluster, source, target, network, Probes(count=1), by=("name",))
        return all(probe.verdict is Verdict.PASS for probe in probes)

    wait_until(reached, seconds, pause=_PAUSE)
