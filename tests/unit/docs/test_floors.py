"""The picture of the layers is that of the code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("floors", PROJECT / "docs/floors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["floors"] = module
    spec.loader.exec_module(module)
    return module


def test_the_committed_picture_is_what_the_code_gives_now(drawing: ModuleType) -> None:
    drawn = drawing.draw(drawing.floors())
    assert drawing.PICTURE.read_text() == drawn, "call ./runbook docs, which draws it again, and commit it"


def test_every_package_is_in_one_layer_and_uses_only_lower_ones(drawing: ModuleType) -> None:
    rows = drawing.floors()
    names = [package.name for row in rows for package in row]
    there = {path.stem for path in (PROJECT / "runbook_lib").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(names) == sorted(there - {"__init__", "__pycache__", "py"})
    for place, row in enumerate(rows):
        below = {package.name for lower in rows[place + 1 :] for package in lower}
        assert all(set(package.uses) <= below for package in row)


def test_what_is_used_and_owned_is_read_from_the_imports_and_the_contracts(drawing: ModuleType) -> None:
    packages = {package.name: package for row in drawing.floors() for package in row}
    assert packages["cluster"].uses == ("transport",)
    assert packages["widgets"].libraries == ("ipywidgets",)
    assert "ssh" in packages["transport"].subpackages


def test_long_lines_are_wrapped_and_boxes_stand_side_by_side(drawing: ModuleType) -> None:
    wide = drawing.Package("wide", (), tuple(f"package{number}" for number in range(30)), ())
    picture = drawing.draw([[wide, drawing.Package("small", ("a", "b"), (), ("library",))]])
    assert picture.count('class="uses"') > 5
    assert 'class="subpackages" x="475" y="53">a &gt; b<' in picture
    assert ">owns library<" in picture
