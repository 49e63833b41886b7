"""Controls for the functions of a session; the only package that uses ipywidgets.

Each function returns a panel, which a cell shows as its last expression. In batch runs (``papermill``,
``./runbook run``), and without ipywidgets, it shows only its tables and pictures.
"""

from __future__ import annotations

from typing import Any

from runbook_lib.session import Session
from runbook_lib.steps import Step
from runbook_lib.widgets.clusters import ClusterChooser
from runbook_lib.widgets.connections import ConnectionPanel
from runbook_lib.widgets.live_matrix import LiveMatrix
from runbook_lib.widgets.step_panel import StepPanel

__all__ = ["choose_cluster", "connections", "live_matrix", "step_panel"]


def choose_cluster(run: Session) -> ClusterChooser:
    """The parameter files of this project, and the validated cluster of the one that is chosen.

    Shown are: parameter file, cluster, nodes, containers, valid; then the chosen one's parameters and nodes, or its
    faults. Nothing is contacted and nothing changed: a notebook works on the cluster that it was started with.
    """
    return ClusterChooser(run)


def step_panel(run: Session, step: Step[Any, Any]) -> StepPanel:
    """A step with buttons for plan and apply, a progress bar and one row per node. It starts with the plan.

    Shown are: node, status, before, after, time (s), detail. What fails is a row; nothing is raised.
    """
    return StepPanel(run, step)


def connections(run: Session) -> ConnectionPanel:
    """Every container's connections as toggles: switching one really disconnects or connects the container.

    Shown are: container, node, state, network, connected, address; the picture of the cluster; who reaches whom.

    Raises:
        RunbookError: no node answers.
    """
    return ConnectionPanel(run)


def live_matrix(run: Session) -> LiveMatrix:
    """The ping matrix with start and stop. It starts with one reading.

    Shown are the heat map, and: from, to, by name, by address (``answers in 0.15 ms``).

    Raises:
        RunbookError: no node answers.
    """
    return LiveMatrix(run)
