from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.record import Record
from runbook_lib.records.query.query import Filters, check_verdict, list_records, parse_since
from runbook_lib.records.store import open_archive
from runbook_lib.records.writer import RecordWriter
from tests.unit.records.samples import put, sample

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)


def ids(root: Path, **filters: object) -> list[str]:
    return [row.id for row in Filters(**filters).select(list_records(open_archive(root)))]  # type: ignore[arg-type]


def test_filters_ask_for_cluster_notebook_verdict_and_time(tmp_path: Path) -> None:
    put(tmp_path, id="a" * 10, started="2026-05-01T12:00:00.500Z", cluster="lab", notebook="05_ping_tests")
    put(tmp_path, id="b" * 10, started="2026-05-02T12:00:00.000Z", cluster="attic", notebook="05_ping_tests")
    put(tmp_path, id="c" * 10, started="2026-05-03T12:00:00.000Z", cluster="lab", notebook="06_x", verdict="failed")
    assert ids(tmp_path) == ["c" * 10, "b" * 10, "a" * 10]
    assert ids(tmp_path, cluster="lab") == ["c" * 10, "a" * 10]
    assert ids(tmp_path, notebook="05") == ["b" * 10, "a" * 10]
    assert ids(tmp_path, notebook="05_ping_tests.ipynb") == ["b" * 10, "a" * 10]
    assert ids(tmp_path, verdict="failed") == ["c" * 10]
    assert ids(tmp_path, since=datetime(2026, 5, 2, 12, 0, tzinfo=UTC)) == ["c" * 10, "b" * 10]
    assert ids(tmp_path, since=datetime(2026, 5, 1, 12, 0, tzinfo=UTC))[-1] == "a" * 10
    assert ids(tmp_path, cluster="lab", verdict="pass") == ["a" * 10]
    assert ids(tmp_path, cluster="la") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T08:30", datetime(2026, 5, 1, 8, 30, tzinfo=UTC)),
        ("2026-05-01T08:30+02:00", datetime(2026, 5, 1, 6, 30, tzinfo=UTC)),
        ("2026-05-01T08:30:15Z", datetime(2026, 5, 1, 8, 30, 15, tzinfo=UTC)),
        ("7d", datetime(2026, 5, 3, 12, 0, tzinfo=UTC)),
        ("90m", datetime(2026, 5, 10, 10, 30, tzinfo=UTC)),
        ("2w", datetime(2026, 4, 26, 12, 0, tzinfo=UTC)),
    ],
)
def test_since_is_a_date_a_time_or_a_duration(text: str, expected: datetime) -> None:
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday-ish", "7 parsecs", "2026-13-01", "", "99999999999w"])
def test_since_that_is_neither_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="7d"):
        parse_since(text, NOW)


def test_a_verdict_is_asked_for_by_its_name_and_an_unknown_one_names_those_there_are() -> None:
    assert check_verdict("kernel-died") == "kernel died"
    assert check_verdict("Failed") == "failed"
    assert check_verdict("unreadable") == "unreadable"
    with pytest.raises(InputError, match="one of: running, pass, planned, failed"):
        check_verdict("sunny")


def test_a_record_is_running_while_its_writer_lives_and_interrupted_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    archive = open_archive(tmp_path / "records")
    record = Record.model_validate(sample(id="0123456789", verdict="running"))
    writer = RecordWriter.create(archive, record, "{}", str)
    assert [row.verdict for row in list_records(archive)] == ["running"]
    writer.abandon()
    assert [row.verdict for row in list_records(archive)] == ["interrupted"]


def test_listing_imports_no_library_that_takes_long() -> None:
    heavy = ["pydantic", "pandas", "nbformat", "nbconvert", "cryptography", "fsspec", "rich", "docker", "paramiko"]
    code = f"import sys, runbook_lib.records.query.query; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
