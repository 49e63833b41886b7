"""The records that belong to one run."""

from __future__ import annotations

from runbook_lib.errors import InputError
from runbook_lib.model.record import Record
from runbook_lib.records.archive import Archive
from runbook_lib.records.query import list_records
from runbook_lib.records.reading import read_record

#: Names the run that began last.
LAST = "last"


def records_of_run(archive: Archive, wanted: str) -> tuple[Record, ...]:
    """All records of a run, the oldest first.

    Args:
        archive: where to look.
        wanted: the run's ID, or the ID of one of its records, or the beginning of either; or ``last``.

    Raises:
        InputError: no run, or more than one, is called so.
        RecordError: a record of it cannot be read.
    """
    rows = [row for row in list_records(archive) if row.run]
    if wanted == LAST:
        runs = {row.run for row in rows[:1]}
    else:
        runs = {row.run for row in rows if wanted and (row.run.startswith(wanted) or row.id.startswith(wanted))}
    if len(runs) != 1:
        what = f"there is no run {wanted!r}" if not runs else f"{len(runs)} runs begin with {wanted!r}"
        raise InputError(
            what if wanted != LAST else "there is no run yet",
            place=archive.location,
            remedy="a run is named at its end, and by 'records show' of one of its records",
        )
    (run,) = runs
    records = [read_record(archive.root / row.folder) for row in rows if row.run == run]
    return tuple(sorted(records, key=lambda record: record.started))
