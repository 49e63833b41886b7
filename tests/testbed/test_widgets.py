"""Panels over a real cluster: from Python, and in a real kernel with front ends as JupyterLab's tabs are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session as JupyterSession

from runbook_lib.cluster import Cluster
from runbook_lib.facts.docker.containers import find_container
from runbook_lib.model.loading import Run
from runbook_lib.session import Session, start
from runbook_lib.session.catalog import StepCatalog
from runbook_lib.session.questions.store_wait import wait_for_store
from runbook_lib.steps import require_success, run_step, run_steps
from runbook_lib.testbed import Testbed
from runbook_lib.widgets import connections, live_matrix, step_panel
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.testbed

PROJECT = Path(__file__).parents[2]
FIRST, SECOND, NETWORK = "alpine1", "alpine2", "ovr0"

TOGGLE = "next(w for w in panel._view._toggles.values() if w.tooltip == 'alpine1 on ovr0')"


@pytest.fixture(scope="module", autouse=True)
def overlay(run: Run) -> None:
    steps = StepCatalog(run.inventory, run.parameters)
    with Cluster(run.inventory) as cluster:
        require_success(run_step(cluster, steps.start_members()))
        assert wait_for_store(cluster, run.parameters).ready
        require_success(run_steps(cluster, [steps.join_gossip(), steps.create_network(), steps.run_containers()]))


@pytest.fixture
def given(run: Run) -> dict[str, Any]:
    return {"inventory": run.parameters.inventory, "addresses": {"allow_in_dhcp_pool": True}}


@pytest.fixture
def session(given: dict[str, Any]) -> Iterator[Session]:
    opened = start("06_disconnect_connect", given)
    yield opened
    opened.cluster.close()


def connected(cluster: Cluster) -> bool:
    """What Docker says of the first container."""
    found = find_container(cluster, FIRST)
    assert found is not None
    return NETWORK in found.networks


def toggles(panel: Any) -> dict[str, Any]:
    assert panel.controls is not None
    return {toggle.tooltip: toggle for toggle in panel._view._toggles.values()}


def test_a_toggle_really_disconnects_and_connects_and_picture_and_matrix_follow(
    session: Session, cluster: Cluster
) -> None:
    panel = connections(session)
    toggle, before = toggles(panel)[f"{FIRST} on {NETWORK}"], str(panel.picture)
    assert (toggle.value, toggle.description) == (True, "● connected")
    toggle.value = False
    assert panel.wait(PATIENCE_SECONDS)
    assert not connected(cluster)
    assert toggle.description == "○ disconnected"
    assert set(panel.matrix["by address"]) == {"– silent, as expected"}
    assert str(panel.picture) != before
    toggle.value = True
    assert panel.wait(PATIENCE_SECONDS)
    assert connected(cluster)
    assert panel.matrix["by name"].str.startswith("answers").all(), panel.matrix
    assert session.finish()["changed"].tolist() == [1, 1]


def test_what_is_toggled_quickly_ends_as_it_was_asked_last(session: Session, cluster: Cluster) -> None:
    panel, other = connections(session), connections(session)
    toggle = toggles(panel)[f"{FIRST} on {NETWORK}"]
    for value in (False, True, False):
        toggle.value = value
    other.switch(FIRST, NETWORK, True)
    assert panel.wait(PATIENCE_SECONDS)
    assert other.wait(PATIENCE_SECONDS)
    assert panel.wait(PATIENCE_SECONDS)
    assert connected(cluster)
    assert (toggle.value, toggle.description) == (True, "● connected")
    assert not panel.message.startswith("StepFailed")


def test_a_step_panel_goes_from_plan_to_verification(session: Session) -> None:
    panel = step_panel(session, session.steps.connect())
    assert panel.controls is not None
    assert panel.message.startswith("planned, nothing was changed")
    panel.apply()
    assert panel.wait(PATIENCE_SECONDS)
    assert sorted(panel.table["status"]) == ["ok", "skipped", "skipped", "skipped"]
    assert (panel.progress, panel.busy) == (1.0, False)


def test_a_step_that_is_stopped_while_it_waits_changes_nothing_and_frees_its_panel(
    session: Session, cluster: Cluster
) -> None:
    leaving, returning = (
        step_panel(session, session.steps.disconnect()),
        step_panel(session, session.steps.connect()),
    )
    leaving.apply()
    returning.apply()  # waits: one cluster's steps are done one after the other
    returning.stop()
    assert leaving.wait(PATIENCE_SECONDS)
    assert returning.wait(PATIENCE_SECONDS)
    assert not connected(cluster)
    assert not returning.busy
    assert returning.message.startswith("stopped: ")
    assert "changed" not in set(returning.table["status"])
    returning.apply()
    assert returning.wait(PATIENCE_SECONDS)
    assert connected(cluster)
    assert not returning.message.startswith("stopped")


def test_a_step_that_is_stopped_while_it_applies_tells_the_truth_of_every_node(
    session: Session, cluster: Cluster
) -> None:
    panel = step_panel(session, session.steps.disconnect())
    panel.apply()
    wait_until(lambda: "applying" in panel.states.values() or not panel.busy)
    panel.stop()
    assert panel.wait(PATIENCE_SECONDS)
    assert connected(cluster) is ("changed" not in set(panel.table["status"]))
    again = step_panel(session, session.steps.connect())
    again.apply()
    assert again.wait(PATIENCE_SECONDS)
    assert connected(cluster)


class Tab:
    """A front end of a kernel."""

    def __init__(self, manager: KernelManager) -> None:
        # Clients of one manager share its session, whose identity only one of them can have at the kernel.
        own = JupyterSession(key=manager.session.key)
        self.client: BlockingKernelClient = manager.client(session=own)
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell as somebody in front of it does, and return its outputs."""
        outputs: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(
            code,
            allow_stdin=True,
            timeout=2 * PATIENCE_SECONDS,
            output_hook=outputs.append,
            stdin_hook=lambda message: None,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return [message["content"] for message in outputs]

    def error(self, code: str) -> str:
        """Run a cell, and return the name of the error in which it ends, if it does."""
        reply = self.client.execute_interactive(
            code, allow_stdin=True, timeout=2 * PATIENCE_SECONDS, output_hook=lambda message: None
        )
        return str(reply["content"].get("ename", ""))

    def text(self, expression: str) -> str:
        """What a cell prints for an expression."""
        return "".join(output.get("text", "") for output in self.run(f"print({expression})")).strip()

    def click(self, model: str, value: bool) -> None:
        """Set a toggle's value as a browser does."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", {"comm_id": model, "data": data}))


@contextmanager
def kernel() -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def opening(given: dict[str, Any]) -> str:
    return f"""
from runbook_lib.session import start
from runbook_lib.widgets import connections, live_matrix
run = start("06_disconnect_connect", {given!r})
panel = connections(run)
panel
"""


def test_two_tabs_drive_one_panel_and_a_kernel_that_is_restarted_in_the_middle_shows_what_is(
    given: dict[str, Any], cluster: Cluster
) -> None:
    with kernel() as manager:
        one, two = Tab(manager), Tab(manager)
        shown = [output["data"] for output in one.run(opening(given)) if "data" in output]
        assert "application/vnd.jupyter.widget-view+json" in shown[-2]
        assert "alpine1" in shown[-1]["text/plain"]
        model = one.text(f"{TOGGLE}.model_id")
        one.click(model, False)
        one.text("'the kernel has it'")  # two front ends have a connection each: nothing else orders their clicks
        two.click(model, True)
        assert two.text("panel.wait(120)") == "True"
        assert connected(cluster)
        assert two.text(f"{TOGGLE}.value") == "True"

        two.click(model, False)
        manager.restart_kernel(now=True)
        again = Tab(manager)
        assert again.text("'panel' in globals()") == "False"
        again.run(opening(given))
        again.text("panel.look() or panel.wait(120)")
        assert again.text(f"{TOGGLE}.value") == str(connected(cluster))
        again.run("panel.switch('alpine1', 'ovr0', True)")
        assert again.text("panel.wait(120)") == "True"
        assert connected(cluster)


def test_a_notebook_that_is_run_from_its_end_to_its_beginning_says_what_is_missing_and_then_runs_in_order(
    given: dict[str, Any],
) -> None:
    notebook = nbformat.read(PROJECT / "notebooks" / "06_disconnect_connect.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code" and "run = start(" not in cell.source]
    parameters, *others = cells
    assert "control_plane" in parameters
    with kernel() as manager:
        tab = Tab(manager)
        tab.run(opening(given))
        ends = {tab.error(cell) for cell in reversed(others)}
        # A name that an earlier cell gives, or a check of ours that does not hold; never a defect.
        assert {"", "NameError"} < ends <= {"", "NameError", "CheckFailed", "PreconditionError"}
        # Backwards it ends with the container disconnected: the notebook says so, and that notebook 04 mends it.
        assert tab.error(others[0]) == "PreconditionError"
        tab.run("run.apply(run.steps.run_containers())")
        assert [cell for cell in others if tab.error(cell)] == []


def test_an_interrupt_stops_the_live_matrix_and_until_then_it_blocks_no_cell(given: dict[str, Any]) -> None:
    with kernel() as manager:
        tab = Tab(manager)
        tab.run(opening(given))
        tab.run("matrix = live_matrix(run)\nmatrix")
        tab.run("matrix.start()")
        assert tab.text("1 + 1, matrix.running") == "2 True"
        wait_until(lambda: int(tab.text("matrix.readings")) >= 2, pause=0.1)
        assert tab.text("matrix.running") == "True"
        manager.interrupt_kernel()
        wait_until(lambda: tab.text("matrix.running or not matrix.wait(10)") == "False", pause=0.1)
        assert tab.text("matrix.message").startswith("stopped after")


def test_panels_whose_cluster_is_gone_say_so_and_go_on_to_be_usable(session: Session, testbed: Testbed) -> None:
    panel, matrix = connections(session), live_matrix(session)
    toggle = toggles(panel)[f"{FIRST} on {NETWORK}"]
    testbed.poweroff(hard=True)
    toggle.value = False
    assert panel.wait(PATIENCE_SECONDS)
    assert "UnreachableError" in panel.message or "StepFailed" in panel.message
    assert (toggle.value, toggle.description) == (True, "● connected")
    matrix.start()
    assert matrix.wait(PATIENCE_SECONDS)
    assert not matrix.running
    assert "UnreachableError" in matrix.message
    assert SECOND in panel.evidence._repr_mimebundle_()["text/plain"]
