"""A learner works on copies: kept, following their originals where nothing is lost by it, reset on request."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import cli
from runbook_lib.cli.lab.copies import Copies, ResetLinks
from runbook_lib.errors import InputError
from runbook_lib.model.locations import copies_folder

ROOT = Path(__file__).parents[4]
NOTEBOOK = "05_ping_tests.ipynb"


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    """The real notebooks' copies, made."""
    originals = tmp_path / "checkout" / "notebooks"
    shutil.copytree(ROOT / "notebooks", originals)
    made = Copies(originals, tmp_path / "checkout" / ".overlay-runbook" / "notebooks")
    assert made.update() == ()
    return made


def notebook(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def edit(path: Path, cell: int, **fields: object) -> None:
    """Change a code cell as JupyterLab saves it."""
    content = notebook(path)
    [each for each in content["cells"] if each["cell_type"] == "code"][cell] |= fields
    path.write_text(json.dumps(content, indent=1))


def code(path: Path, cell: int) -> dict[str, Any]:
    return dict([each for each in notebook(path)["cells"] if each["cell_type"] == "code"][cell])


def state(copies: Copies, path: str = NOTEBOOK) -> tuple[bool, bool]:
    (found,) = [copy for copy in copies.states() if copy.path == path]
    return found.changed, found.outdated


def test_every_notebook_solution_undo_and_picture_has_its_copy_at_the_same_place(copies: Copies) -> None:
    for part in ("*.ipynb", "solutions/*.ipynb", "undo/*.ipynb", "images/*.svg"):
        originals = sorted(copies.originals.glob(part))
        assert originals
        for original in originals:
            assert (copies.folder / original.relative_to(copies.originals)).read_bytes() == original.read_bytes()


def test_answers_stay_from_one_start_to_the_next_and_the_originals_are_as_committed(copies: Copies) -> None:
    before = (copies.originals / NOTEBOOK).read_bytes()
    edit(copies.folder / NOTEBOOK, -1, source="a = run.exercise('05-a', prediction='one')")
    assert copies.update() == ()
    assert "prediction='one'" in code(copies.folder / NOTEBOOK, -1)["source"]
    assert (copies.originals / NOTEBOOK).read_bytes() == before
    assert state(copies) == (True, False)


def test_a_copy_that_was_only_run_follows_a_newer_original_and_keeps_what_its_cells_showed(copies: Copies) -> None:
    shown = [{"output_type": "stream", "name": "stdout", "text": "seen"}]
    edit(copies.folder / NOTEBOOK, 1, outputs=shown, execution_count=1)
    edit(copies.folder / NOTEBOOK, 2, outputs=shown, execution_count=2)
    content = notebook(copies.folder / NOTEBOOK)
    content["cells"].append({"cell_type": "code", "id": "new", "source": "", "metadata": {}, "outputs": []})
    (copies.folder / NOTEBOOK).write_text(json.dumps(content))
    assert state(copies) == (False, False)
    edit(copies.originals / NOTEBOOK, 2, source="better()")
    assert copies.update() == ("05_ping_tests: the original is newer, and your copy is updated",)
    assert code(copies.folder / NOTEBOOK, 1)["outputs"] == shown
    assert code(copies.folder / NOTEBOOK, 2)["source"] == "better()"
    assert code(copies.folder / NOTEBOOK, 2)["outputs"] == []
    assert copies.update() == ()


def test_a_copy_with_changes_stays_when_its_original_is_newer_and_a_line_says_so_each_time(copies: Copies) -> None:
    edit(copies.folder / NOTEBOOK, 2, source="mine()")
    edit(copies.originals / NOTEBOOK, 3, source="better()")
    for _ in range(2):
        (line,) = copies.update()
        assert "05_ping_tests: the original is newer; your copy, which you changed, stays as it is" in line
        assert "./runbook notebook --reset 05_ping_tests" in line
    assert code(copies.folder / NOTEBOOK, 2)["source"] == "mine()"
    assert state(copies) == (True, True)
    copies.reset(NOTEBOOK)
    assert copies.update() == ()
    assert code(copies.folder / NOTEBOOK, 3)["source"] == "better()"


def test_a_picture_follows_its_original_and_a_copy_that_was_deleted_is_made_again(copies: Copies) -> None:
    (copies.originals / "images" / "cluster.svg").write_text("<svg/>")
    (copies.folder / NOTEBOOK).unlink()
    assert copies.update() == ()
    assert (copies.folder / "images" / "cluster.svg").read_text() == "<svg/>"
    assert state(copies) == (False, False)


def test_of_a_notebook_that_is_gone_only_a_copy_with_changes_is_left(copies: Copies) -> None:
    edit(copies.folder / NOTEBOOK, 2, source="mine()")
    for path in (NOTEBOOK, "04_run_containers.ipynb"):
        (copies.originals / path).unlink()
    copies.update()
    assert (copies.folder / NOTEBOOK).exists()
    assert not (copies.folder / "04_run_containers.ipynb").exists()


def test_reset_makes_a_copy_as_committed_and_keeps_what_was_changed_beside_it(copies: Copies) -> None:
    edit(copies.folder / NOTEBOOK, 2, source="mine()")
    kept = copies.reset(NOTEBOOK)
    assert kept is not None
    assert kept.parent == copies.folder
    assert code(kept, 2)["source"] == "mine()"
    assert (copies.folder / NOTEBOOK).read_bytes() == (copies.originals / NOTEBOOK).read_bytes()
    assert copies.reset(NOTEBOOK) is None
    with pytest.raises(InputError, match="unknown notebook"):
        copies.reset("../notebooks/05_ping_tests.ipynb")


def test_a_copy_that_cannot_be_read_counts_as_changed_and_can_be_reset(copies: Copies) -> None:
    (copies.folder / NOTEBOOK).write_text("{")
    assert state(copies) == (True, False)
    assert copies.update() == ()
    kept = copies.reset(NOTEBOOK)
    assert kept is not None
    assert kept.read_text() == "{"


def test_a_link_resets_when_its_page_is_read_and_never_again(copies: Copies) -> None:
    links = ResetLinks(copies)
    page = links.link(NOTEBOOK)
    edit(copies.folder / NOTEBOOK, 2, source="mine()")
    links.opened(page, content=False)
    assert code(copies.folder / NOTEBOOK, 2)["source"] == "mine()"
    links.opened(page, content=True)
    text = (copies.folder / page).read_text()
    assert "# 05_ping_tests is as committed again" in text
    (kept,) = copies.folder.glob("05_ping_tests_before_reset_*.ipynb")
    assert f"](../{kept.name})" in text
    edit(copies.folder / NOTEBOOK, 2, source="mine, later")
    for later in (links, ResetLinks(copies)):  # the page is loaded anew, or the server is
        later.opened(page, content=True)
        assert code(copies.folder / NOTEBOOK, 2)["source"] == "mine, later"
        assert (copies.folder / page).read_text() == text
    assert links.link(NOTEBOOK) != page


def test_a_link_of_an_earlier_session_resets_nothing_and_says_so(copies: Copies) -> None:
    page = ResetLinks(copies).link(NOTEBOOK)
    edit(copies.folder / NOTEBOOK, 2, source="mine()")
    ResetLinks(copies).opened(page, content=True)
    assert "# Nothing was reset" in (copies.folder / page).read_text()
    assert code(copies.folder / NOTEBOOK, 2)["source"] == "mine()"
    copies.update()
    assert not (copies.folder / page).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
def test_what_is_made_as_root_belongs_to_the_owner_of_the_checkout(tmp_path: Path) -> None:
    originals = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks" / "undo", originals)
    os.chown(originals, 1234, 1234)
    made = Copies(originals, tmp_path / ".overlay-runbook" / "notebooks")
    made.update()
    paths = [tmp_path / ".overlay-runbook", *(tmp_path / ".overlay-runbook").rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in paths} == {(1234, 1234)}


def test_a_folder_that_cannot_be_written_is_told_with_its_place(copies: Copies) -> None:
    shutil.rmtree(copies.folder)
    copies.folder.write_text("a file")
    with pytest.raises(InputError, match="the copies of the notebooks cannot be written"):
        copies.update()


def test_a_copy_that_cannot_be_written_leaves_nothing_beside_it(copies: Copies) -> None:
    path = copies.folder / "folder" / NOTEBOOK
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        copies.put(path, b"{}")
    assert list(path.parent.iterdir()) == [path]


def test_the_command_resets_by_a_notebooks_number_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.setattr("runbook_lib.cli.notebook.project_folder", lambda: tmp_path)
    made = Copies(tmp_path / "notebooks", tmp_path / ".overlay-runbook" / "notebooks")
    made.update()
    edit(made.folder / NOTEBOOK, 2, source="mine()")
    assert cli.main(["notebook", "--reset", "05", "--reset", "01_undo"]) == 0
    said = capfd.readouterr().err
    assert "05_ping_tests: your copy is as committed; what you had is kept as " in said
    assert "01_undo: your copy is as committed\n" in said
    assert state(made) == (False, False)
    assert cli.main(["notebook", "--reset", "55"]) == 2


def test_git_sees_nothing_of_the_copies() -> None:
    folder = copies_folder(ROOT).relative_to(ROOT)
    assert f"/{folder.parts[0]}/" in (ROOT / ".gitignore").read_text().splitlines()
