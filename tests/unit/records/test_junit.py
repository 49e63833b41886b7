from __future__ import annotations

from typing import Any

import pytest
from junitparser import JUnitXml

from runbook_lib.model.record import Record, RecordVerdict
from runbook_lib.records.export import junit
from tests.unit.records.samples import check, sample, step


def record(**changes: Any) -> Record:
    return Record.model_validate(sample(**changes))


def read(text: str) -> JUnitXml:
    return JUnitXml.fromstring(text.encode())


def test_steps_and_checks_are_cases_with_their_outcomes_and_seconds() -> None:
    steps = [
        step("fix addresses", "node1", "changed", seconds=1.5),
        step("fix addresses", "node2", "failed", detail="no such interface"),
        step("reboot", "node1", "skipped", detail="not asked for"),
    ]
    checks = [
        check("pairs answer", expected="4", found="4"),
        check("no loss", "fail", "0 %", "50 %", "node3"),
        check("nothing to see", "skip"),
    ]
    text = junit([record(steps=steps, checks=checks, verdict="failed", failure={"name": "StepFailed", "message": "x"})])
    document = read(text)
    assert (document.tests, document.failures, document.errors, document.skipped) == (7, 3, 0, 2)
    (suite,) = document
    cases = {case.name: case for case in suite}
    assert cases["step: fix addresses on node1"].time == 1.5
    assert cases["step: fix addresses on node2"].result[0].message == "no such interface"
    assert cases["check: no loss on node3"].result[0].message == "expected 0 %, found 50 %"
    assert cases["notebook"].result[0].type == "StepFailed"
    assert {p.name: p.value for p in suite.properties()}["record.cluster"] == "lab"


@pytest.mark.parametrize("verdict", list(RecordVerdict))
def test_only_what_passed_is_green_even_when_no_check_was_reached(verdict: RecordVerdict) -> None:
    document = read(junit([record(verdict=verdict, checks=[], steps=[])]))
    bad = document.failures + document.errors
    assert bad == (0 if verdict in {RecordVerdict.PASS, RecordVerdict.PLANNED} else 1)


def test_warnings_are_told_of_the_notebook_and_of_each_check() -> None:
    checks = [check("no loss", "warn", "0 %", "2 %", "node3"), check("pairs answer")]
    (suite,) = read(junit([record(checks=checks)]))
    cases = {case.name: case for case in suite}
    assert cases["notebook"].system_out == "pass, 1 warning"
    assert cases["check: no loss on node3"].system_out == "warning: expected 0 %, found 2 %"
    assert {p.name: p.value for p in suite.properties()}["record.warnings"] == "1"


def test_many_records_are_one_document() -> None:
    document = read(junit([record(), record(cluster="attic")]))
    assert [suite.name for suite in document] == ["lab/05_ping_tests", "attic/05_ping_tests"]
    assert document.tests == 4


def test_control_characters_and_markup_do_not_break_the_document() -> None:
    failure = {"name": "CommandError", "message": "\x1b[31mred\x00 <b>&", "cell": "In [5]", "trace": "]]>\x08"}
    (suite,) = read(junit([record(verdict="error", failure=failure)]))
    (case,) = [case for case in suite if case.name == "notebook"]
    assert "red� <b>&" in case.result[0].message
    assert "In [5]" in case.result[0].text
