"""What changed on the cluster between two runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runbook_lib.model.record import Record
from runbook_lib.model.results import Status
from runbook_lib.records.query.trend import values_of

ABSENT = "-"


class Subject(StrEnum):
    """The subject of a difference, in the order of the output."""

    VERDICT = "verdict"
    STEP = "step"
    ADDRESS = "address"
    ENGINE = "engine"
    CHECK = "check"
    METRIC = "metric"
    PARAMETER = "parameter"
    PROVENANCE = "provenance"


@dataclass(frozen=True)
class Difference:
    """One difference between two records; ``-`` if a record does not have the item.

    ``item`` is a step, a check, a metric or a parameter; ``note`` is the ratio of two numbers.
    """

    subject: Subject
    item: str
    node: str
    before: str
    after: str
    note: str = ""


def differences(a: Record, b: Record) -> tuple[Difference, ...]:
    """The differences of ``b`` from ``a``.

    A step is compared by its last row on each node, a check by its verdict and finding, a metric by its mean. Metrics
    such as seconds and latency always differ: every change of a metric is listed, with its ratio.
    """
    return (
        *_compare(Subject.VERDICT, {("verdict", ""): a.verdict_text}, {("verdict", ""): b.verdict_text}),
        *_compare(Subject.STEP, _steps(a), _steps(b)),
        *_compare(Subject.ADDRESS, _addresses(a), _addresses(b)),
        *_compare(Subject.ENGINE, _engines(a), _engines(b)),
        *_compare(Subject.CHECK, _checks(a), _checks(b)),
        *_metrics(a, b),
        *_compare(Subject.PARAMETER, _parameters(a), _parameters(b)),
        *_compare(Subject.PROVENANCE, _provenance(a), _provenance(b)),
    )


_Facts = Mapping[tuple[str, str], str]


def _compare(subject: Subject, before: _Facts, after: _Facts) -> Iterator[Difference]:
    for item, node in dict.fromkeys((*before, *after)):
        was, became = before.get((item, node), ABSENT), after.get((item, node), ABSENT)
        if was != became:
            yield Difference(subject, item, node, was, became)


def _steps(record: Record) -> _Facts:
    """The final state of the record's steps on each node; rows of a plan count only in a planned record."""
    rows = [row for row in record.steps if record.plan or row.status is not Status.PLANNED]
    # 'ok' and 'changed' leave a node in the same state; the difference is only which run created it.
    return {(row.step, row.node): row.after if row.status.succeeded and row.after else row.status for row in rows}


def _addresses(record: Record) -> _Facts:
    nodes = record.provenance.nodes
    return {("address", node.node): node.address if node.answers else "does not answer" for node in nodes}


def _engines(record: Record) -> _Facts:
    nodes = [node for node in record.provenance.nodes if node.answers]
    versions = {("version", node.node): node.engine for node in nodes}
    return versions | {("ID", node.node): node.engine_id for node in nodes}


def _checks(record: Record) -> _Facts:
    return {
        (check.check, check.node): f"{check.verdict}: {check.found}" if check.found else str(check.verdict)
        for check in record.checks
    }


def _metrics(a: Record, b: Record) -> Iterator[Difference]:
    before, after = values_of(a), values_of(b)
    for name in dict.fromkeys((*before, *after)):
        was, became = before.get(name), after.get(name)
        if was == became:
            continue
        note = f"× {became.value / was.value:.2f}" if was and became and was.value and was.unit == became.unit else ""
        yield Difference(Subject.METRIC, name, "", _number(was), _number(became), note)


def _number(measured: Any) -> str:
    return ABSENT if measured is None else f"{measured.value:.4g} {measured.unit}"


def _parameters(record: Record) -> _Facts:
    return {(name, ""): value for name, value in flatten(record.parameters)}


def _provenance(record: Record) -> _Facts:
    source = record.provenance
    facts = {
        "notebook's SHA-256": source.notebook_sha256[:16],
        "overlay-runbook": source.project_version,
        "commit": source.project_commit,
        "Python": source.python,
        "operator": source.operator,
        "host": source.host,
        **{f"package {name}": version for name, version in source.packages.items()},
    }
    return {(name, ""): value for name, value in facts.items() if value}


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as dotted names with their values as text, such as ``overlay.name``."""
    children: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    else:
        yield name, str(value)
        return
    for key, child in children:
        yield from flatten(child, f"{name}.{key}" if name else str(key))
