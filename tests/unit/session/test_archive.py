"""The archive as a notebook reads it, on archives with many records, with one, and with none."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from runbook_lib.errors import CheckFailed, InputError
from runbook_lib.session.archive import read_archive
from tests.unit.records.samples import metric, put

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "10_read_the_archive.ipynb"
Captured = pytest.CaptureFixture[str]


def fill(root: Path) -> None:
    put(root, id="a" * 10, started="2026-05-01T12:00:00.000Z", metrics=[metric("ping latency", 0.1, "ms")])
    put(root, id="b" * 10, started="2026-05-02T12:00:00.000Z", verdict="failed", changed=2, seconds=30.0)
    put(root, id="c" * 10, started="2026-05-03T12:00:00.000Z", cluster="attic", notebook="06_disconnect_connect")
    (put(root, id="d" * 10, started="2026-05-04T12:00:00.000Z") / "record.json").write_text("{")


def test_the_overview_has_a_row_a_notebook_and_cluster(tmp_path: Path) -> None:
    fill(tmp_path)
    table = read_archive(tmp_path).overview()
    assert table.columns.to_list() == [
        *("notebook", "cluster", "runs", "passed", "changed", "median (s)", "last", "verdict", "warnings")
    ]
    rows = table.drop(columns="last").to_numpy().tolist()
    assert rows == [
        ["06_disconnect_connect", "attic", 1, 1, 0, 12.5, "pass", 0],
        ["05_ping_tests", "lab", 2, 1, 2, 21.25, "failed", 0],
    ]


def test_the_two_newest_records_of_one_notebook_and_cluster_are_compared(tmp_path: Path, capsys: Captured) -> None:
    fill(tmp_path)
    table = read_archive(tmp_path).compare()
    assert ["verdict", "verdict", "", "pass", "failed", ""] in table.to_numpy().tolist()
    assert "A aaaaaaaaaa  05_ping_tests on lab, 2026-05-01 12:00: pass" in capsys.readouterr().out
    assert len(read_archive(tmp_path).compare("a", "aaaa")) == 0
    with pytest.raises(InputError, match="no record"):
        read_archive(tmp_path).compare("a", "ffff")


def test_only_one_clusters_records_are_read_on_request(tmp_path: Path) -> None:
    fill(tmp_path)
    assert read_archive(tmp_path, "attic").overview()["cluster"].to_list() == ["attic"]
    assert set(read_archive(tmp_path, "lab").frame("cells")["record"]) == {"a" * 10, "b" * 10}


def test_a_trend_is_a_picture_with_words(tmp_path: Path) -> None:
    fill(tmp_path)
    picture = read_archive(tmp_path).trend()
    assert repr(picture) == "seconds of 05_ping_tests: 2 runs, 1 did not pass (×); median 21.25 s, last 30 s."
    assert "median 0.075 ms, last 0.05 ms" in repr(read_archive(tmp_path).trend("05", "ping latency"))


def test_what_nobody_signed_stops_the_notebook(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(CheckFailed, match="aaaaaaaaaa"):
        read_archive(tmp_path).verify()


@pytest.mark.parametrize("records", [0, 1])
def test_every_cell_of_the_notebook_runs_where_there_is_nothing_to_compare(
    tmp_path: Path, capsys: Captured, records: int
) -> None:
    for _ in range(records):
        put(tmp_path, verdict="running", seconds=None, metrics=[])
    values: dict[str, object] = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code" and not (records and "verify" in cell.source):
            exec(cell.source, values)
            values.setdefault("records", "")
            values["records"] = str(tmp_path)
    said = capsys.readouterr().out
    assert ("There is no record in" in said) is not bool(records)
    assert "there is nothing to compare" in said
    assert "there is nothing to follow" in said


def test_answers_are_tried_headlessly_in_the_worked_solutions_alone(tmp_path: Path, displayed) -> None:
    fill(tmp_path)
    assert not read_archive(tmp_path).exercise("10-a", "reboot").answered
    assert read_archive(tmp_path, notebook="10_solutions").exercise("10-a", "reboot").answered
