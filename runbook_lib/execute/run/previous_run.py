"""Finds the run to resume (``--resume``), and checks on the live nodes that its notebooks' results still exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib.cluster import Cluster
from runbook_lib.errors import InputError
from runbook_lib.execute.outcome import PASSED_BEFORE, STILL_HOLDS, NotebookResult
from runbook_lib.execute.run.reporting import Reporter
from runbook_lib.model.events import StepEvent
from runbook_lib.model.loading import Run
from runbook_lib.model.record import Record, RecordVerdict
from runbook_lib.model.results import Status
from runbook_lib.records.query.query import list_records
from runbook_lib.records.store.archive import Archive
from runbook_lib.records.store.reading import read_record
from runbook_lib.session.catalog import StepCatalog
from runbook_lib.steps import run_step


@dataclass(frozen=True)
class EarlierRun:
    """A run to resume: its ID, its notebooks in order, and those that passed, in the same order."""

    id: str
    cluster: str
    notebooks: tuple[str, ...]
    passed: tuple[str, ...]
    parameters: Mapping[str, Any]


def earlier_run(archive: Archive, wanted: str) -> EarlierRun:
    """Find the run, by its ID, by the ID of one of its records, or ``last``.

    Raises:
        InputError: unknown run, or all its notebooks have passed.
    """
    records = records_of_run(archive, wanted)
    last = records[-1]
    verdicts = {record.notebook: record.verdict for record in records}
    passed = []
    for name in last.notebooks:
        if not _passed(name, records, verdicts):
            break
        passed.append(name)
    if len(passed) == len(last.notebooks):
        raise InputError(
            f"the run {last.run} passed, all {len(passed)} notebooks of it",
            place="--resume",
            remedy="call ./runbook run without --resume to run them again",
        )
    return EarlierRun(last.run, last.cluster, last.notebooks, tuple(passed), dict(last.parameters))


def _passed(name: str, records: Sequence[Record], verdicts: dict[str, RecordVerdict]) -> bool:
    """Whether a notebook passed in the run, or in one that the run itself resumed (and so checked again)."""
    if name in verdicts:
        return verdicts[name] is RecordVerdict.PASS
    first = records[0]
    return bool(first.resumes) and first.notebooks.index(name) < first.notebooks.index(first.notebook)


def check_same_run(earlier: EarlierRun, notebooks: Sequence[Path], cluster: str) -> None:
    """Check that notebooks and cluster are those of the run.

    Raises:
        InputError: other notebooks, or another cluster.
    """
    names = tuple(path.stem for path in notebooks)
    if names != earlier.notebooks:
        raise InputError(
            f"the run {earlier.id} has other notebooks: {', '.join(earlier.notebooks)}",
            place="--resume",
            remedy="leave the names out, or start a new run",
        )
    if cluster != earlier.cluster:
        raise InputError(
            f"the run {earlier.id} was on the cluster '{earlier.cluster}', these parameters are of '{cluster}'",
            place="--resume",
            remedy="name the parameter file of that cluster, or none: then that run's own parameters are taken",
        )


def recheck(run: Run, notebooks: Sequence[str], reporter: Reporter) -> list[NotebookResult]:
    """Check on the live nodes whether the results of these notebooks still exist; nothing is changed.

    Returns:
        One result per notebook, in order, up to the first whose result no longer exists. One that only reads, and so
        has no result to check, counts as passed before.
    """
    catalog = StepCatalog(run.inventory, run.parameters)
    held = []
    with Cluster(run.inventory, run.parameters.timeouts) as cluster:
        for notebook in notebooks:
            reporter.notebook_started(notebook, "looked at again")
            rows = [row for step in catalog.left_by(notebook) for row in run_step(cluster, step, plan=True)]
            for row in rows:
                reporter.step(notebook, StepEvent.of(row))
            if any(row.status not in (Status.OK, Status.SKIPPED) for row in rows):
                break
            verdict = STILL_HOLDS if rows else PASSED_BEFORE
            result = NotebookResult(notebook, verdict, steps=len(rows), seconds=sum(row.seconds for row in rows))
            reporter.notebook_ended(result)
            held.append(result)
    return held


#: The name of the last run.
LAST = "last"


def records_of_run(archive: Archive, wanted: str) -> tuple[Record, ...]:
    """All records of a run, the oldest first.

    Args:
        archive: where to look.
        wanted: the run's ID, or the ID of one of its records, or the beginning of either; or ``last``.

    Raises:
        InputError: no run, or more than one, matches.
        RecordError: a record of it cannot be read.
    """
    rows = [row for row in list_records(archive) if row.run]
    if wanted == LAST:
        runs = {row.run for row in rows[:1]}
    else:
        runs = {row.run for row in rows if wanted and (row.run.startswith(wanted) or row.id.startswith(wanted))}
    if wanted == LAST and not runs:
        raise InputError("there is no run yet", place=archive.location, remedy="start one: ./runbook run")
    if len(runs) != 1:
        what = f"there is no run {wanted!r}" if not runs else f"{len(runs)} runs begin with {wanted!r}"
        raise InputError(
            what,
            place=archive.location,
            remedy="see the IDs: ./runbook records list; one of a record stands for its run",
        )
    (run,) = runs
    records = [read_record(archive.root / row.folder) for row in rows if row.run == run]
    return tuple(sorted(records, key=lambda record: record.started))
