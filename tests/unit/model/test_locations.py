"""Where things are on this machine, and how a child process finds the same code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import runbook_lib
from runbook_lib.model.locations import import_path

HERE = str(Path(runbook_lib.__file__).resolve().parents[1])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [HERE]),
        ({"PYTHONPATH": ""}, [HERE]),
        ({"PYTHONPATH": f"/a::{HERE}:/b"}, [HERE, "/a", "/b"]),
    ],
)
def test_a_child_imports_this_code_first_and_keeps_its_own_folders(given: dict[str, str], expected: list[str]) -> None:
    assert import_path(given).split(os.pathsep) == expected


def test_without_an_environment_it_is_this_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert import_path() == f"{HERE}{os.pathsep}/mine"
