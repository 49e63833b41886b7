"""Where executed notebooks go."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.execute.records import create_run_folder, unused_name


def test_the_folder_is_named_for_utc_time_and_cluster(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path / "records", "testbed")
    assert folder.is_dir()
    assert re.fullmatch(r"\d{8}T\d{6}Z_testbed", folder.name)


def test_runs_that_begin_in_the_same_second_do_not_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path, "testbed"), range(40)))
    assert len(set(folders)) == 40
    assert all(folder.is_dir() for folder in folders)


def test_a_folder_that_cannot_be_made_is_refused_with_another_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        create_run_folder(tmp_path / "file" / "records", "testbed")
    assert "--records" in caught.value.remedy


def test_a_notebook_that_runs_twice_has_two_records(tmp_path: Path) -> None:
    (tmp_path / "03_create_overlay.ipynb").touch()
    (tmp_path / "03_create_overlay_2.ipynb").touch()
    assert unused_name(tmp_path, "03_create_overlay").name == "03_create_overlay_3.ipynb"
