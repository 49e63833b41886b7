from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from runbook_lib.errors import CheckFailed, ExitCode
from runbook_lib.model.events import CheckEvent
from runbook_lib.model.results import Check, Verdict
from runbook_lib.session.expectations import compare, compare_column, report
from runbook_lib.tables.frame import FLAG, TEXT, WHOLE, frame

CLAIM = "the address is the fixed one"
PASS = Check(CLAIM, "node1", Verdict.PASS, "static", "static")
WARN = Check("DHCP pool", "node1", Verdict.WARN, "outside", "192.168.99.104")
FAIL = Check(CLAIM, "node2", Verdict.FAIL, "static", "dhcp", "run notebook 01")


def flags(**nodes: bool | None) -> pd.DataFrame:
    return frame(list(nodes.items()), {"node": TEXT, "as expected": FLAG})


def test_equal_values_pass_and_others_fail_with_both_in_words() -> None:
    assert compare("x", found=3, expected=3).verdict is Verdict.PASS
    check = compare("every node knows it", found={"node2", "node1"}, expected={"node1"}, node="node4")
    assert check == Check("every node knows it", "node4", Verdict.FAIL, "node1", "node1, node2")


@pytest.mark.parametrize(
    ("value", "words"), [(True, "yes"), (False, "no"), ("", "nothing"), (set(), "nothing"), (None, "nothing"), (0, "0")]
)
def test_values_read_as_a_person_would_say_them(value: object, words: str) -> None:
    assert compare("x", found=value, expected="something").found == words


def test_a_column_is_compared_row_by_row_and_names_the_node() -> None:
    checks = compare_column(CLAIM, flags(node1=True, node2=False), "as expected", True)
    assert [(check.node, check.verdict, check.found) for check in checks] == [
        ("node1", Verdict.PASS, "yes"),
        ("node2", Verdict.FAIL, "no"),
    ]


def test_a_missing_value_in_a_column_fails_and_is_called_nothing() -> None:
    (check,) = compare_column(CLAIM, flags(node1=None), "as expected", True)
    assert (check.verdict, check.found) == (Verdict.FAIL, "nothing")


def test_each_node_may_have_its_own_expectation_and_one_without_any_is_skipped() -> None:
    table = flags(node1=True, node2=False, node3=True)
    checks = compare_column("moved", table, "as expected", {"node1": True, "node2": True})
    assert [check.verdict for check in checks] == [Verdict.PASS, Verdict.FAIL, Verdict.SKIP]
    assert checks[2].found == "yes; nothing to compare it with"


def test_an_empty_table_is_a_failure_and_not_a_success_without_rows() -> None:
    (check,) = compare_column("scope", frame([], {"node": TEXT, "scope": TEXT}), "scope", "global")
    assert (check.verdict, check.expected, check.found) == (Verdict.FAIL, "global", "no rows at all")


def test_whole_numbers_of_a_table_equal_plain_ones() -> None:
    (check,) = compare_column("x", frame([("node1", 3)], {"node": TEXT, "count": WHOLE}), "count", 3)
    assert (check.verdict, check.found) == (Verdict.PASS, "3")


def test_checks_are_published_each_and_shown_as_one_line_where_all_agree(displayed) -> None:
    report(CLAIM, [PASS, PASS])
    assert [event for event in displayed.events if isinstance(event, CheckEvent)] == [CheckEvent.of(PASS)] * 2
    assert displayed.texts == ["✓ pass: the address is the fixed one (2 of 2)"]


def test_a_warning_is_shown_beside_what_passed_and_raises_nothing(displayed) -> None:
    judged = report("every target can be used", [PASS, WARN])
    assert judged == [PASS, WARN]
    assert displayed.texts == [
        "✓ pass: every target can be used (1 of 2)\n"
        "! warn: DHCP pool on node1 (expected outside, found 192.168.99.104)",
    ]


def test_what_several_nodes_have_in_common_is_one_line(displayed) -> None:
    report("every target can be used", [WARN, replace(WARN, node="node2")])
    assert displayed.texts == ["! warn: DHCP pool on node1, node2 (192.168.99.104)"]


def test_one_failure_raises_with_expected_found_node_and_remedy(displayed) -> None:
    with pytest.raises(CheckFailed) as caught:
        report(CLAIM, [PASS, FAIL])
    assert (caught.value.expected, caught.value.found, caught.value.node) == ("static", "dhcp", "node2")
    assert caught.value.exit_code is ExitCode.CHECK_FAILED
    assert str(caught.value).splitlines() == [
        "node2: the address is the fixed one",
        "  expected: static",
        "  found:    dhcp",
        "  remedy: run notebook 01",
    ]
    assert "✗ fail" in displayed.texts[0]


def test_every_failure_is_listed_with_its_own_facts(displayed) -> None:
    other = Check("only address", "node3", Verdict.FAIL, "no other", "192.168.99.9")
    with pytest.raises(CheckFailed) as caught:
        report(CLAIM, [PASS, FAIL, other])
    assert str(caught.value).splitlines() == [
        "node2, node3: the address is the fixed one: 2 of 3 checks failed",
        "  - node2: expected static, found dhcp",
        "  - node3: only address: expected no other, found 192.168.99.9",
        "  remedy: run notebook 01",
    ]
    assert len(displayed.events) == 3


def test_no_check_at_all_proves_nothing_and_fails(displayed) -> None:
    with pytest.raises(CheckFailed, match="found:    nothing"):
        report(CLAIM, [])


def test_an_excuse_turns_a_failure_into_a_skipped_check_that_says_why(displayed) -> None:
    passed, skipped = report(CLAIM, [PASS, FAIL], excuse="plan mode changed nothing")
    assert passed.verdict is Verdict.PASS
    assert (skipped.verdict, skipped.found) == (Verdict.SKIP, "dhcp; plan mode changed nothing")
    assert [event.verdict for event in displayed.events] == [Verdict.PASS, Verdict.SKIP]
