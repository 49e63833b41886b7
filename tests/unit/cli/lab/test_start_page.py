"""The page that JupyterLab opens on says what is to be learned, how the cluster is, and how to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.cli.lab.copies import Copies, ResetLinks
from runbook_lib.cli.lab.start_page import PAGE, QUESTIONS, lessons, page, write_start_page
from runbook_lib.model import commands
from runbook_lib.session.questions.overview import NodeOverview, NotebookResultState, Overview
from runbook_lib.session.views.display import Picture

ROOT = Path(__file__).parents[4]
NOTEBOOKS = ROOT / "notebooks"
FILE = Path("/somewhere/mine.yaml")


def overview(*made: bool) -> Overview:
    notebooks = ("01_fix_node_ips", "02_autostart_etcd", "03_create_overlay", "04_run_containers")
    return Overview(
        cluster="lab",
        nodes=[
            NodeOverview("node1", "192.168.99.31", "static", "20.10.24", ("alpine1",), ("etcd1", "web_1")),
            NodeOverview("node2", trouble="no route | <to> host"),
        ],
        notebook_results=[
            NotebookResultState(name, f"what {name} makes", there, "found it")
            for name, there in zip(notebooks, made, strict=True)
        ],
        picture=Picture("<svg/>", "a picture\nand more"),
    )


def test_every_notebook_is_on_the_learning_path_with_question_minutes_and_changes() -> None:
    path = lessons(NOTEBOOKS)
    assert [lesson.name for lesson in path] == sorted(item.stem for item in NOTEBOOKS.glob("[0-9]*.ipynb"))
    for lesson in path:
        assert lesson.question.endswith("?"), lesson
        assert lesson.changes, lesson
        assert 1 <= lesson.minutes <= 30, lesson


def test_the_readme_asks_the_same_questions() -> None:
    readme = (ROOT / "README.md").read_text().lower()
    assert all(QUESTIONS[lesson.name].lower() in readme for lesson in lessons(NOTEBOOKS))


def test_the_first_notebook_whose_result_is_missing_is_the_next_one() -> None:
    text = page(lessons(NOTEBOOKS), overview(True, False, False, False), FILE)
    rows = {line[2:].partition(" ")[0].lstrip("["): line for line in text.splitlines() if line.startswith("| [")}
    assert rows["01"].endswith("| ✓ made |")
    assert rows["02"].endswith("| next |")
    assert rows["03"].endswith("| not yet |")
    assert rows["05"].endswith("|  |")
    assert "Go on with `02_autostart_etcd`." in text


def test_the_page_reads_as_plain_text() -> None:
    text = page(lessons(NOTEBOOKS), overview(True, True, True, True), FILE)
    assert "| node1 | 192.168.99.31 | static | 20.10.24 | alpine1 | etcd1, web\\_1 |" in text
    assert "| node2 | no route \\|  to  host |" in text
    assert "All results of the walkthrough exist." in text
    assert "![a picture](images/now.svg)" in text
    assert "**Ctrl-C**" in text
    assert "is: `./runbook testbed down` removes the testbed, `./runbook notebook` comes back to it." in text


def test_the_commands_on_the_page_are_for_the_cluster_that_it_shows() -> None:
    commands.at_hand(Path("params/learn.yaml"), testbed="learn")
    text = page(lessons(NOTEBOOKS), overview(True, True, True, True), FILE)
    assert "`./runbook testbed down --name learn` removes the testbed" in text
    assert "`./runbook notebook -f params/learn.yaml` comes back to it" in text
    assert "executes the original, without exercises, and leaves one: `./runbook run 05 -f params/learn.yaml`" in text
    commands.at_hand(Path("params/mine.yaml"))
    text = page(lessons(NOTEBOOKS), overview(True, True, True, True), FILE)
    assert "testbed down" not in text


def test_a_cluster_that_is_not_there_is_told_of_and_the_path_is_shown_all_the_same(tmp_path: Path) -> None:
    parameters = tmp_path / "mine.yaml"
    parameters.write_text("inventory: testbed:nowhere\n")
    copies = Copies(NOTEBOOKS, tmp_path / "copies")
    copies.update()
    links = ResetLinks(copies)
    write_start_page(links, parameters)
    text = (copies.folder / PAGE).read_text()
    assert "the testbed 'nowhere' is not up" in text
    assert "./runbook testbed up --name nowhere" in text
    assert "[00 · Meet the cluster](00_meet_the_cluster.ipynb)" in text
    assert f"| [reset]({links.link('00_meet_the_cluster.ipynb')}) |" in text


def test_a_page_that_cannot_be_written_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / PAGE).mkdir()
    with pytest.raises(IsADirectoryError):
        write_start_page(ResetLinks(Copies(NOTEBOOKS, tmp_path)), tmp_path / "none.yml")
    assert [path.name for path in tmp_path.iterdir()] == [PAGE]


def test_the_page_says_whose_notebooks_these_are_and_that_what_is_run_here_leaves_no_record() -> None:
    commands.at_hand(FILE)
    yours = {"05_ping_tests.ipynb": "changed by you, [reset](reset/05_ping_tests-a0.md)"}
    text = page(lessons(NOTEBOOKS), overview(True, True, True, True), FILE, yours=yours)
    (row,) = [line for line in text.splitlines() if "(05_ping_tests.ipynb)" in line]
    assert row.endswith("| changed by you, [reset](reset/05_ping_tests-a0.md) |  |")
    command = f"`./runbook run 05 -f {FILE}`"
    for sentence in ("These notebooks are your copies", "the originals stay as committed", "leaves no record", command):
        assert sentence in text


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_question_is_one_line(name: str) -> None:
    assert "\n" not in QUESTIONS[name]
    assert "|" not in QUESTIONS[name]
