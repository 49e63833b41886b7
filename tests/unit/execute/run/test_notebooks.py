"""Which notebooks a run takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import InputError
from runbook_lib.execute.run.notebooks import choose_notebooks, undoing

NAMES = ("00_meet_the_cluster", "01_fix_node_ips", "05_ping_tests", "05_pong_tests", "08_aside", "09_clean_up")


def write(path: Path, **metadata: Any) -> Path:
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": []}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in NAMES:
        write(folder / f"{name}.ipynb", **({"runbook": {"default_run": False}} if name == "08_aside" else {}))
    write(folder / "scratch.ipynb")
    return folder


def test_without_names_the_walkthrough_runs_in_its_order_and_cleans_nothing_up(folder: Path) -> None:
    stems = [path.stem for path in choose_notebooks([], folder)]
    assert stems == ["00_meet_the_cluster", "01_fix_node_ips", "05_ping_tests", "05_pong_tests"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("01_fix_node_ips", "01_fix_node_ips"),
        ("01_fix_node_ips.ipynb", "01_fix_node_ips"),
        ("notebooks/01_fix_node_ips.ipynb", "01_fix_node_ips"),
        ("01", "01_fix_node_ips"),
        ("05_pi", "05_ping_tests"),
        ("09", "09_clean_up"),
        ("08_aside", "08_aside"),
    ],
)
def test_a_notebook_is_named_in_full_by_its_beginning_or_by_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, stem: str
) -> None:
    monkeypatch.chdir(folder)
    assert choose_notebooks([name], folder) == [folder / f"{stem}.ipynb"]


def test_named_notebooks_run_in_the_order_given(folder: Path) -> None:
    assert [path.stem[:2] for path in choose_notebooks(["01", "00"], folder)] == ["01", "00"]


def test_a_path_may_lead_anywhere(folder: Path, tmp_path: Path) -> None:
    own = write(tmp_path / "my own.ipynb")
    assert choose_notebooks([str(own)], folder) == [own]


@pytest.mark.parametrize("name", ["07_nothing", "", "elsewhere/01_fix_node_ips.ipynb", "ping"])
def test_an_unknown_name_is_refused_with_the_names_there_are(folder: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_notebooks([name], folder)
    assert all(known in caught.value.remedy for known in NAMES)


def test_of_a_mistyped_name_the_one_that_is_most_like_it_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="there is no notebook '05_pign_tests'") as caught:
        choose_notebooks(["05_pign_tests"], folder)
    assert caught.value.remedy == "did you mean 05_ping_tests?"


def test_a_beginning_of_several_names_is_refused_with_those(folder: Path) -> None:
    with pytest.raises(InputError, match="several") as caught:
        choose_notebooks(["05"], folder)
    assert caught.value.remedy == "name one of: 05_ping_tests, 05_pong_tests"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nbformat": 3, "cells": []}', "not JSON"])
def test_a_file_that_is_no_notebook_is_refused_before_anything_runs(folder: Path, tmp_path: Path, text: str) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text(text)
    with pytest.raises(InputError, match="not a notebook") as caught:
        choose_notebooks(["00", str(broken)], folder)
    assert caught.value.place == str(broken)


def test_a_folder_without_notebooks_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no notebooks"):
        choose_notebooks([], tmp_path)


def test_what_notebooks_changed_is_taken_back_the_last_first(folder: Path) -> None:
    undos = folder / "undo"
    undos.mkdir()
    wanted = [write(undos / "05_undo.ipynb"), write(undos / "01_undo.ipynb")]
    assert undoing(choose_notebooks(["01", "05_pi"], folder)) == wanted
    assert choose_notebooks(["05_undo", "01_undo"], folder) == wanted, "as --resume names them"
    assert choose_notebooks(["01"], folder) == [folder / "01_fix_node_ips.ipynb"]


def test_a_notebook_that_has_no_undo_is_refused_with_those_that_have_one(folder: Path) -> None:
    (folder / "undo").mkdir()
    write(folder / "undo" / "01_undo.ipynb")
    with pytest.raises(InputError, match=r"(?s)09_clean_up changes nothing on the hosts.*remedy: 01 can be undone"):
        undoing(choose_notebooks(["01", "09"], folder))
    with pytest.raises(InputError, match=r"name them: \./runbook run 01 --undo"):
        undoing([])
