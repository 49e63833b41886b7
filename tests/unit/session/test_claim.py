"""A notebook has its cluster for itself: for a cell that changes or measures, and for a panel's work."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib.cluster import Cluster
from runbook_lib.errors import LockedError, RunbookError, StepFailed, UnreachableError
from runbook_lib.model.locations import LOCKS_VARIABLE
from runbook_lib.session import Session
from runbook_lib.widgets.connections import ConnectionPanel
from runbook_lib.widgets.step_panel import StepPanel

# Another page, or a command: a process of its own, which holds the cluster until its standard input ends.
OTHER = """
import sys
from runbook_lib.locking import take_locks
from runbook_lib.model.loading import load_run
with take_locks(load_run({"inventory": sys.argv[1], "containers": []}).inventory, "notebook 01_fix_node_ips"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path / "locks"))


@pytest.fixture
def other_page(inventory: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", OTHER, str(inventory)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def is_free(inventory: Path) -> bool:
    """Whether another page could work on the cluster now."""
    argv = [sys.executable, "-c", OTHER, str(inventory)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "LockedError" in done.stderr, done.stderr
    return done.returncode == 0


def run_step_of(run: Session) -> object:
    return run.apply(run.steps.connect())


@pytest.mark.parametrize(
    "work",
    [
        run_step_of,
        lambda run: run.power_cycle(),
        lambda run: run.ping(),
        lambda run: run.watch(run.steps.disconnect(), reachable=False),
        lambda run: run.gateway_experiment(),
        lambda run: run.wait_for_store(),
        lambda run: run.read.preflight(),
        lambda run: run.inspect.ping(),
        lambda run: run.inspect.mtu(),
        lambda run: run.external.look(),
        lambda run: run.external.addresses(),
    ],
)
def test_what_changes_or_measures_is_refused_while_another_page_works(
    open_session: Callable[..., Session], other_page: subprocess.Popen[str], work: Callable[[Session], object]
) -> None:
    run = open_session()
    with pytest.raises(LockedError) as caught:
        work(run)
    assert "the cluster is in use: notebook 01_fix_node_ips" in str(caught.value)
    assert f"(process {other_page.pid} of user " in str(caught.value)


def test_readings_and_plans_are_free_while_another_page_works(
    open_session: Callable[..., Session], other_page: subprocess.Popen[str]
) -> None:
    run = open_session()  # its nodes are down, which readings tell of as rows or as what they are
    assert run.plan(run.steps.static_addresses())["status"].tolist() == ["unreachable", "unreachable"]
    assert len(run.read.address_proof().checks) > 0
    assert run.picture() is not None
    for planned in (lambda run: run.power_cycle(), run_step_of):
        with pytest.raises(StepFailed, match="node1: unreachable"):
            planned(open_session(plan=True))


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (run_step_of, StepFailed),
        (lambda run: run.power_cycle(), RunbookError),
        (lambda run: run.gateway_experiment(), RunbookError),
        (lambda run: run.wait_for_store(), RunbookError),
        (lambda run: run.inspect.ping(), RunbookError),
        (lambda run: run.inspect.mtu(), RunbookError),
        (lambda run: run.external.look(), RunbookError),
    ],
)
def test_what_fails_on_nodes_that_do_not_answer_leaves_the_cluster_free(
    open_session: Callable[..., Session],
    inventory: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Session], object],
    error: type[RunbookError],
) -> None:
    run = open_session(timeouts={"connect": 1, "command": 2, "reboot": 2, "converge": 1})
    was_held = []
    each = Cluster.each

    def looking(self: Cluster, *given: Any, **more: Any) -> Any:
        was_held.append(bool(run.claim._cluster_locks._present))
        return each(self, *given, **more)

    monkeypatch.setattr(Cluster, "each", looking)
    with pytest.raises(error):
        work(run)
    assert any(was_held)
    assert is_free(inventory)


def test_what_tells_of_silent_nodes_in_rows_leaves_the_cluster_free(
    open_session: Callable[..., Session], inventory: Path
) -> None:
    run = open_session()
    assert len(run.read.preflight().checks) > 0
    run.ping()
    assert is_free(inventory)


def test_outside_of_a_cell_the_cluster_is_held_for_the_block(
    open_session: Callable[..., Session], inventory: Path
) -> None:
    run = open_session()
    with run.claim.held():
        assert not is_free(inventory)
    assert is_free(inventory)


def test_in_a_cell_it_is_held_to_the_end_of_the_cell_however_that_ends(
    open_session: Callable[..., Session], inventory: Path
) -> None:
    shell = InteractiveShell.instance()
    shell.user_ns |= {"run": open_session(), "free": lambda: is_free(inventory), "seen": []}
    shell.run_cell("with run.claim.held():\n    pass\nseen.append(free())\nwith run.claim.held():\n    pass")
    assert shell.user_ns["seen"] == [False]
    assert is_free(inventory)
    shell.run_cell("with run.claim.held():\n    raise KeyboardInterrupt")
    assert is_free(inventory)


def test_panels_of_one_kernel_work_together_and_the_last_to_leave_frees_the_cluster(
    open_session: Callable[..., Session], inventory: Path
) -> None:
    first, second = open_session(), open_session()
    entered, leave = threading.Event(), threading.Event()

    def panel() -> None:
        with second.claim.held("its live matrix"):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=panel)
    with first.claim.held():
        thread.start()
        assert entered.wait(60)
    assert not is_free(inventory)
    leave.set()
    thread.join()
    assert is_free(inventory)


def test_a_button_is_refused_with_who_works_there_and_its_panel_stays_usable(
    open_session: Callable[..., Session], other_page: subprocess.Popen[str], inventory: Path
) -> None:
    run = open_session()
    panel = StepPanel(run, run.steps.connect())
    before = panel.rows
    panel.apply()
    assert panel.wait(60)
    assert panel.message.startswith("LockedError: ")
    assert "notebook 01_fix_node_ips" in panel.message
    assert (panel.busy, panel.rows) == (False, before)
    other_page.communicate()
    assert is_free(inventory)
    panel.apply()
    assert panel.wait(60)
    assert panel.message.startswith("StepFailed: ")


def test_a_toggle_is_refused_with_who_works_there(
    open_session: Callable[..., Session], other_page: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for looks_at_the_nodes in ("_read", "_draw_picture", "_ping", "_look"):
        monkeypatch.setattr(ConnectionPanel, looks_at_the_nodes, lambda panel, followed=False: None)
    panel = ConnectionPanel(open_session())
    panel._switch("alpine1", "ovr0", False, time.monotonic())
    assert panel.message.startswith("LockedError: ")
    assert f"process {other_page.pid} of user " in panel.message


def test_a_reading_of_a_node_that_is_down_says_who_works_on_the_cluster_meanwhile(
    open_session: Callable[..., Session], other_page: subprocess.Popen[str]
) -> None:
    run = open_session()
    with pytest.raises(UnreachableError) as caught:
        run.read.engines()
    assert caught.value.remedy.startswith(f"notebook 01_fix_node_ips (process {other_page.pid} of user ")
    assert "wait for its end and read again; else check that the node is on" in caught.value.remedy
    other_page.kill()
    other_page.communicate()
    with pytest.raises(UnreachableError) as caught:
        run.read.engines()
    assert caught.value.remedy.startswith("check that the node is on")
