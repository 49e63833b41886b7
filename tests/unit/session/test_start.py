from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.parameterize import parameterize_notebook

from runbook_lib.errors import InputError, KeyFileError, ParameterError
from runbook_lib.model import commands
from runbook_lib.model.events import StartEvent
from runbook_lib.session import start
from runbook_lib.session.start import _by_command


def injected(**parameters: Any) -> str:
    """The cell that papermill puts into a notebook for these parameters."""
    cell = nbformat.v4.new_code_cell("name = 'testbed'", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel, "papermill": {}})
    cells = parameterize_notebook(notebook, parameters).cells
    (source,) = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    return str(source)


def namespace(inventory: Path, **parameters: Any) -> dict[str, Any]:
    """A kernel's globals after papermill's cell has run; names of the notebook's own code are there too."""
    given = {"inventory": str(inventory), "containers": [], **parameters}
    return {**given, "In": ["", injected(**given), "scratch = 1"], "scratch": 1, "start": start}


def test_a_session_opens_with_the_notebook_s_own_globals(inventory: Path, displayed) -> None:
    run = start("00_meet_the_cluster", namespace(inventory, name="lab", plan=True))
    assert run.nodes == {"node1", "node2"}
    assert displayed.events == [StartEvent(notebook="00_meet_the_cluster", cluster="lab", plan=True)]
    assert displayed.texts[0].endswith("2 nodes (plan mode: nothing is changed)")


@pytest.mark.parametrize(
    ("notebook", "told"),
    [
        ("01_fix_node_ips", ["to undo it by command: ./runbook run 01 --undo -f learn.yaml"]),
        ("02_undo", ["this notebook by command: ./runbook run 02 --undo -f learn.yaml"]),
        (
            "09_clean_up",
            [
                "this notebook by command: ./runbook run 09 -f learn.yaml",
                "all others again: ./runbook run -f learn.yaml",
            ],
        ),
        ("05_ping_tests", []),
    ],
)
def test_commands_that_a_notebook_speaks_of_name_its_own_cluster(
    inventory: Path, displayed, capsys: pytest.CaptureFixture[str], notebook: str, told: list[str]
) -> None:
    commands.at_hand(Path("learn.yaml"), inventory=str(inventory))
    start(notebook, namespace(inventory))
    assert [line for line in capsys.readouterr().out.splitlines() if "./runbook" in line] == told


def test_only_a_testbed_is_removed_and_that_by_its_own_name() -> None:
    commands.at_hand(Path("learn.yaml"), testbed="learn")
    told = _by_command("09_clean_up", testbed="learn").splitlines()
    assert told[-1] == "to remove the testbed: ./runbook testbed down --name learn"


def test_nodes_that_are_down_are_shown_and_do_not_end_the_session_yet(inventory: Path, displayed) -> None:
    start("00_meet_the_cluster", namespace(inventory))
    table = displayed.texts[1]
    assert "docker@127.0.0.1:1" in table
    assert "no: no SSH connection" in table


def test_parameters_that_a_later_cell_sets_again_are_refused_for_that_cell_lost_its_tag(
    inventory: Path, displayed
) -> None:
    names = namespace(inventory, name="lab")
    own = "name = 'testbed'\ninventory = 'testbed:runbook'\ncontainers = []"
    names |= {"name": "testbed", "inventory": "testbed:runbook", "In": [*names["In"], own]}
    with pytest.raises(InputError, match="inventory, name was given, but a later cell") as caught:
        start("05_ping_tests", names)
    assert "the tag 'parameters'" in caught.value.remedy
    assert displayed.events == []


def test_a_cell_that_sets_what_the_notebook_set_before_it_was_given_is_somebody_at_work(inventory: Path) -> None:
    names = namespace(inventory, name="lab")
    names |= {"name": "mine", "In": ["name = 'testbed'", *names["In"], "name = 'mine'"]}
    assert start("05_ping_tests", names).parameters.name == "mine"


def test_a_parameter_that_papermill_injected_and_nobody_knows_is_refused(inventory: Path, displayed) -> None:
    with pytest.raises(ParameterError, match="probe_count") as caught:
        start("05_ping_tests", namespace(inventory, probe_count=5))
    assert len(caught.value.faults) == 1
    assert displayed.events == []


def test_names_that_the_notebook_s_own_cells_make_are_no_parameters(inventory: Path, displayed) -> None:
    assert start("05_ping_tests", namespace(inventory)).wanted == 0


def test_every_fault_is_told_at_once_the_unknown_name_among_them(inventory: Path, displayed) -> None:
    wrong = {"probes": {"count": 0}, "overlay": {"name": "ovr0; reboot"}, "etdc": {}}
    with pytest.raises(ParameterError) as caught:
        start("05_ping_tests", namespace(inventory, **wrong))
    places = " ".join(fault.place for fault in caught.value.faults)
    assert len(caught.value.faults) == 3
    for place in ("probes", "overlay", "etdc"):
        assert place in places
    assert displayed.events == []


def test_a_key_that_others_may_read_is_refused_before_any_node_is_asked(inventory: Path, displayed) -> None:
    (inventory.parent / "key").chmod(0o644)
    with pytest.raises(KeyFileError, match="key"):
        start("05_ping_tests", namespace(inventory))
    assert displayed.texts == []
