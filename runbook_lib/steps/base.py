"""The base class of all steps, and the function that runs them.

A step reads all nodes, compares the readings with the wanted state, and lists the changes. Outside plan mode it then
changes the nodes and reads them again: the new readings decide the result rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic, sleep
from typing import Any, Generic, Protocol, TypeVar

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import RunbookError, StepFailed, UnreachableError
from runbook_lib.facts.docker.networks import STORE_RECHECK_SECONDS
from runbook_lib.model.results import Status, StepResult
from runbook_lib.steps.turns import Turns
from runbook_lib.waiting import Deadline

OWNER_LABEL = "org.overlay-runbook.owner"
"""Label of every container and network that a step makes; its value is the cluster's name in the parameters."""
NOTEBOOK_LABEL = "org.overlay-runbook.notebook"
"""Label that says which notebook made it, such as ``04_run_containers``."""
EXTERNAL_LABEL = "org.overlay-runbook.external"
"""Label of all that gives a container an external address; its value is the mode: ``published``, ``macvlan``, …"""

OVERLAY_NOTEBOOK = "03_create_overlay"
CONTAINERS_NOTEBOOK = "04_run_containers"
EXTERNAL_NOTEBOOK = "08_fixed_external_address"

_SETTLE_PAUSE = 0.2

R = TypeVar("R")
W = TypeVar("W")
Say = Callable[[str], None]
"""Reports a node's progress; as thread-safe as the reporter."""


class Verb(Enum):
    """The kinds of finding."""

    SATISFIED = auto()
    PENDING = auto()
    REFUSED = auto()
    BLOCKED = auto()
    SKIPPED = auto()


@dataclass(frozen=True)
class Finding(Generic[W]):
    """A step's assessment of one node: what it found, what it wants, and the work in between.

    Built by :func:`satisfied`, :func:`pending`, :func:`refused`, :func:`blocked` and :func:`skipped`.
    """

    verb: Verb
    before: str
    after: str
    detail: str = ""
    work: W | None = None


def satisfied(found: str, detail: str = "") -> Finding[W]:
    """The node is in the wanted state."""
    return Finding(Verb.SATISFIED, found, found, detail)


def pending(before: str, after: str, work: W | None = None, detail: str = "") -> Finding[W]:
    """The node will be changed; without ``work``, by another node's work."""
    return Finding(Verb.PENDING, before, after, detail, work)


def refused(found: str, why: str, *, remedy: str = "") -> Finding[W]:
    """The node differs, and the step must not or cannot change it."""
    return Finding(Verb.REFUSED, found, found, f"{why}; remedy: {remedy}" if remedy else why)


def blocked(before: str, after: str, why: str, *, remedy: str) -> Finding[W]:
    """The node differs, and a precondition of the change is missing: an earlier step creates it.

    When applied, it fails like a refusal. A plan shows the change and the precondition.
    """
    return Finding(Verb.BLOCKED, before, after, f"{why}; remedy: {remedy}")


def skipped(detail: str, found: str = "") -> Finding[W]:
    """The step does not concern the node."""
    return Finding(Verb.SKIPPED, found, found, detail)


class Reporter(Protocol):
    """Receives each node's progress: ``checking``, ``applying``, a step's own text, ``verifying``, then the status.

    Called from one thread per node.
    """

    def __call__(self, step: str, node: str, state: str) -> None:
        """Receive one event."""


@dataclass(frozen=True)
class Difference:
    """One setting of an existing object that differs."""

    setting: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.setting}: expected {self.expected or 'none'}, found {self.found or 'none'}"


def unequal(rows: Iterable[tuple[str, str, str]]) -> list[Difference]:
    """The settings that are not as wanted, of rows with a setting, what is expected and what was found."""
    return [Difference(*row) for row in rows if row[1] != row[2]]


def owner_labels(owner: str, notebook: str) -> dict[str, str]:
    """The labels of a container or network created by that notebook for the cluster ``owner``."""
    return {OWNER_LABEL: owner, NOTEBOOK_LABEL: notebook}


def made_by(labels: Mapping[str, str], otherwise: str) -> str:
    """Which notebook created an object with these labels.

    Earlier versions wrote no such label; ``otherwise`` is the notebook that created such objects (without an external
    address) then.
    """
    return labels.get(NOTEBOOK_LABEL) or (EXTERNAL_NOTEBOOK if EXTERNAL_LABEL in labels else otherwise)


def silent(step: str, node: str, state: str) -> None:
    """The reporter that shows nothing."""


class Step(ABC, Generic[R, W]):
    """One change to a cluster. ``R`` is what is read from a node, ``W`` the work that a node needs."""

    name: str
    settle_seconds: float = 0.0
    """How long a new reading may take to show the change; after that the row is ``failed``."""
    recheck_seconds: float = STORE_RECHECK_SECONDS
    """How long a reading that other nodes contradict is repeated before it counts."""

    def nodes(self, cluster: Cluster) -> tuple[Node, ...]:
        """The nodes that the step acts on, one row each."""
        return cluster.nodes

    @abstractmethod
    def read(self, node: Node) -> R:
        """Gather facts from one node; changes nothing. Raises ``RunbookError``."""

    @abstractmethod
    def assess(self, readings: Mapping[str, R], missing: frozenset[str]) -> Mapping[str, Finding[W]]:
        """Assess all readings together, one finding each. Pure.

        ``missing`` names the nodes whose reading failed: nothing can be concluded about *all* nodes then.
        """

    @abstractmethod
    def apply(self, cluster: Cluster, node: Node, work: W, say: Say) -> None:
        """Do one node's work. Runs on all nodes at once. Raises ``RunbookError``."""

    def contradicted(self, readings: Mapping[str, R]) -> Collection[str]:
        """The nodes whose reading others contradict: they are read again, with a deadline, first. Pure."""
        return ()

    def begin(self, work: Mapping[str, W]) -> Turns:
        """The order in which the nodes act, if it matters; called with all work before the first node begins."""
        return Turns()

    def changed_since_boot(self, node: Node) -> str:
        """What takes effect at a node's boot and has changed since the last boot, in words; else empty.

        Only reads. Raises ``RunbookError``.
        """
        return ""

    def confirm(
        self, before: Mapping[str, R], fresh: Mapping[str, R], missing: frozenset[str]
    ) -> Mapping[str, Finding[W]]:
        """Assess the new readings, compared with those from before where a step needs them."""
        return self.assess(fresh, missing)


def run_step(
    cluster: Cluster, step: Step[R, W], *, plan: bool = False, reporter: Reporter = silent
) -> tuple[StepResult, ...]:
    """Run one step on all of its nodes; returns one row per node, in the nodes' order.

    Failures become rows (``unreachable`` when the node does not answer, else ``failed`` with the message and
    its remedy in ``detail``); only defects are raised. With ``plan`` nothing is changed: a change is ``planned``, from
    ``before`` to ``after``.
    """
    run = _Run(cluster, step, reporter)
    run.check()
    if not plan:
        run.apply()
        run.verify()
    return run.rows(plan=plan)


def run_steps(
    cluster: Cluster, steps: Iterable[Step[Any, Any]], *, plan: bool = False, reporter: Reporter = silent
) -> tuple[StepResult, ...]:
    """Run steps one after the other; stop after the first that does not succeed on every node.

    Plan mode continues to the end.
    """
    rows: list[StepResult] = []
    for step in steps:
        results = run_step(cluster, step, plan=plan, reporter=reporter)
        rows += results
        if not plan and not all(row.status.succeeded for row in results):
            break
    return tuple(rows)


def require_success(results: Iterable[StepResult]) -> None:
    """Make sure that no row failed.

    Raises:
        StepFailed: with one line for each row that is ``failed`` or ``unreachable``.
    """
    rows = tuple(results)
    failed = [row for row in rows if not row.status.succeeded]
    if failed:
        names = dict.fromkeys(row.step for row in failed)
        raise StepFailed(", ".join(names), [f"{row.node}: {row.status}: {row.detail}" for row in failed])


class _Run(Generic[R, W]):
    """One run of one step: the readings, findings and errors on the way to its rows."""

    def __init__(self, cluster: Cluster, step: Step[R, W], reporter: Reporter) -> None:
        self._cluster = cluster
        self._step = step
        self._reporter = reporter
        self._nodes = step.nodes(cluster)
        self._before: dict[str, R] = {}
        self._findings: Mapping[str, Finding[W]] = {}
        self._fresh: Mapping[str, Finding[W]] | None = None
        self._errors: dict[str, RunbookError] = {}
        self._seconds = dict.fromkeys((node.name for node in self._nodes), 0.0)

    def check(self) -> None:
        """Read every node and assess the readings."""
        self._before = self._read(self._nodes, "checking")
        deadline = Deadline(self._step.recheck_seconds)
        while (contradicted := self._step.contradicted(self._before)) and not deadline.passed:
            sleep(_SETTLE_PAUSE)
            self._before |= self._read([node for node in self._nodes if node.name in contradicted], "checking again")
            self._before = {node: row for node, row in self._before.items() if node not in self._errors}
        self._findings = self._step.assess(self._before, self._missing(self._before))

    def apply(self) -> None:
        """Do the pending work, all nodes at once."""
        work = {node: finding.work for node, finding in self._findings.items() if finding.verb is Verb.PENDING}
        turns = self._step.begin({node: mine for node, mine in work.items() if mine is not None})

        def one(node: Node) -> None:
            mine = work[node.name]
            if mine is None:
                return
            try:
                self._say(node.name, "applying")
                self._step.apply(self._cluster, node, mine, lambda state: self._say(node.name, state))
                self._say(node.name, "applied")
            finally:
                turns.leave(node.name)

        try:
            self._note(self._cluster.each(one, nodes=[node for node in self._nodes if node.name in work]))
        except BaseException:
            turns.abandon()
            raise

    def verify(self) -> None:
        """Read the nodes again until they are as wanted or ``settle_seconds`` have passed."""
        if not any(finding.verb is Verb.PENDING for finding in self._findings.values()):
            return
        answering = [node for node in self._nodes if node.name in self._before]
        begun = monotonic()
        while True:
            readings = self._read(answering, "verifying")
            self._fresh = self._step.confirm(self._before, readings, self._missing(readings))
            contradicted = self._step.contradicted(readings)
            patience = max(self._step.settle_seconds, self._step.recheck_seconds if contradicted else 0.0)
            if (self._all_settled(self._fresh) and not contradicted) or monotonic() >= begun + patience:
                return
            sleep(_SETTLE_PAUSE)

    def rows(self, *, plan: bool) -> tuple[StepResult, ...]:
        """One row per node."""
        rows = tuple(self._row(node.name, plan) for node in self._nodes)
        for row in rows:
            self._say(row.node, row.status.value)
        return rows

    def _row(self, node: str, plan: bool) -> StepResult:
        finding = self._findings.get(node)
        fresh = self._fresh.get(node) if self._fresh is not None else None
        before = finding.before if finding is not None else ""
        error = self._errors.get(node)
        if error is not None:
            status = Status.UNREACHABLE if isinstance(error, UnreachableError) else Status.FAILED
            after, detail = fresh.before if fresh is not None else "", in_one_line(error)
        elif finding is not None:
            status, after, detail = _planned(finding) if plan else _outcome(finding, fresh)
        else:
            status, after, detail = Status.FAILED, "", "the step did not assess this node"
        return StepResult(self._step.name, node, status, before, after, round(self._seconds[node], 3), detail)

    def _all_settled(self, fresh: Mapping[str, Finding[W]]) -> bool:
        return not any(finding.verb is Verb.PENDING for node, finding in fresh.items() if node not in self._errors)

    def _read(self, nodes: Iterable[Node], state: str) -> dict[str, R]:
        def one(node: Node) -> R:
            self._say(node.name, state)
            return self._step.read(node)

        outcomes = self._cluster.each(one, nodes=nodes)
        self._note(outcomes)
        return {outcome.node: outcome.result for outcome in outcomes if outcome.error is None}

    def _missing(self, readings: Mapping[str, R]) -> frozenset[str]:
        return frozenset(node.name for node in self._nodes if node.name not in readings)

    def _note(self, outcomes: Iterable[Outcome[Any]]) -> None:
        for outcome in outcomes:
            self._seconds[outcome.node] += outcome.seconds
            if outcome.error is not None:
                # The first error is the cause; later errors of a dead node are its consequences.
                self._errors.setdefault(outcome.node, outcome.error)

    def _say(self, node: str, state: str) -> None:
        self._reporter(self._step.name, node, state)


_SETTLED = {
    Verb.SATISFIED: Status.OK,
    Verb.REFUSED: Status.FAILED,
    Verb.BLOCKED: Status.FAILED,
    Verb.SKIPPED: Status.SKIPPED,
}


def _planned(finding: Finding[W]) -> tuple[Status, str, str]:
    status = Status.PLANNED if finding.verb in (Verb.PENDING, Verb.BLOCKED) else _SETTLED[finding.verb]
    return status, finding.after, finding.detail


def _outcome(finding: Finding[W], fresh: Finding[W] | None) -> tuple[Status, str, str]:
    """Status, ``after`` and detail of a node whose work, if any, ended without an error."""
    if fresh is None:
        if finding.verb is Verb.PENDING:
            return Status.FAILED, "", "no new reading confirms the change"
        return _SETTLED[finding.verb], finding.before, finding.detail
    if fresh.verb is Verb.PENDING:
        # another node's work was to change it: the detail says why it has not yet
        why = f"; {fresh.detail}" if fresh.work is None and fresh.detail else ""
        return Status.FAILED, fresh.before, f"a new reading still shows: {fresh.before or 'nothing'}{why}"
    if finding.verb is Verb.PENDING and fresh.verb is Verb.SATISFIED:
        detail = "; ".join(dict.fromkeys(part for part in (finding.detail, fresh.detail) if part))
        return Status.CHANGED, fresh.before, detail
    return _SETTLED[fresh.verb], fresh.before, fresh.detail


def in_one_line(error: RunbookError) -> str:
    """An error's message and remedy without line breaks, for a table's cell."""
    message = " ".join(error.message.split())
    return f"{message}; remedy: {error.remedy}" if error.remedy else message
