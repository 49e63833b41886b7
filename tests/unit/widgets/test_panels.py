"""Panels over a cluster whose nodes are all gone, and where there is no ipywidgets."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import UnreachableError
from runbook_lib.session import Session
from runbook_lib.session.views.display import NOT_INSTALLED, attended, installed
from runbook_lib.widgets import connections, live_matrix, step_panel
from runbook_lib.widgets.clusters import THIS, ClusterChooser
from tests.unit.session.conftest import Displayed
from tests.waiting import PATIENCE_SECONDS

Open = Callable[..., Session]


@pytest.mark.parametrize("panel", [connections, live_matrix])
def test_a_panel_that_is_opened_when_no_node_answers_ends_its_cell_as_a_table_does(
    panel: Callable[[Session], Any], open_session: Open
) -> None:
    with pytest.raises(UnreachableError, match="node1"):
        panel(open_session())


def test_a_step_panel_shows_each_node_that_does_not_answer(open_session: Open) -> None:
    run = open_session()
    panel = step_panel(run, run.steps.run_containers())
    assert list(panel.table["status"]) == ["unreachable", "unreachable"]
    panel.apply()
    assert panel.wait(PATIENCE_SECONDS)
    assert panel.message.startswith("StepFailed")
    assert "node1" in panel.message
    assert panel.progress == 1.0
    assert list(run.finish()["what"]) == ["run containers"]


def test_without_anybody_in_front_of_it_a_panel_is_static(open_session: Open, displayed: Displayed) -> None:
    assert not attended()
    run = open_session()
    step_panel(run, run.steps.run_containers())._ipython_display_()
    assert set(displayed.bundles[-1]) == {"text/html", "text/plain"}
    assert "unreachable" in displayed.texts[-1]


def test_without_ipywidgets_there_are_plain_tables_and_one_line_that_says_so(
    open_session: Open, displayed: Displayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_session()
    panel = step_panel(run, run.steps.run_containers())
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("runbook_lib.widgets.panel.attended", lambda: True)
    assert not installed()
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        panel._ipython_display_()
    assert written.getvalue() == f"{NOT_INSTALLED}\n"
    assert "unreachable" in displayed.texts[-1]


def test_the_chooser_shows_the_cluster_of_a_valid_file(open_session: Open, inventory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "params"
    folder.mkdir()
    places = "[{name: alpine1, node: node1}]"
    (folder / "good.yaml").write_text(f"name: good\ninventory: {inventory}\ncontainers: {places}\n")
    panel = ClusterChooser(open_session(), folder)
    assert panel.overview["valid"].tolist() == ["yes", "yes"]
    panel.choose("good.yaml")
    text = panel.evidence._repr_mimebundle_()["text/plain"]
    assert "192.168.99.101" in text
    assert "./runbook notebook -f" in text


def test_the_chooser_shows_faults_as_the_command_line_does(open_session: Open, tmp_path: Path) -> None:
    folder = tmp_path / "params"
    folder.mkdir()
    (folder / "bad.yaml").write_text("name: bad\nprobes: {count: 0}\nunknown: 1\n")
    panel = ClusterChooser(open_session(), folder)
    panel.choose("bad.yaml")
    text = panel.evidence._repr_mimebundle_()["text/plain"]
    assert "no: 3 faults" in text or "no: 2 faults" in text
    assert f"{folder / 'bad.yaml'}" in text
    assert "0 must be at least 1" in text
    panel.choose(THIS)
    assert "0 must be at least 1" not in panel.evidence._repr_mimebundle_()["text/plain"]


def test_the_choosers_list_drives_it(open_session: Open, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: [\n")
    panel = ClusterChooser(open_session(), tmp_path)
    dropdown = panel.controls.children[0]
    dropdown.value = "bad.yaml"
    assert panel.choice == "bad.yaml"
    assert "bad.yaml" in panel.controls.children[1].value
