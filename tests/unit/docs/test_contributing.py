"""Every worked example in CONTRIBUTING.md is added to a copy of the project and run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from runbook_lib.execute.run.notebooks import choose_notebooks
from runbook_lib.session import Session

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text()
TITLES = ["fact", "step", "platform", "control plane", "table", "chart", "notebook", "error"]
LONGEST = 29
COPIED = ("runbook_lib", "tests", "notebooks", "docs", "params")


@dataclass(frozen=True)
class Example:
    """The new files of an example, its changes to files that are there, and the tests that it says to run."""

    title: str
    files: dict[str, str]
    changes: list[tuple[str, str]]
    tests: list[str]

    @property
    def length(self) -> int:
        """How many lines it adds to the project, without blank ones and without its tests."""
        own = [text for path, text in self.files.items() if not path.startswith("tests/")]
        added = [line[1:] for _, change in self.changes for line in change.splitlines() if line.startswith("+")]
        return sum(bool(line.strip()) for line in ["\n".join(own), *added] for line in line.splitlines())


def _example(text: str) -> Example:
    title = text.partition("\n")[0]
    files = dict(re.findall(r"^New file `([^`]+)`[^\n]*:\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    changes = re.findall(r"^```diff\n--- (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    tests = re.findall(r"^\./runbook test (\S+)$", text, re.MULTILINE)
    blocks = len(re.findall(r"^```(?:python|diff)$", text, re.MULTILINE))
    assert blocks == len(files) + len(changes), f"{title}: a block that is neither a new file nor a change"
    return Example(title, files, changes, tests)


EXAMPLES = [
    _example(text) for text in re.split(r"^### An? ", PAGE.partition("\n## Worked examples\n")[2], flags=re.M)[1:]
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all examples in it."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "_build", ".ipynb_checkpoints")
    for name in COPIED:
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    for example in EXAMPLES:
        _add(example, folder)
    return folder


def _add(example: Example, folder: Path) -> None:
    """Make the files and the changes of an example, except those that somebody who tried it has made already."""
    for path, text in example.files.items():
        there = (folder / path).read_text() if (folder / path).exists() else text
        assert there == text, f"{path} is there already, and is another"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    for path, change in example.changes:
        (folder / path).write_text(_changed((folder / path).read_text(), change))


def _changed(text: str, change: str) -> str:
    """The text after a change, each of whose parts has to fit one place in it."""
    for part in re.split(r"^@@\n", change, flags=re.MULTILINE):
        lines = [line or " " for line in part.splitlines()]
        for old, new in _runs(lines):
            if text.count(new) == 1 and text.count(old) == new.count(old):
                continue  # it is made already
            assert text.count(old) == 1, f"this is {text.count(old)} times in the file:\n{old}"
            text = text.replace(old, new)
    return text


def _runs(lines: list[str]) -> list[tuple[str, str]]:
    """What stands in the file and what is to stand there; a `-` after a `+` begins at another place of the file."""
    runs: list[list[str]] = [[]]
    for line in lines:
        if line[0] == "-" and any(earlier[0] == "+" for earlier in runs[-1]):
            runs.append([])
        runs[-1].append(line)
    return [
        (
            "".join(f"{line[1:]}\n" for line in run if line[0] != "+"),
            "".join(f"{line[1:]}\n" for line in run if line[0] != "-"),
        )
        for run in runs
    ]


def _call(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    # The examples' own tests boot no testbed, whatever the run around them must have.
    environment = {**os.environ, "PYTHONPATH": str(folder), "OVERLAY_RUNBOOK_REQUIRE_TESTBED": ""}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


def test_there_is_an_example_of_everything_that_is_added_often() -> None:
    assert [example.title for example in EXAMPLES] == TITLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_is_short_and_says_how_to_test_it(example: Example) -> None:
    assert 5 <= example.length <= LONGEST
    assert example.tests or example.title == "notebook"
    assert {path for path in example.files if path.startswith("tests/")} <= set(example.tests)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_that_somebody_has_tried_in_the_checkout_is_no_fault(copy: Path, example: Example) -> None:
    places = [copy / path for path in [*example.files, *dict(example.changes)]]
    before = [place.read_text() for place in places]
    _add(example, copy)
    assert [place.read_text() for place in places] == before


def test_the_tests_of_all_examples_pass(copy: Path) -> None:
    tests = [test for example in EXAMPLES for test in example.tests]
    done = _call(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_the_examples_keep_to_the_style_and_to_the_layers(copy: Path) -> None:
    touched = sorted({path for example in EXAMPLES for path in [*example.files, *dict(example.changes)]})
    for rules in (["check"], ["format", "--check", "--diff"]):
        done = _call(copy, "-m", "ruff", *rules, "--no-cache", *touched)
        assert done.returncode == 0, done.stdout
    done = _call(copy, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")
    assert done.returncode == 0, done.stdout


def test_the_notebook_is_one_that_can_be_run_and_calls_what_there_is(copy: Path) -> None:
    done = _call(copy, "own/make_notebook.py")
    assert done.returncode == 0, done.stderr
    (path,) = choose_notebooks([str(copy / "own/one_version.ipynb")], copy / "notebooks")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[1].metadata.tags == ["parameters"]
    code = "\n".join(cell.source for cell in notebook.cells[2:] if cell.cell_type == "code")
    compile(code, str(path), "exec")
    assert 'start("one_version", globals())' in code
    called = set(re.findall(r"\brun\.(\w+)", code))
    assert called == {"read", "expect", "finish"}
    assert called - {"read"} <= set(dir(Session))
