"""Turns what a notebook expects into checks, and a check that fails into an error with all its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from runbook_lib.errors import CheckFailed
from runbook_lib.model.events import CheckEvent
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.display import check_line, checks_html
from runbook_lib.session.events import publish


def compare(claim: str, *, found: object, expected: object, node: str = "") -> Check:
    """A check that passes when both are equal."""
    verdict = Verdict.PASS if found == expected else Verdict.FAIL
    return Check(claim, node, verdict, expected=_text(expected), found=_text(found))


def compare_column(claim: str, table: pd.DataFrame, column: str, expected: object) -> list[Check]:
    """A check a row: the column's value against one expected value, or against one a node (a mapping).

    The table needs a ``node`` column. An empty table yields one failed check: nothing was found.
    """
    if table.empty:
        return [Check(claim, "", Verdict.FAIL, expected=_text(expected), found="no rows at all")]
    checks = []
    for node, value in zip(table["node"], table[column], strict=True):
        wanted = expected.get(node) if isinstance(expected, Mapping) else expected
        checks.append(compare(claim, found=value, expected=wanted, node=str(node)))
    return checks


def report(claim: str, checks: Sequence[Check], *, plan: bool) -> list[Check]:
    """Publish checks and raise if one failed.

    In plan mode a failed expectation is reported as skipped: nothing was changed that could make it true.

    Raises:
        CheckFailed: naming each failed check with its node, what was expected and what was found.
    """
    judged = [_skipped(check) if plan and check.verdict is Verdict.FAIL else check for check in checks]
    failed = [check for check in judged if check.verdict is Verdict.FAIL]
    shown = failed or _condensed(claim, judged)
    publish(
        [CheckEvent.of(check) for check in judged],
        text="\n".join(map(check_line, shown)),
        html=checks_html(shown),
    )
    if failed:
        first = failed[0]
        others = "".join(f"\n  also: {check_line(check)}" for check in failed[1:])
        raise CheckFailed(
            first.check + others,
            expected=first.expected or None,
            found=first.found or None,
            node=first.node,
            remedy=next((check.remedy for check in failed if check.remedy), ""),
        )
    return judged


def _condensed(claim: str, checks: Sequence[Check]) -> Sequence[Check]:
    """One line where all pass; else a line for each way in which checks did not simply pass, naming the nodes."""
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
        lines.append(Check(name, nodes, verdict, found=alike[0].found))
    return lines


def _skipped(check: Check) -> Check:
    return Check(
        check.check, check.node, Verdict.SKIP, check.expected, f"{check.found}; plan mode changed nothing", check.remedy
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(str, value)))
    return str(value)
