"""``runbook records`` as its user sees it: the real command line on record folders."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from runbook_lib import cli
from runbook_lib.model.record import Record, RecordVerdict
from runbook_lib.records.query.frames import frame
from runbook_lib.records.store import open_archive
from runbook_lib.records.writer import RecordWriter
from tests.unit.records.samples import check, metric, put, sample, step

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OVERLAY_RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("OVERLAY_RUNBOOK_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "records"


def run(*words: str) -> int:
    return cli.main(["records", *words])


def write(root: Path, number: int, **changes: Any) -> Path:
    """A record as the runner writes it: hashed, chained and signed."""
    values = sample(id=f"{number:010x}", started=f"2026-05-{number:02d}T12:00:00.000Z", **changes)
    begun = Record.model_validate({**values, "verdict": "running", "seconds": None, "ended": None})
    cell = new_code_cell("run.ping()", outputs=[new_output("stream", name="stdout", text=f"answer {number}\n")])
    cell.id = "05-05"
    notebook = new_notebook(cells=[cell])
    writer = RecordWriter.create(open_archive(root), begun, nbformat.writes(notebook), str)
    writer.table("ping matrix", "source,ms\nalpine1,0.05\n")
    writer.finish(Record.model_validate(values), "<p>page</p>")
    return writer.folder


@pytest.mark.usefixtures("root")
def test_an_archive_without_a_record_says_so_and_is_no_error(capsys: Captured) -> None:
    assert run("list") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "there are no records yet" in err
    assert run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_list_has_aligned_columns_newest_first(root: Path, capsys: Captured) -> None:
    put(root, id="aaaaaaaaaa", started="2026-05-01T12:00:00.000Z")
    put(root, id="bbbbbbbbbb", started="2026-05-02T12:34:00.000Z", cluster="a-long-name", verdict="failed", changed=3)
    assert run("list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID          STARTED           CLUSTER      NOTEBOOK       VERDICT  SECONDS  CHANGED",
        "bbbbbbbbbb  2026-05-02 12:34  a-long-name  05_ping_tests  failed      12.5        3",
        "aaaaaaaaaa  2026-05-01 12:00  lab          05_ping_tests  pass        12.5        0",
    ]


def test_list_as_json_has_what_a_program_needs(root: Path, capsys: Captured) -> None:
    folder = put(root, id="aaaaaaaaaa", changed=3)
    assert run("list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "id": "aaaaaaaaaa",
        "notebook": "05_ping_tests",
        "cluster": "lab",
        "verdict": "pass",
        "warnings": 0,
        "started": "2026-05-01T12:00:00.000Z",
        "seconds": 12.5,
        "changed": 3,
        "path": str(folder),
        "run": "20260501T120000Z_lab",
        "plan": False,
        "fault": "",
    }


def test_warnings_stand_beside_the_verdict_of_every_record_that_has_such_checks(root: Path, capsys: Captured) -> None:
    warned = [check("no loss", "warn", "0 %", "2 %", f"node{number}") for number in (1, 2, 3)]
    put(root, id="aaaaaaaaaa", started="2026-05-01T12:00:00.000Z", checks=warned)
    put(root, id="bbbbbbbbbb", started="2026-05-02T12:00:00.000Z")
    assert run("list") == 0
    header, plain, listed = capsys.readouterr().out.splitlines()
    assert "pass, 3 warnings" in listed
    assert "warning" not in header + plain
    assert run("list", "--verdict", "pass", "--json") == 0
    assert [found["warnings"] for found in json.loads(capsys.readouterr().out)] == [0, 3]
    assert run("show", "aaaaaaaaaa") == 0
    assert capsys.readouterr().out.splitlines()[0] == "05_ping_tests on lab: pass, 3 warnings"
    assert run("show", "aaaaaaaaaa", "--json") == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == 3
    assert run("diff", "bbbbbbbbbb", "aaaaaaaaaa") == 0
    assert "pass, 3 warnings" in capsys.readouterr().out
    assert run("trend", "05", "seconds") == 0
    assert "pass, 3 warnings" in capsys.readouterr().out


def test_list_filters(root: Path, capsys: Captured) -> None:
    put(root, id="aaaaaaaaaa", started="2026-05-01T12:00:00.000Z")
    put(root, id="bbbbbbbbbb", started="2026-05-02T12:00:00.000Z", cluster="attic", verdict="kernel died")
    for words in (
        ("--cluster", "attic"),
        ("--verdict", "kernel died"),
        ("--since", "2026-05-02"),
        ("--notebook", "05", "--cluster", "attic"),
    ):
        assert run("list", "--json", *words) == 0
        assert [record["id"] for record in json.loads(capsys.readouterr().out)] == ["bbbbbbbbbb"]
    assert run("list", "--since", "7d", "--cluster", "nowhere") == 0
    assert "no record matches" in capsys.readouterr().err
    assert run("list", "--since", "soon") == 2
    assert run("list", "--verdict", "sunny") == 2


def test_a_broken_record_is_listed_and_told_on_stderr_and_hides_no_other(root: Path, capsys: Captured) -> None:
    put(root, id="aaaaaaaaaa")
    (put(root, id="bbbbbbbbbb", started="2026-05-02T12:00:00.000Z") / "record.json").write_text('{"format": 1, "id"')
    (put(root, id="cccccccccc", started="2026-05-03T12:00:00.000Z") / "record.json").unlink()
    assert run("list") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["cccccccccc", "bbbbbbbbbb", "aaaaaaaaaa"]
    assert [" unreadable " in line for line in lines] == [True, True, False]
    assert "bbbbbbbbbb: the record cannot be read: record.json is cut short" in err
    assert "cccccccccc: the record cannot be read: record.json: No such file" in err
    assert run("list", "--json") == 0
    assert [record["verdict"] for record in json.loads(capsys.readouterr().out)] == ["unreadable", "unreadable", "pass"]


def test_another_archive_is_named_with_an_option_wherever_it_makes_sense(tmp_path: Path, capsys: Captured) -> None:
    put(tmp_path / "elsewhere", id="aaaaaaaaaa")
    place = ("--records", str(tmp_path / "elsewhere"))
    for words in (("list",), ("show", "a"), ("diff", "a", "a"), ("trend", "05", "seconds")):
        assert run(*words, *place) == 0
        assert "05_ping_tests" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert run("list", "--records", str(tmp_path / "file")) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_show_tells_everything_that_a_reader_asks(root: Path, capsys: Captured) -> None:
    steps = [step("fix addresses", "node1", "changed", "dhcp", "192.168.99.11", seconds=1.25)]
    failure = {"name": "CheckFailed", "message": "a pair is silent\n  expected: 4", "cell": "In [5]"}
    checks = [check("every pair answers", "fail", "4", "3", "node3")]
    write(root, 1, steps=steps, checks=checks, failure=failure, verdict="failed", exit_code=1, changed=1)
    assert run("show", "0000") == 0
    out = capsys.readouterr().out
    for words in (
        "05_ping_tests on lab: failed",
        "failed (exit code 1)",
        "2026-05-01 12:00:00 UTC, took 12.5 s",
        "In [5] CheckFailed: a pair is silent",
        "fix addresses  node1  changed  dhcp    192.168.99.11      1.2",
        "fail     every pair answers  node3  4         3",
        "ping latency  0.05 ms",
        "node1  192.168.99.11  20.10.24  AAAA",
        "1     completed      0.1  05-01",
        "overlay.subnet  10.0.0.0/24",
        "packages (--json lists them)",
        "ada@lab7",
        "tables/ping-matrix.csv",
    ):
        assert words in out
    assert run("show", "0000", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["faults"]) == ("failed", [])
    assert found["path"].startswith(str(root))


def test_show_says_which_file_is_missing_changed_or_added(root: Path, capsys: Captured) -> None:
    folder = write(root, 1)
    (folder / "notebook.html").unlink()
    (folder / "tables" / "ping-matrix.csv").write_text("")
    (folder / "planted.txt").write_text("")
    assert run("show", "0") == 0
    out, err = capsys.readouterr()
    for fault in (
        "notebook.html is missing",
        "tables/ping-matrix.csv has 0 bytes, not 23",
        "planted.txt does not belong to the record",
    ):
        assert fault in out
        assert fault in err


def test_show_of_a_broken_record_says_what_is_wrong_and_what_is_there(root: Path, capsys: Captured) -> None:
    folder = put(root, id="aaaaaaaaaa")
    (folder / "notebook.ipynb").write_text("{}")
    (folder / "record.json").write_text('{"format": 1')
    assert run("show", "a") == 3
    out, err = capsys.readouterr()
    assert "notebook.ipynb" in out
    assert "the record cannot be read" in err
    assert run("show", "a", "--json") == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "unreadable"


def test_an_unknown_id_and_an_ambiguous_one_are_bad_input(root: Path, capsys: Captured) -> None:
    put(root, id="abcdef0001")
    put(root, id="abcdef0002", started="2026-05-02T12:00:00.000Z")
    assert run("show", "f") == 2
    assert "no record has the id 'f'" in capsys.readouterr().err
    assert run("diff", "abcdef0001", "abcdef") == 2
    err = capsys.readouterr().err
    assert "2 records have an id that begins with 'abcdef'" in err
    assert "abcdef0002" in err


def test_diff_tells_what_changed_on_the_cluster(root: Path, capsys: Captured) -> None:
    put(root, id="aaaaaaaaaa", steps=[step("fix addresses", "node1", after="dhcp")])
    steps = [step("fix addresses", "node1", "changed", after="192.168.99.11")]
    put(
        root,
        id="bbbbbbbbbb",
        started="2026-05-02T12:00:00.000Z",
        steps=steps,
        metrics=[metric("ping latency", 1, "ms")],
    )
    assert run("diff", "a", "b") == 0
    out = capsys.readouterr().out
    assert "fix addresses  node1  dhcp  192.168.99.11" in out
    assert "ping latency  0.05 ms  1 ms  × 20.00" in out
    assert run("diff", "a", "a") == 0
    assert "nothing differs" in capsys.readouterr().out
    assert run("diff", "a", "b", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"][0] == {
        "subject": "step",
        "item": "fix addresses",
        "node": "node1",
        "a": "dhcp",
        "b": "192.168.99.11",
        "note": "",
    }


def test_diff_shows_the_notebooks_on_request(root: Path, capsys: Captured) -> None:
    write(root, 1)
    write(root, 2)
    assert run("diff", "0000000001", "0000000002", "--notebook") == 0
    out = capsys.readouterr().out
    assert "-  answer 1" in out
    assert "+  answer 2" in out
    assert run("diff", "0000000001", "0000000001", "--notebook") == 0
    assert "the notebooks do not differ" in capsys.readouterr().out


def test_trend_is_a_table_a_line_of_bars_and_a_picture(root: Path, tmp_path: Path, capsys: Captured) -> None:
    for day, value in ((1, 1.0), (2, 3.0), (3, 2.0)):
        put(root, started=f"2026-05-0{day}T12:00:00.000Z", metrics=[metric("convergence", value, "s")])
    assert run("trend", "05", "convergence") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("convergence (s)")
    assert [line.split()[-1] for line in lines[1:4]] == ["1", "3", "2"]
    assert lines[-1] == "▁█▅  3 of 05_ping_tests: lowest 1, median 2, highest 3 s"
    for name, beginning in (("trend.svg", b"<?xml"), ("trend.png", b"\x89PNG")):
        assert run("trend", "05", "convergence", "--picture", str(tmp_path / name)) == 0
        assert (tmp_path / name).read_bytes().startswith(beginning)
    capsys.readouterr()
    assert run("trend", "05", "convergence", "--json") == 0
    assert [point["value"] for point in json.loads(capsys.readouterr().out)["points"]] == [1.0, 3.0, 2.0]


def test_trend_refuses_what_it_cannot_follow_or_draw(root: Path, tmp_path: Path, capsys: Captured) -> None:
    put(root)
    assert run("trend", "05", "happiness") == 2
    assert "one of: ping latency, seconds" in capsys.readouterr().err
    assert run("trend", "05", "seconds", "--picture", "trend.docx") == 2
    assert run("trend", "05", "seconds", "--picture", str(tmp_path / "no" / "trend.svg")) == 2


@pytest.mark.parametrize(("form", "name"), [("html", "r.html"), ("junit", "r.xml"), ("zip", "r.zip")])
def test_export_writes_a_file_and_says_which(
    root: Path, tmp_path: Path, capsys: Captured, form: str, name: str
) -> None:
    write(root, 1)
    assert run("export", "0", "--to", form, "--output", str(tmp_path / name)) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0
    assert run("export", "0", "--to", "pdf") == 2


def test_verify_is_content_with_what_was_written_and_names_what_was_changed(root: Path, capsys: Captured) -> None:
    first = write(root, 1)
    write(root, 2)
    assert run("list") == 0
    assert run("verify") == 0
    assert "✓ intact: 2 records verified" in capsys.readouterr().out
    (key,) = (root / "keys").glob("*.pem")
    assert run("verify", "0000000001", "--public-key", str(key)) == 0
    table = first / "tables" / "ping-matrix.csv"
    table.write_text(table.read_text().replace("0.05", "0.01"))
    capsys.readouterr()
    assert run("verify", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["intact"] is False
    assert [finding["record"] for finding in found["findings"]] == ["0000000001"]
    assert "ping-matrix.csv" in found["findings"][0]["place"]
    assert run("verify", "0000000002") == 0
    assert run("verify", "nosuch") == 2


def test_prune_tells_what_would_go_and_needs_consent(root: Path, capsys: Captured) -> None:
    folders = [write(root, day) for day in (1, 2, 3)]
    assert run("prune", "--keep", "1") == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == ["would remove 2 records of 3:", f"  {folders[0].name}", f"  {folders[1].name}"]
    assert "confirm with --yes" in err
    assert all(folder.exists() for folder in folders)
    assert run("prune", "--keep", "1", "--yes") == 0
    assert "removed 2" in capsys.readouterr().out
    assert [folder.exists() for folder in folders] == [False, False, True]
    assert run("verify") == 0
    assert run("prune", "--keep", "1", "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert run("list", "--json") == 0
    assert [record["id"] for record in json.loads(capsys.readouterr().out)[-1:]] == ["0000000003"]


@pytest.mark.parametrize("words", [(), ("--keep", "1", "--keep-days", "1"), ("--keep", "some")])
def test_prune_needs_to_know_what_to_keep(root: Path, words: tuple[str, ...]) -> None:
    put(root)
    assert run("prune", *words) == 2


def test_a_running_record_reads_running_and_what_a_killed_runner_left_interrupted(root: Path, capsys: Captured) -> None:
    begun = Record.model_validate(sample(id="aaaaaaaaaa", verdict="running", seconds=None, ended=None))
    writer = RecordWriter.create(open_archive(root), begun, "{}", str)
    for verdict in ("running", "interrupted"):
        assert run("list", "--json") == 0
        assert [record["verdict"] for record in json.loads(capsys.readouterr().out)] == [verdict]
        assert run("show", "a", "--json") == 0
        assert json.loads(capsys.readouterr().out)["verdict"] == RecordVerdict(verdict)
        writer.abandon()


def test_on_a_narrow_terminal_lines_are_cut_and_in_a_pipe_they_are_whole(root: Path) -> None:
    put(root, cluster="a-cluster-with-a-very-long-name", notebook="06_disconnect_connect")
    argv = [sys.executable, "-m", "runbook_lib", "records", "list"]
    piped = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "a-cluster-with-a-very-long-name" in piped
    controller, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(argv, stdout=terminal, env=environment) as process:
        os.close(terminal)
        shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert process.returncode == 0
    assert "…" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_an_archive_at_a_url_is_read_like_one_that_is_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    place = f"memory://{root.name}-{os.getpid()}"
    begun = Record.model_validate(sample(id="aaaaaaaaaa", verdict="running", seconds=None, ended=None))
    writer = RecordWriter.create(open_archive(place, refresh=False), begun, "{}", str)
    writer.table("ping matrix", "source,ms\nalpine1,0.05\n")
    writer.finish(Record.model_validate(sample(id="aaaaaaaaaa")), "<p>page</p>")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert run("list", "--json", "--records", place) == 0
    assert [record["id"] for record in json.loads(capsys.readouterr().out)] == ["aaaaaaaaaa"]
    assert frame("ping matrix", place)["ms"].to_list() == [0.05]
    assert run("show", "a", "--records", place) == 0
    assert "tables/ping-matrix.csv" in capsys.readouterr().out
    assert run("verify", "--records", place) == 0
    assert run("export", "a", "--to", "html", "--output", str(tmp_path / "page.html"), "--records", place) == 0
    assert (tmp_path / "page.html").read_text() == "<p>page</p>"
    assert run("prune", "--keep", "0", "--yes", "--records", place) == 0
    assert run("list", "--records", place) == 0
    assert "there are no records yet" in capsys.readouterr().err
