from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.record import Record
from runbook_lib.records.query.trend import Measured, sparkline, trend, values_of
from runbook_lib.records.store import open_archive
from runbook_lib.records.store.archive import Archive
from tests.unit.records.samples import metric, put, sample


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    put(tmp_path, started="2026-05-03T12:00:00.000Z", metrics=[metric("ping latency", 0.5, "ms")], verdict="failed")
    put(tmp_path, started="2026-05-01T12:00:00.000Z", metrics=[metric("ping latency", v, "ms") for v in (0.1, 0.3)])
    put(tmp_path, started="2026-05-02T12:00:00.000Z", metrics=[metric("convergence", 2.5, "s")], cluster="attic")
    put(tmp_path, started="2026-05-04T12:00:00.000Z", notebook="06_disconnect_connect", metrics=[], seconds=None)
    (put(tmp_path, started="2026-05-05T12:00:00.000Z") / "record.json").write_text("{")
    return open_archive(tmp_path)


def test_a_metric_is_followed_from_the_oldest_record_to_the_newest(archive: Archive) -> None:
    found = trend(archive, "05", "ping latency")
    assert (found.notebook, found.metric, found.unit) == ("05_ping_tests", "ping latency", "ms")
    assert [point.value for point in found.points] == pytest.approx([0.2, 0.5])
    assert [point.passed for point in found.points] == [True, False]
    assert found.points[0].started == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_seconds_are_a_metric_of_every_finished_record(archive: Archive) -> None:
    found = trend(archive, "05_ping_tests", "seconds")
    assert [point.value for point in found.points] == [12.5, 12.5, 12.5]
    assert found.unit == "s"
    with pytest.raises(InputError, match="one of: seconds"):
        trend(archive, "06", "seconds")


def test_a_trend_can_be_of_one_cluster_or_since_a_time(archive: Archive) -> None:
    assert [point.cluster for point in trend(archive, "05", "seconds", cluster="attic").points] == ["attic"]
    assert len(trend(archive, "05", "seconds", since=datetime(2026, 5, 2, tzinfo=UTC)).points) == 2
    with pytest.raises(InputError, match="no record of 05_ping_tests matches the filters"):
        trend(archive, "05", "seconds", cluster="nowhere")


def test_an_unknown_metric_or_notebook_is_answered_with_those_there_are(archive: Archive) -> None:
    with pytest.raises(InputError, match="one of: convergence, ping latency, seconds"):
        trend(archive, "05", "happiness")
    with pytest.raises(InputError, match="one of: 05_ping_tests, 06_disconnect_connect"):
        trend(archive, "07", "seconds")
    with pytest.raises(InputError, match="2 notebooks begin with '0'"):
        trend(archive, "0", "seconds")
    with pytest.raises(InputError, match="run a notebook first"):
        trend(open_archive(archive.root / "nothing"), "05", "seconds")


def test_a_record_has_the_mean_of_several_values_of_one_name() -> None:
    values = [metric("ping latency", 1.0, "ms"), metric("ping latency", 2.0, "ms")]
    record = Record.model_validate(sample(metrics=values, seconds=None))
    assert values_of(record) == {"ping latency": Measured(1.5, "ms")}


def test_a_sparkline_goes_from_the_lowest_to_the_highest_and_never_is_too_wide() -> None:
    assert sparkline([1, 2, 3, 8]) == "▁▂▃█"
    assert sparkline([4, 4]) == "▄▄"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(1000)), width=60)) == 60
