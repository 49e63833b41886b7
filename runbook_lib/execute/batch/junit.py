"""A batch as JUnit XML for build servers: one suite per cluster, one case per notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from runbook_lib.errors import ExitCode, InputError, RunbookError
from runbook_lib.execute.batch.jobs import JobResult
from runbook_lib.execute.outcome import NOT_RUN, NotebookResult
from runbook_lib.records.export import xml_text


def check_destination(path: Path) -> None:
    """Check before a batch starts that its report can be written. Raises ``InputError``."""
    folder = path.parent
    problem = "it is a folder" if path.is_dir() else "" if folder.is_dir() else f"there is no folder {folder}"
    if problem:
        raise InputError(
            f"the report cannot be written there: {problem}", place=f"--junit {path}", remedy="name a file"
        )


def write_junit(results: Sequence[JobResult], path: Path) -> None:
    """Write the report: a failed check is a failure, any other problem an error.

    A cluster that failed before its first notebook has a case ``cluster`` with the error.

    Raises:
        RunbookError: the file cannot be written.
    """
    report = JUnitXml("overlay-runbook batch")
    for result in results:
        report.add_testsuite(_suite(result))
    report.update_statistics()  # type: ignore[no-untyped-call]
    try:
        report.write(str(path), pretty=True)
    except OSError as error:
        raise RunbookError(f"the report cannot be written ({error.strerror})", place=f"--junit {path}") from error


def _suite(result: JobResult) -> TestSuite:
    suite = TestSuite(xml_text(result.job.cluster))
    suite.add_property("parameters", xml_text(str(result.job.file)))
    suite.add_property("run", result.run)
    suite.add_property("verdict", result.verdict_text)
    if result.failure is not None:
        case = TestCase("cluster", xml_text(result.job.cluster), round(result.seconds, 3))
        case.result = [_problem(result.exit_code, result.failure.name, result.failure.message, str(result.failure))]
        suite.add_testcase(case)
    for notebook in result.notebooks:
        suite.add_testcase(_case(result.job.cluster, notebook))
    suite.time = round(result.seconds, 3)
    return suite


def _case(cluster: str, notebook: NotebookResult) -> TestCase:
    case = TestCase(notebook.notebook, xml_text(cluster), round(notebook.seconds, 3))
    if notebook.verdict == NOT_RUN:
        case.result = [Skipped(NOT_RUN)]
    elif notebook.failure is not None:
        failure = notebook.failure
        where = f"cell {failure.cell}: " if failure.cell else ""
        case.result = [_problem(notebook.exit_code, failure.name, f"{where}{failure.message}", str(failure))]
    elif notebook.exit_code is not ExitCode.PASS:
        case.result = [_problem(notebook.exit_code, notebook.verdict, notebook.verdict, "")]
    told = [notebook.verdict_text] if notebook.warnings else []
    told += [f"record: {notebook.record}"] if notebook.record is not None else []
    if told:
        case.system_out = xml_text("\n".join(told))
    return case


def _problem(code: ExitCode, kind: str, message: str, text: str) -> Failure | Error:
    problem = (Failure if code is ExitCode.CHECK_FAILED else Error)(xml_text(message), kind)
    problem.text = xml_text(text)
    return problem
