"""A batch as JUnit XML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runbook_lib.errors import InputError, RunbookError
from runbook_lib.execute.batch.junit import check_destination, write_junit
from tests.unit.execute.batch.samples import bad_input, check_failed, passed


def test_a_suite_a_cluster_and_a_case_a_notebook_with_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    write_junit([passed(0), check_failed(1), bad_input(2)], path)
    root = ElementTree.parse(path).getroot()
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "1",
        "errors": "1",
        "skipped": "3",
    }
    good, bad, refused = root.findall("testsuite")
    assert [suite.get("name") for suite in (good, bad, refused)] == ["cluster0", "cluster1", "cluster2"]
    assert [case.get("name") for case in good.findall("testcase")] == ["01_first", "02_second"]
    failure = bad.find("testcase/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("cell In [5]: no leader")
    assert "expected: 1" in (failure.text or "")
    error = refused.find("testcase/error")
    assert error is not None
    assert "there is no such file" in error.get("message", "")


def test_warnings_are_told_of_each_notebook_and_of_its_cluster(tmp_path: Path) -> None:
    good = passed(0)
    warned = replace(good, notebooks=(replace(good.notebooks[0], warnings=3), *good.notebooks[1:]))
    write_junit([warned], tmp_path / "report.xml")
    (suite,) = ElementTree.parse(tmp_path / "report.xml").getroot().findall("testsuite")
    verdict = suite.find("properties/property[@name='verdict']")
    assert verdict is not None
    assert verdict.get("value") == "pass, 3 warnings"
    assert [(case.findtext("system-out") or "").splitlines()[:1] for case in suite.findall("testcase")] == [
        ["pass, 3 warnings"],
        [f"record: {good.notebooks[1].record}"] if good.notebooks[1].record else [],
    ]


def test_characters_that_xml_cannot_hold_do_not_spoil_the_report(tmp_path: Path) -> None:
    result = bad_input(0)
    assert result.failure is not None
    strange = replace(result, failure=replace(result.failure, message="\x1b[31mred\x00 \ud800 <&> \U0001f600"))
    write_junit([strange], tmp_path / "report.xml")
    error = ElementTree.parse(tmp_path / "report.xml").getroot().find("testsuite/testcase/error")
    assert error is not None
    assert error.get("message") == "�[31mred� � <&> \U0001f600"


def test_a_place_where_no_report_can_be_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"):
        check_destination(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        check_destination(tmp_path / "absent" / "report.xml")
    check_destination(tmp_path / "report.xml")


def test_a_report_that_cannot_be_written_after_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="the report cannot be written"):
        write_junit([passed(0)], tmp_path)
