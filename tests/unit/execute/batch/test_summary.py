"""The table at the end of a batch."""

from __future__ import annotations

import io
from dataclasses import replace

from runbook_lib.execute.batch.display import conclude
from runbook_lib.execute.batch.jobs import not_run
from tests.unit.execute.batch.samples import bad_input, check_failed, job, passed


def test_the_summary_has_a_row_a_cluster_and_above_it_why_some_failed() -> None:
    output = io.StringIO()
    conclude([passed(0), check_failed(1), bad_input(2), not_run(job(3))], "s3://bucket/records", output)
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert lines[:12] == [
        "",
        "cluster1: failed in 01_first, cell In [5] (CheckFailed)",
        "  no leader",
        "    expected: 1",
        "    found:    0",
        "  record: records/c",
        "",
        "cluster2: bad input (InputError)",
        "  x.yaml: there is no such file",
        "    remedy: name another",
        "",
        "cluster   verdict    passed  changed  seconds  stopped at  run",
    ]
    assert [line.split() for line in lines[12:16]] == [
        ["cluster0", "pass", "2/2", "3", "2.0", "0123456789"],
        ["cluster1", "failed", "0/2", "0", "1.5", "01_first", "abcdef0123"],
        ["cluster2", "bad", "input", "0/2", "0", "0.0"],
        ["cluster3", "not", "run", "0/2", "0", "0.0"],
    ]
    assert lines[-1] == "records: s3://bucket/records"


def test_the_warnings_of_all_notebooks_of_a_cluster_are_counted() -> None:
    good = passed(0)
    output = io.StringIO()
    conclude([replace(good, notebooks=tuple(replace(one, warnings=2) for one in good.notebooks))], "records", output)
    assert "cluster0  pass, 4 warnings " in output.getvalue()
