from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runbook_lib import records
from runbook_lib.errors import InputError
from tests.unit.records.samples import check, put, step

CALL = {"kind": "call", "at": "2026-05-01T12:00:01.000Z", "node": "node1", "via": "ssh", "argv": ["ip", "addr"]}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    steps = [step("fix addresses", "node1", "changed", "dhcp", "192.168.99.11", seconds=1.5)]
    checks = [check("pairs answer", found="4"), check("no loss", "fail"), check("no loss", "warn")]
    first = put(tmp_path, id="a" * 10, started="2026-05-01T12:00:00.000Z", steps=steps, checks=checks, changed=1)
    (first / "log.jsonl").write_text(
        json.dumps({**CALL, "seconds": 0.2, "status": 0, "error": ""})
        + "\n"
        + json.dumps({**CALL, "seconds": 9.0, "status": None, "error": "no answer"})
        + '\n{"kind": "call", "at": "2026'
    )
    (first / "tables").mkdir()
    (first / "tables" / "ping-matrix.csv").write_text("source,target,ms\nalpine1,alpine2,0.05\n")
    (first / "tables" / "ping-matrix_2.csv").write_text("source,target,ms\nalpine2,alpine1,0.06\n")
    put(tmp_path, id="b" * 10, started="2026-05-02T12:00:00.000Z", seconds=25.0)
    (put(tmp_path, id="c" * 10, started="2026-05-03T12:00:00.000Z") / "record.json").write_text("{")
    return tmp_path


def test_records_are_rows_newest_first_with_those_that_cannot_be_read(archive: Path) -> None:
    table = records.frame(archive=archive)
    assert list(table["record"]) == ["c" * 10, "b" * 10, "a" * 10]
    assert list(table["verdict"]) == ["unreadable", "pass", "pass"]
    assert "cannot be read" in table["failure"][0]
    assert table["started"].dtype == "datetime64[us, UTC]"
    assert table["seconds"].mean() == pytest.approx(18.75)
    assert table.loc[2, ["changed", "checks", "failed checks", "warnings"]].to_list() == [1, 3, 1, 1]


def test_steps_checks_cells_metrics_and_nodes_are_rows_of_their_records(archive: Path) -> None:
    assert records.frame("steps", archive)[["record", "step", "after", "seconds"]].to_numpy().tolist() == [
        ["a" * 10, "fix addresses", "192.168.99.11", 1.5]
    ]
    assert list(records.frame("checks", archive)["verdict"]) == ["pass", "pass", "fail", "warn"]
    assert list(records.frame("cells", archive)["state"]) == ["completed", "completed"]
    metrics = records.frame("metrics", archive)
    assert list(metrics.loc[metrics["metric"] == "seconds", "value"]) == [25.0, 12.5]
    assert records.frame("nodes", archive)["answers"].all()


def test_calls_come_from_the_log_and_a_line_that_was_cut_short_hides_none(archive: Path) -> None:
    calls = records.frame("calls", archive)
    assert list(calls["call"]) == ["ip addr", "ip addr"]
    assert list(calls["seconds"]) == [0.2, 9.0]
    assert calls["status"].isna().to_list() == [False, True]
    assert str(calls["at"].dtype) == "datetime64[us, UTC]"


def test_a_kept_table_is_read_from_every_record_that_has_it(archive: Path) -> None:
    table = records.frame("ping-matrix", archive)
    assert list(table.columns) == ["record", "notebook", "cluster", "started", "source", "target", "ms"]
    assert list(table["ms"]) == [0.05, 0.06]
    assert records.frame("ping matrix", archive).equals(table)


def test_an_unknown_table_is_answered_with_those_there_are(archive: Path) -> None:
    with pytest.raises(InputError, match="one of: records, steps, checks, cells, metrics, nodes, calls, ping-matrix"):
        records.frame("pings", archive)


@pytest.mark.parametrize("what", ["records", "steps", "checks", "cells", "metrics", "nodes", "calls"])
def test_an_empty_archive_gives_the_same_columns_and_types(archive: Path, what: str) -> None:
    nothing = records.frame(what, archive / "nothing")
    assert len(nothing) == 0
    assert nothing.dtypes.to_dict() == records.frame(what, archive).dtypes.to_dict()


def test_two_records_are_compared(archive: Path) -> None:
    table = records.compare("a", "b", archive)
    assert list(table.columns) == ["subject", "item", "node", "A", "B", "note"]
    assert ["metric", "seconds", "", "12.5 s", "25 s", "× 2.00"] in table.to_numpy().tolist()
    assert len(records.compare("a", "a", archive)) == 0


def test_the_default_archive_is_the_one_that_the_environment_names(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERLAY_RUNBOOK_RECORDS", str(archive))
    assert len(records.frame()) == 3
    assert isinstance(records.compare("a", "b"), pd.DataFrame)


def test_importing_records_alone_is_light() -> None:
    code = "import sys; from runbook_lib import records; print('pandas' in sys.modules, records.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False ['compare', 'frame']"
