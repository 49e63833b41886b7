"""``./runbook docs`` makes pages without a warning, and stops at links and names that lead nowhere."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

from runbook_lib.cli import main
from runbook_lib.cli.docs import build
from runbook_lib.errors import ExitCode

PROJECT = Path(__file__).parents[3]
# Sphinx runs in a process of its own, for a project that may lack the package.
pytestmark = pytest.mark.usefixtures("_this_package")
#: What `run` and its parts are in the reference.
CLASSES = {
    "run": "Session",
    "run.read": "Readings",
    "run.inspect": "Inspection",
    "run.steps": "StepCatalog",
    "run.external": "ExternalAddresses",
    "archive": "ArchiveView",
}
#: Plain attributes of `run`, which the reference tells of in words.
ATTRIBUTES = ("run.parameters", "run.inventory", "run.control_plane", "run.notebook")


@pytest.fixture(scope="module")
def _this_package() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT))
        yield


@pytest.fixture(scope="module")
def pages(_this_package: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pages")
    assert build(PROJECT, target, "html") == ExitCode.PASS
    return target / "html"


def test_every_paper_is_a_page(pages: Path) -> None:
    sources = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    made = [
        pages / source.relative_to(PROJECT).with_suffix(".html") for source in sources if "_build" not in source.parts
    ]
    assert [page for page in made if not page.is_file()] == []


def test_the_reference_has_everything_that_notebooks_call(pages: Path) -> None:
    known = {name.rpartition("runbook_lib.")[2] for name in _inventory(pages)}
    documented = {".".join(name.split(".")[-2:]) for name in known}
    called = set(_calls())
    assert len(called) > 60
    missing = [call for call in called if _documented_as(call) not in documented]
    assert sorted(missing) == []


def test_the_reference_has_what_notebooks_import(pages: Path) -> None:
    imported = {
        f"{node.module}.{alias.name}"
        for source in _sources()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runbook_lib")
        for alias in node.names
    }
    assert len(imported) >= 5
    assert imported - set(_inventory(pages)) == set()


FAULTS = {
    "nowhere.md": "[a page](nowhere.md)",
    "no-such-part": "[a part](index.md#no-such-part)",
    "none.yaml": "[a file](../params/none.yaml)",
    "none.svg": "![a picture](images/none.svg)",
    "no_such_function": "```{eval-rst}\n.. autofunction:: runbook_lib.records.no_such_function\n```",
    "records.no_such_name": "```{eval-rst}\n:py:func:`runbook_lib.records.no_such_name`\n```",
}


def test_links_and_names_that_lead_nowhere_are_each_told_and_are_errors(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    (project / "docs").mkdir(parents=True)
    shutil.copy(PROJECT / "docs/conf.py", project / "docs")
    good = "# A page\n\n## A part\n\n[a part](#a-part), [itself](index.md), [its making](conf.py)\n"
    (project / "docs/index.md").write_text(good)
    assert build(project, tmp_path / "pages", "html") == ExitCode.PASS
    assert capfd.readouterr().err == ""
    (project / "docs/index.md").write_text("\n\n".join([good, *FAULTS.values()]))
    assert build(project, tmp_path / "pages", "html") == ExitCode.CHECK_FAILED
    told = capfd.readouterr().err
    assert [fault for fault in FAULTS if fault not in told] == []


def test_without_sphinx_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["docs"]) == ExitCode.BAD_INPUT
    assert "lacks sphinx, myst_parser, grimp\n  remedy: call ./runbook docs of a checkout" in capsys.readouterr().err


def _inventory(pages: Path) -> list[str]:
    data = (pages / "objects.inv").read_bytes()
    objects = InventoryFile.loads(data, uri="")
    return [name for kind, names in objects.data.items() if kind.startswith("py:") for name in names]


def _sources() -> Iterator[str]:
    for path in (PROJECT / "notebooks").rglob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def _calls() -> Iterator[str]:
    """Every ``run.x``, ``run.read.x``, … and ``archive.x`` of the notebooks, by its whole name."""
    for source in _sources():
        for found in re.findall(r"(?<![\w.])(?:run|archive)(?:\.\w+)+", source):
            if not found.startswith(ATTRIBUTES):
                yield found


def _documented_as(call: str) -> str:
    """The end of a call's name in the reference: ``run.read.members`` is ``Readings.members``."""
    words = call.split(".")
    part = ".".join(words[:2]) if ".".join(words[:2]) in CLASSES and len(words) > 2 else words[0]
    return f"{CLASSES[part]}.{words[part.count('.') + 1]}"
