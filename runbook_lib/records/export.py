"""Exports a record to one file: as HTML page, as ZIP, or as JUnit XML for build servers."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from runbook_lib.errors import InputError, RecordError
from runbook_lib.files import write_whole
from runbook_lib.model.record import CellState, Record, RecordVerdict
from runbook_lib.model.results import Status, Verdict
from runbook_lib.records.store.archive import HTML_FILE, NOTEBOOK_FILE, Archive
from runbook_lib.records.store.disk import files_in
from runbook_lib.records.store.reading import read_record

# A fixed file time, so that the same record gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def export(archive: Archive, folder: Path, form: str, output: Path | None = None) -> Path:
    """Write a record as ``html``, ``junit`` or ``zip``, and return the file: ``output``, else one in this folder.

    ``html`` is the record's own page, rendered now if it has none. ``junit`` has a case for every step and check.
    ``zip`` has all files of the record unchanged, and the public keys of its archive.

    Raises:
        InputError: an unknown format, or the file cannot be written.
        RecordError: the record, or the requested part of it, cannot be read.
    """
    if form not in FORMS:
        raise InputError(f"a record cannot be exported to {form!r}", place="--to", remedy=f"one of: {', '.join(FORMS)}")
    suffix, make = FORMS[form]
    target = output or Path(f"{folder.name}.{suffix}")
    data = make(archive, folder)
    try:
        write_whole(target, data)
    except OSError as error:
        raise InputError(
            f"it cannot be written ({error.strerror})", place=str(target), remedy="name another file: --output FILE"
        ) from error
    return target


def _html(_archive: Archive, folder: Path) -> bytes:
    page = folder / HTML_FILE
    if page.is_file():
        return _bytes(page)
    from runbook_lib.records.html import render

    return render(_bytes(folder / NOTEBOOK_FILE).decode("utf-8"), read_record(folder)).encode()


def _junit(_archive: Archive, folder: Path) -> bytes:
    return junit([read_record(folder)]).encode()


def _zip(archive: Archive, folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(files_in(folder)):
            _add(bundle, f"{folder.name}/{name}", _bytes(folder / name))
        for key in sorted(archive.keys_folder.glob("*.pem")):
            _add(bundle, f"{archive.keys_folder.name}/{key.name}", _bytes(key))
    return buffer.getvalue()


def _add(bundle: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    bundle.writestr(entry, data)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"it cannot be read ({error.strerror})", place=str(path), remedy="see: ./runbook records verify"
        ) from error


#: The export formats: the file's suffix, and the function that makes its content.
FORMS: dict[str, tuple[str, Callable[[Archive, Path], bytes]]] = {
    "html": ("html", _html),
    "junit": ("xml", _junit),
    "zip": ("zip", _zip),
}


# Characters that XML 1.0 cannot contain, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHECKS_FAILED = {RecordVerdict.FAILED}
_GOOD = {RecordVerdict.PASS, RecordVerdict.PLANNED}


def junit(records: Iterable[Record]) -> str:
    """One suite per record, with a case for every step on a node, every check, and the notebook as a whole.

    The notebook's own case has the record's verdict, so that a record that did not pass is never green, even if it
    ended before its first check.
    """
    document = JUnitXml("overlay-runbook")
    for record in records:
        document.add_testsuite(_suite(record))
    document.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(document.tostring()).decode("utf-8")  # type: ignore[no-untyped-call]


def _suite(record: Record) -> TestSuite:
    suite = TestSuite(f"{record.cluster}/{record.notebook}")
    suite.timestamp = record.started.rstrip("Z")
    suite.hostname = record.provenance.host
    for name in ("id", "run", "cluster", "notebook", "verdict", "warnings"):
        suite.add_property(f"record.{name}", str(getattr(record, name)))
    suite.add_testcases([_notebook(record), *_steps(record), *_checks(record)])
    return suite


def _notebook(record: Record) -> TestCase:
    case = TestCase("notebook", classname=_class(record), time=record.seconds or 0.0)
    if record.verdict not in _GOOD:
        failure = record.failure
        message = f"{record.verdict}: {failure.message}" if failure else str(record.verdict)
        kind = Failure if record.verdict in _CHECKS_FAILED else Error
        result = kind(xml_text(message), failure.name if failure else str(record.verdict))
        result.text = xml_text(f"{failure.cell}\n{failure.trace}".strip()) if failure else ""
        case.result = [result]
    told = [record.verdict_text] if record.warnings else []
    never = sum(cell.state is CellState.NEVER_RUN for cell in record.cells)
    told += [f"{never} of {len(record.cells)} cells never ran"] if never else []
    if told:
        case.system_out = "\n".join(told)
    return case


def _steps(record: Record) -> Iterator[TestCase]:
    for row in record.steps:
        case = TestCase(xml_text(f"step: {row.step} on {row.node}"), classname=_class(record), time=row.seconds)
        if not row.status.succeeded:
            case.result = [Failure(xml_text(row.detail or str(row.status)), str(row.status))]
        elif row.status in (Status.SKIPPED, Status.PLANNED):
            case.result = [Skipped(xml_text(row.detail or str(row.status)))]
        yield case


def _checks(record: Record) -> Iterator[TestCase]:
    for check in record.checks:
        name = f"check: {check.check}" + (f" on {check.node}" if check.node else "")
        case = TestCase(xml_text(name), classname=_class(record), time=0.0)
        if check.verdict is Verdict.FAIL:
            case.result = [Failure(xml_text(f"expected {check.expected}, found {check.found}"), "check failed")]
        elif check.verdict is Verdict.SKIP:
            case.result = [Skipped(xml_text(check.found))]
        elif check.verdict is Verdict.WARN:
            case.system_out = xml_text(f"warning: expected {check.expected}, found {check.found}")
        yield case


def _class(record: Record) -> str:
    return f"{record.cluster}.{record.notebook}"


def xml_text(text: str) -> str:
    """The text without the characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)
