"""Addresses before and after a restart in another order."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from runbook_lib import charts
from runbook_lib.facts.addresses import ClusterAddress
from runbook_lib.session.display import Picture
from runbook_lib.tables.frame import FLAG, TEXT, frame

COLUMNS = {"node": TEXT, "before": TEXT, "assigned by": TEXT, "after": TEXT, "moved": FLAG}


@dataclass(frozen=True)
class Drift:
    """Every node's address before and after; ``restarted`` is false when the nodes were left alone."""

    before: tuple[ClusterAddress, ...]
    after: tuple[ClusterAddress, ...]
    restarted: bool

    @property
    def table(self) -> pd.DataFrame:
        """Columns: node, before, assigned by, after, moved."""
        rows = [
            (old.node, old.address, old.assigned_by, new.address, old.address != new.address)
            for old, new in zip(self.before, self.after, strict=True)
        ]
        return frame(rows, COLUMNS)

    @property
    def expected(self) -> dict[str, bool]:
        """Per node, whether its address should have moved: those that DHCP assigned, after a restart; without one none.

        A node whose address was assigned otherwise after it than before is left out: it came to its new address by
        another way, and whether that is the old one says nothing.
        """
        return {
            old.node: old.assigned_by == "dhcp"
            for old, new in zip(self.before, self.after, strict=True)
            if self.restarted and old.assigned_by == new.assigned_by
        }

    def picture(self) -> Picture:
        """An arrow from each node's old address to its new one."""
        return Picture(charts.address_drift(self.before, self.after), charts.drift_text(self.before, self.after))
