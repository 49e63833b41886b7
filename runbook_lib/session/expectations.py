"""Turns what a notebook expects into checks, and a check that fails into an error with all its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from runbook_lib.errors import CheckFailed
from runbook_lib.model.events import CheckEvent
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.display import check_line, checks_html
from runbook_lib.session.events import publish


def compare(claim: str, *, found: object, expected: object, node: str = "") -> Check:
    """A check that passes when both are equal. A missing value (``None``, ``pandas.NA``) equals only ``None``."""
    found = None if found is pd.NA else found
    verdict = Verdict.PASS if found == expected else Verdict.FAIL
    return Check(claim, node, verdict, expected=_text(expected), found=_text(found))


def compare_column(claim: str, table: pd.DataFrame, column: str, expected: object) -> list[Check]:
    """A check a row: the column's value against one expected value, or against one a node (a mapping).

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
        claim: what they show together.
        checks: one or more; none at all is a failure, for nothing was proved.
        excuse: why a failure may only mean that something was left undone on purpose (plan mode). Failures then become
            skipped checks that say so.

    Returns:
        The checks as they were published.

    Raises:
        CheckFailed: naming each failed check with its node, what was expected and what was found.
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
