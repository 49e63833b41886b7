"""A step done while a peer keeps looking: when does it notice?"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pandas as pd

from runbook_lib import charts, tables
from runbook_lib.cluster import Cluster
from runbook_lib.model.parameters import Probes
from runbook_lib.model.results import Check, StepResult, Verdict
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, WHOLE, frame
from runbook_lib.verify.convergence import Convergence
from runbook_lib.verify.ping_matrix import ping_pair

_PAUSE = 0.2

COLUMNS = {"after": TEXT, "the peer": TEXT, "time (s)": DECIMAL, "at most (s)": DECIMAL}

SAMPLE_COLUMNS = {
    "source": TEXT,
    "target": TEXT,
    "since the event (s)": DECIMAL,
    "resolved": TEXT,
    "answered": FLAG,
    "ping (ms)": DECIMAL,
}

PHASE_COLUMNS = {
    "from (s)": DECIMAL,
    "to (s)": DECIMAL,
    "looks": WHOLE,
    "name resolves to": TEXT,
    "answered": FLAG,
    "slowest ping (ms)": DECIMAL,
}


@dataclass(frozen=True)
class Watched:
    """A step's rows, and what its peer saw before, during and after; ``timeline`` is ``None`` in plan mode."""

    rows: tuple[StepResult, ...]
    timeline: Convergence | None
    reachable: bool
    limit: float

    @property
    def steps(self) -> pd.DataFrame:
        """The step's rows."""
        return tables.steps(self.rows)

    @property
    def table(self) -> pd.DataFrame:
        """Columns: after (the event), the peer (what it noticed), time (s), at most (s)."""
        line = self.timeline
        if line is None:
            return frame([], COLUMNS)
        resolves, answers = self._words()
        return frame(
            [
                (line.event, f"{line.source} {resolves} {line.target}", line.resolves_after, self.limit),
                (line.event, f"{line.source} {answers} {line.target}", line.answers_after, self.limit),
            ],
            COLUMNS,
        )

    @property
    def samples(self) -> pd.DataFrame:
        """Columns: source, target, since the event (s), resolved, answered, ping (ms); a row a look, in their order."""
        looks = self.timeline.samples if self.timeline is not None else ()
        return frame(
            [
                (look.source, look.target, look.elapsed, look.resolved, look.answered, look.milliseconds)
                for look in looks
            ],
            SAMPLE_COLUMNS,
        )

    @property
    def phases(self) -> pd.DataFrame:
        """What the peer saw, looks that saw the same in one row; the event is at 0 s.

        Columns: from (s), to (s), looks, name resolves to, answered, slowest ping (ms).
        """
        found = charts.phases(self.timeline.samples) if self.timeline is not None else ()
        return frame(
            [
                (round(row.begin, 1), round(row.end, 1), row.looks, row.resolved, row.answered, row.slowest_ms)
                for row in found
            ],
            PHASE_COLUMNS,
        )

    @property
    def checks(self) -> tuple[Check, ...]:
        """Whether the peer noticed both in time."""
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

    Its own name server learns of the network's other containers a moment after they have learnt of it. Running out of
    time is no error here: whatever is expected of the way back will then fail.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        probes = ping_pair(cluster, source, target, network, Probes(count=1), by=("name",))
        if all(probe.verdict is Verdict.PASS for probe in probes):
            return
        time.sleep(_PAUSE)
