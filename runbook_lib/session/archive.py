"""The archive's API for notebook 10: tables, a comparison and a picture, also for an archive with few records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from runbook_lib import charts
from runbook_lib.errors import CheckFailed
from runbook_lib.model.results import with_warnings
from runbook_lib.records.query.frames import COMPARISON, compare, frame
from runbook_lib.records.query.trend import SECONDS, trend
from runbook_lib.records.store import default_location, open_archive
from runbook_lib.records.store.archive import Archive
from runbook_lib.session.expectations import Exercise, exercise
from runbook_lib.session.views.display import Picture
from runbook_lib.tables.frame import WHOLE, Column, Table, document_columns

if TYPE_CHECKING:
    from runbook_lib.records.checks import Verification

_FINISHED_WELL = ("pass", "planned")
_MOST_FINDINGS = 12

VERIFIED: Table[Verification] = Table(
    "One row for the archive; none where it is empty.",
    Column("records", lambda found: found.records, WHOLE, meaning="how many were compared"),
    Column("entries", lambda found: found.entries, WHOLE, meaning="of the chain"),
    Column("pruned", lambda found: found.pruned, WHOLE),
    Column("running", lambda found: found.running, WHOLE),
    Column("signed by", lambda found: ", ".join(found.signed or ()), meaning="the keys"),
)


def read_archive(location: str | Path = "", cluster: str = "", notebook: str = "") -> ArchiveView:
    """The archive at a folder or URL, else the default one; with ``cluster`` only that cluster's records.

    ``notebook`` is the name of the calling notebook, for its exercises.

    Raises:
        InputError: it cannot be read.
    """
    return ArchiveView(open_archive(location or default_location()), cluster, notebook)


@dataclass(frozen=True)
class ArchiveView:
    """One archive, read-only."""

    archive: Archive
    cluster: str = ""
    notebook: str = ""

    @cached_property
    def records(self) -> pd.DataFrame:
        """Every record, newest first: the columns of ``records.frame()``."""
        return self.frame("records")

    def frame(self, what: str) -> pd.DataFrame:
        """A part of every record: steps, checks, cells, metrics, nodes, calls, or a table that a notebook kept.

        Raises:
            InputError: no record has such a table.
        """
        table = frame(what, self.archive)
        return table[table["cluster"] == self.cluster] if self.cluster else table

    def overview(self) -> pd.DataFrame:
        """One row per notebook and cluster, the newest first: how often it ran, and with which results.

        Columns: ``notebook``, ``cluster``, ``runs``, ``passed``, ``changed`` (by all its runs), ``median (s)``, and of
        the newest run ``last`` (when it was started), ``verdict`` and ``warnings``.
        """
        finished = self.records[self.records["notebook"] != ""]
        if finished.empty:
            print(f"There is no record in {self.archive.location} yet. Make some: ./runbook run")
        grouped = finished.assign(passed=finished["verdict"].isin(_FINISHED_WELL)).groupby(["notebook", "cluster"])
        table = grouped.agg(
            runs=("record", "size"),
            passed=("passed", "sum"),
            changed=("changed", "sum"),
            median=("seconds", "median"),
            last=("started", "first"),
            verdict=("verdict", "first"),
            warnings=("warnings", "first"),
        )
        return table.rename(columns={"median": "median (s)"}).sort_values("last", ascending=False).reset_index()

    @document_columns(VERIFIED)
    def verify(self) -> pd.DataFrame:
        """Verify the archive, and return how many records were compared with the chain.

        Raises:
            CheckFailed: a record was changed, removed, added or moved; the message says which and where.
        """
        from runbook_lib.records.verify import examine

        if not self.archive.folders() and not self.archive.chain_file.exists():
            return VERIFIED()
        found = examine(self.archive)
        if not found.intact:
            faults = "".join(f"\n  - {finding}" for finding in found.findings[:_MOST_FINDINGS])
            raise CheckFailed(f"the archive is not as it was written:{faults}", remedy="see: ./runbook records verify")
        return VERIFIED([found])

    @document_columns(COMPARISON)
    def compare(self, before: str = "", after: str = "") -> pd.DataFrame:
        """What changed on the cluster between two records.

        By default these are the two newest records of one notebook on one cluster. Where there are no two, a message is
        printed and the table is empty.

        Raises:
            InputError: no record, or more than one, matches.
            RecordError: a record cannot be read.
        """
        if not (before and after):
            newest = self._two_newest()
            if newest is None:
                print("No notebook was run twice on one cluster yet: there is nothing to compare.")
                return COMPARISON()
            before, after = before or newest[0], after or newest[1]
        print(f"A {self._told(before)}\nB {self._told(after)}")
        return compare(before, after, self.archive)

    def trend(self, notebook: str = "", metric: str = SECONDS) -> Picture | None:
        """The metric over time; by default of the notebook with the most records. ``None`` without records.

        Raises:
            InputError: no such notebook, or no record of it has such a metric; the remedy names those there are.
        """
        names = self.records.loc[self.records["seconds"].notna(), "notebook"]
        if names.empty:
            print("No notebook has come to its end yet: there is nothing to follow.")
            return None
        found = trend(self.archive, notebook or str(names.mode()[0]), metric, cluster=self.cluster)
        return Picture(charts.trend_picture(found), charts.trend_text(found))

    def exercise(self, name: str, prediction: object = None) -> Exercise:
        """An exercise (``10-a``) with the learner's prediction, which is ``None`` until it is answered."""
        return exercise(name, prediction, notebook=self.notebook)

    def _two_newest(self) -> tuple[str, str] | None:
        ended = self.records[self.records["seconds"].notna()]
        repeated = ended[ended.groupby(["notebook", "cluster"])["record"].transform("size") > 1]
        if repeated.empty:
            return None
        first = repeated.iloc[0]
        alike = repeated[(repeated["notebook"] == first["notebook"]) & (repeated["cluster"] == first["cluster"])]
        return str(alike["record"].iloc[1]), str(alike["record"].iloc[0])

    def _told(self, record: str) -> str:
        found = self.records[self.records["record"].str.startswith(record)]
        if len(found) != 1:
            return record
        row = found.iloc[0]
        told = with_warnings(str(row["verdict"]), 0 if pd.isna(row["warnings"]) else int(row["warnings"]))
        return f"{row['record']}  {row['notebook']} on {row['cluster']}, {row['started']:%Y-%m-%d %H:%M}: {told}"
