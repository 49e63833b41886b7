"""The documentation is short where it promises it, and the commands and files that it names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from runbook_lib import cli

PROJECT = Path(__file__).parents[3]
PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted(path for path in (PROJECT / "docs").rglob("*.md") if "_build" not in path.parts),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    lines = (PROJECT / "README.md").read_text().splitlines()
    assert len(lines) < 180
    assert {"./runbook run", "./runbook test"} <= set(lines)


def test_the_changelog_keeps_to_its_form() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert [name for name in versions[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", name)] == []
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


@each_page
def test_every_command_that_a_page_names_is_one_with_these_options(page: Path) -> None:
    faults = [fault for words in _commands(page) if (fault := _fault(words))]
    assert faults == []


@each_page
def test_every_file_of_the_project_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:params|notebooks|tests|runbook_lib|docs)/[\w./-]+)`", _outside_examples(page))
    made = {"docs/_build/html"}
    assert [path for path in named if path not in made and not (PROJECT / path).exists()] == []


def test_commands_are_found_in_the_documentation() -> None:
    found = [words for page in PAGES for words in _commands(page)]
    assert len(found) > 50
    assert _fault(["nonsense"])
    assert _fault(["run", "--nonsense"])
    assert _fault(["testbed", "nonsense"])
    assert _fault(["test", "tests/nonsense"])


def _outside_examples(page: Path) -> str:
    """The text of a page without what a worked example adds to the project."""
    return re.sub(r"^```.*?^```$|^New file `[^`]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _without_added_tests(text: str) -> str:
    """The text without the tests that its worked examples add, which tests/unit/docs/test_contributing.py runs."""
    for path in re.findall(r"^New file `(tests/[^`]*)`", text, re.MULTILINE):
        text = text.replace(f"./runbook test {path}\n", "")
    return text


def _commands(page: Path) -> Iterator[list[str]]:
    """The words after each ``./runbook`` in a page: in its code, inline or in blocks."""
    text = _without_added_tests(page.read_text())
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`]*)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    for code in [*lines, *(" ".join(code.split()) for code in inline)]:
        for found in re.findall(r"\./runbook( [^|>)\"#]*)?", code.partition("  #")[0]):
            yield shlex.split(found)


def _fault(words: list[str]) -> str:
    """What is wrong with the words after ``./runbook``; empty when the command line would take them."""
    told = " ".join(["./runbook", *words])
    command: Any = get_command(cli.app)
    rest = list(words)
    while hasattr(command, "resolve_command") and rest and not rest[0].startswith("-"):
        context = command.make_context("runbook", [], resilient_parsing=True)
        _, command, rest = command.resolve_command(context, rest)
        if command is None:
            return f"{told}: no such command"
    if command.context_settings.get("ignore_unknown_options"):  # `test`, which hands its words on to pytest
        missing = [word for word in rest if word.startswith("tests/") and not (PROJECT / word).exists()]
        return f"{told}: there is no {', '.join(missing)}" if missing else ""
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    before_dashes = rest[: rest.index("--")] if "--" in rest else rest
    unknown = [word for word in before_dashes if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{told}: no option {', '.join(unknown)}" if unknown else ""
