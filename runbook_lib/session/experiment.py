"""The experiment with docker_gwbridge as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from runbook_lib.model.results import Check, Verdict
from runbook_lib.tables.frame import TEXT, WHOLE, frame
from runbook_lib.verify.gateway_bridge import BridgeExperiment

COLUMNS = {"traffic": TEXT, "node": TEXT, "interface": TEXT, "role": TEXT, "packets": WHOLE}


@dataclass(frozen=True)
class Experiment:
    """What each interface counted while one kind of traffic flowed; no result in plan mode without containers."""

    result: BridgeExperiment | None

    @property
    def table(self) -> pd.DataFrame:
        """Columns: traffic, node, interface, role, packets (how many more it had counted afterwards)."""
        traffic = self.result.traffic if self.result else ()
        rows = [(row.traffic, row.node, row.interface, row.role, row.moved) for row in traffic]
        return frame(rows, COLUMNS)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The verdicts."""
        if self.result is None:
            return (
                Check("docker_gwbridge is looked at", "", Verdict.SKIP, found="plan mode: no container to look from"),
            )
        return self.result.checks
