"""Checks of what a notebook expects, and the exercises at its end.

In an exercise the learner predicts, the cell acts and reads, and a check gives the verdict. Exercises run only in
interactive use: in a batch run, an answer left in a cell could fail the run or change the cluster. The solution
notebooks are the exception: their exercises always run.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import display, publish_display_data

from runbook_lib.errors import CheckFailed, InputError
from runbook_lib.model.events import EVENT_MIME, CheckEvent, Event, payload
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.views.display import attended, check_line, checks_html


def publish(events: Iterable[Event], *, text: str, html: str | None = None) -> None:
    """Publish events in the running cell's output, with a line of text (and perhaps HTML) for the user."""
    bundle: dict[str, Any] = {EVENT_MIME: payload(events), "text/plain": text}
    if html is not None:
        bundle["text/html"] = html
    publish_display_data(bundle)  # type: ignore[no-untyped-call]


def compare(claim: str, *, found: object, expected: object, node: str = "") -> Check:
    """A check that passes when both are equal. A missing value (``None``, ``pandas.NA``) equals only ``None``."""
    found = None if found is pd.NA else found
    verdict = Verdict.PASS if found == expected else Verdict.FAIL
    return Check(claim, node, verdict, expected=_text(expected), found=_text(found))


def compare_column(claim: str, table: pd.DataFrame, column: str, expected: object) -> list[Check]:
    """One check per row: the column's value against one expected value, or one per node (a mapping).

    The table needs a ``node`` column. A node that the mapping does not have is skipped. An empty table yields one
    failed check: nothing was found.
    """
    if table.empty:
        wanted = "a row for every node" if isinstance(expected, Mapping) else _text(expected)
        return [Check(claim, "", Verdict.FAIL, expected=wanted, found="no rows at all")]
    checks = []
    for node, value in zip(table["node"], table[column], strict=True):
        if not isinstance(expected, Mapping):
            checks.append(compare(claim, found=value, expected=expected, node=str(node)))
        elif node in expected:
            checks.append(compare(claim, found=value, expected=expected[node], node=str(node)))
        else:
            checks.append(Check(claim, str(node), Verdict.SKIP, found=f"{_text(value)}; nothing to compare it with"))
    return checks


def report(claim: str, checks: Sequence[Check], *, excuse: str = "") -> list[Check]:
    """Publish checks and raise if one failed.

    Args:
        claim: what the checks show together.
        checks: one or more; no check is a failure, because nothing was proved.
        excuse: why something was skipped on purpose (plan mode), so that a failure means nothing. Failures then
            become skipped checks with this reason.

    Returns:
        The checks as they were published.

    Raises:
        CheckFailed: with each failed check, its node, what was expected and what was found.
    """
    known = list(checks) or [Check(claim, "", Verdict.FAIL, expected="something to check", found="nothing")]
    judged = [_excused(check, excuse) if excuse and check.verdict is Verdict.FAIL else check for check in known]
    failed = [check for check in judged if check.verdict is Verdict.FAIL]
    shown = failed or _condensed(claim, judged)
    publish(
        [CheckEvent.of(check) for check in judged],
        text="\n".join(map(check_line, shown)),
        html=checks_html(shown),
    )
    if failed:
        raise _error(claim, failed, len(judged))
    return judged


def _error(claim: str, failed: Sequence[Check], count: int) -> CheckFailed:
    remedy = "; ".join(dict.fromkeys(check.remedy for check in failed if check.remedy))
    first = failed[0]
    if len(failed) == 1:
        message = first.check if first.check == claim else f"{claim}: {first.check}"
        return CheckFailed(
            message, expected=first.expected or None, found=first.found or None, node=first.node, remedy=remedy
        )
    lines = "".join(f"\n  - {_failure(check, claim)}" for check in failed)
    nodes = ", ".join(dict.fromkeys(check.node for check in failed if check.node))
    return CheckFailed(f"{claim}: {len(failed)} of {count} checks failed{lines}", node=nodes, remedy=remedy)


def _failure(check: Check, claim: str) -> str:
    parts = [part for part in (check.node, "" if check.check == claim else check.check) if part]
    facts = f"expected {check.expected}, found {check.found}" if check.expected else check.found
    return ": ".join([*parts, facts])


def _condensed(claim: str, checks: Sequence[Check]) -> Sequence[Check]:
    """One line if all checks pass; else one line per kind of other result, with its nodes."""
    if len(checks) > 1 and all(check.verdict is Verdict.PASS for check in checks):
        return [Check(f"{claim} ({len(checks)} of {len(checks)})", "", Verdict.PASS)]
    odd = [check for check in checks if check.verdict is not Verdict.PASS]
    if not odd:
        return checks
    passed = len(checks) - len(odd)
    lines = [Check(f"{claim} ({passed} of {len(checks)})", "", Verdict.PASS)] if passed else []
    for name, verdict in dict.fromkeys((check.check, check.verdict) for check in odd):
        alike = [check for check in odd if (check.check, check.verdict) == (name, verdict)]
        nodes = ", ".join(dict.fromkeys(check.node for check in alike if check.node))
        lines.append(alike[0] if len(alike) == 1 else Check(name, nodes, verdict, found=alike[0].found))
    return lines


def _excused(check: Check, excuse: str) -> Check:
    return replace(check, verdict=Verdict.SKIP, found=f"{check.found}; {excuse}" if check.found else excuse)


def _text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, str | set | frozenset) and not value):
        return "nothing"
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(str, value)))
    return str(value)


_KINDS: dict[str, tuple[type, ...]] = {
    "yes or no (True or False)": (bool, np.bool_),
    "a number": (numbers.Real,),
    "text": (str,),
    "a set of values": (set, frozenset, list, tuple),
}


# The solution notebooks end with this.
_SOLUTIONS = "_solutions"
_NOT_TRIED = "the cell contains an answer; exercises run only in interactive use"


@dataclass(frozen=True)
class Exercise:
    """One exercise with the learner's prediction; ``None`` until it is answered.

    ``left_alone`` are checks that say why a prediction was not checked; empty if it was.
    """

    name: str
    prediction: object
    plan: bool = False
    left_alone: tuple[Check, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether there is a prediction to check: never in plan mode or in a batch run."""
        return self.prediction is not None and not self.plan and not self.left_alone

    def check(self, *, found: object, seen: object = None) -> None:
        """Compare the prediction with what was read.

        Args:
            found: the reading: text, a number, a boolean, or a set of these. The prediction of a set may be a list.
            seen: a table or picture to show beside the verdict.

        Raises:
            CheckFailed: with the prediction as expected, and the reading as found.
            InputError: the prediction has another type than the reading, and cannot be compared.
        """
        wanted, given = _kind(found), _kind(self.prediction)
        if wanted != given:
            raise InputError(
                f"{self.name}: the prediction {self.prediction!r} is {given}, the answer is {wanted}",
                place="prediction",
                remedy=f"type {wanted}, as the cell's first line says",
            )
        prediction = set(self.prediction) if isinstance(self.prediction, list | tuple) else self.prediction
        if seen is not None:
            display(seen)  # type: ignore[no-untyped-call]
        claim = f"{self.name}: the prediction holds"
        report(claim, [compare(claim, found=found, expected=prediction)])


def exercise(name: str, prediction: object, *, plan: bool = False, notebook: str = "") -> Exercise:
    """Return an exercise; print it if it is not answered yet, or not checked.

    Args:
        name: the notebook's number and the exercise's letter, such as ``05-a``.
        prediction: what the learner expects; ``None`` skips the exercise.
        plan: plan mode, in which nothing is done and nothing is checked.
        notebook: the notebook's name. Exercises of solution notebooks always run, others only in interactive use;
            a skipped check in the record reports one that did not run.
    """
    made = Exercise(f"exercise {name}", prediction, plan)
    if prediction is None:
        print(f"– {made.name}: not answered yet")
    elif plan:
        print(f"– {made.name}: not checked: plan mode changes nothing")
    elif not (attended() or notebook.endswith(_SOLUTIONS)):
        claim = f"{made.name} is skipped"
        told = report(claim, [Check(claim, "", Verdict.SKIP, found=_NOT_TRIED)])
        return replace(made, left_alone=tuple(told))
    return made


def _kind(value: object) -> str:
    # bool comes first: it is a number too
    return next((kind for kind, types in _KINDS.items() if isinstance(value, types)), f"a {type(value).__name__}")
