"""``runbook batch``: its command line, and what is refused before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from runbook_lib import cli
from runbook_lib.cli import batch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(*words: str) -> dict[str, object]:
    """What typer makes of a command line."""
    return dict(get_command(batch.app).make_context("batch", list(words), resilient_parsing=True).params)


@pytest.mark.parametrize(
    ("words", "files", "notebooks"),
    [
        (["a.yaml", "b.yaml"], ["a.yaml", "b.yaml"], []),
        (["a.yaml", "-n", "05", "06", "-j", "2"], ["a.yaml"], ["05", "06"]),
        (["-n", "05", "06", "a.yaml", "b.yml"], ["a.yaml", "b.yml"], ["05", "06"]),
        (["a.yaml", "-n", "05", "-n", "06"], ["a.yaml"], ["05", "06"]),
        (["-n", "05", "--", "folder"], ["folder"], ["05"]),
        (["a.yaml", "--notebook", "05", "--plan", "b.yaml"], ["a.yaml", "b.yaml"], ["05"]),
        (["a.yaml", "-p", "name", "x", "-n", "05"], ["a.yaml"], ["05"]),
    ],
)
def test_n_takes_as_many_notebooks_as_follow_it(words: list[str], files: list[str], notebooks: list[str]) -> None:
    given = parsed(*words)
    assert [str(file) for file in given["files"]] == files  # type: ignore[attr-defined]
    assert list(given["notebook"] or ()) == notebooks  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.yaml"], "absent.yaml: there is no such file"),
        (["folder"], "folder: this is a folder, not a YAML file"),
        (["params/*.yaml"], "params/*.yaml: there is no such file"),
        (["good.yaml", "-n", "77_nothing"], "there is no notebook '77_nothing'"),
        (["good.yaml", "-p", "plan"], "-p: it takes a key and a value"),
        (["good.yaml", "-p", "overlay.nmae", "x"], "-p overlay.nmae: unknown parameter"),
        (["good.yaml", "-j", "0"], "-j"),
        ([], "FILE"),
        (["good.yaml", "--junit", "absent/report.xml"], "there is no folder absent"),
        (["good.yaml", "--records", "nonsense://x"], "nonsense"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_bad_input_is_refused_with_nothing_touched(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (folder / "folder").mkdir()
    (folder / "good.yaml").write_text("name: good\ninventory: testbed:absent\n")
    before = sorted(folder.rglob("*"))
    assert cli.main(["batch", *words]) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(folder.rglob("*")) == before


def test_a_batch_in_which_every_file_is_bad_says_all_of_it_at_once(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text("nme: a\nprobes: {count: 0}\n")
    (folder / "b.yaml").mkdir()
    assert cli.main(["batch", "a.yaml", "b.yaml", "c.yaml"]) == 2
    told = capfd.readouterr().err
    assert "4 faults, nothing was touched" in told
    assert [
        word in told for word in ("a.yaml:1: nme", "a.yaml:2: probes.count", "b.yaml: this is a f", "c.yaml: there")
    ] == [True] * 4
