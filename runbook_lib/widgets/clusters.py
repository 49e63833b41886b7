"""Parameter files, and the cluster that each describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from runbook_lib.errors import ParameterError, RunbookError
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.parameters import Parameters
from runbook_lib.session import Session
from runbook_lib.tables.frame import TEXT, WHOLE, frame
from runbook_lib.widgets.panel import Panel, Part

PARAMETERS = Path(__file__).resolve().parents[2] / "params"
THIS = "(this notebook's parameters)"

FILE_COLUMNS = {"parameter file": TEXT, "cluster": TEXT, "nodes": WHOLE, "containers": WHOLE, "valid": TEXT}
NODE_COLUMNS = {"node": TEXT, "reached at": TEXT, "fixed address": TEXT, "interface": TEXT, "engine through": TEXT}
WHAT_COLUMNS = {"what": TEXT, "value": TEXT}


class ClusterChooser(Panel):
    """Choose a parameter file and see what it leads to; files are read and validated, no node is contacted."""

    css = "runbook-cluster-chooser"

    def __init__(self, run: Session, folder: Path = PARAMETERS) -> None:
        super().__init__(run)
        self.files: dict[str, Path | None] = {THIS: None}
        self.files |= {path.name: path for path in sorted(folder.glob("*.yaml"))}
        self.choice = THIS
        self._found: dict[str, Run | RunbookError] = {name: self._load(name) for name in self.files}
        run.kept.keep("parameter files", self.overview)

    def parts(self) -> tuple[Part, ...]:
        """Every file in a row; the chosen one's cluster, or its faults as the command line shows them."""
        return (self.overview, *self.chosen())

    @property
    def overview(self) -> pd.DataFrame:
        """Columns: parameter file, cluster, nodes, containers, valid (``yes``, or how many faults)."""
        return frame([self._row(name) for name in self.files], FILE_COLUMNS)

    def choose(self, name: str) -> None:
        """Read the file of that name (one of ``files``) and show what it leads to."""
        self._found[name] = self._load(name)
        with self._lock:
            self.choice = name
        self.refresh()

    def chosen(self) -> tuple[Part, ...]:
        """The chosen file's cluster, or its faults."""
        found, path = self._found[self.choice], self.files[self.choice]
        if isinstance(found, RunbookError):
            return (f"{self.choice}:", self.told(found))
        use = f"to work on it: ./runbook notebook -f {path}" if path else "this is what the cells here work on"
        return (f"{self.choice}: {use}", what(found.parameters), nodes(found.inventory))

    def stop(self) -> None:
        """There is nothing to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        """There is nothing to wait for."""
        return True

    def build(self) -> Any:
        """The list of files and what the chosen one leads to."""
        from runbook_lib.widgets.controls import ClusterControls

        self._view = ClusterControls(self)
        return self._view.box

    def draw(self) -> None:
        """Bring it up to date."""
        self._view.draw()

    def _load(self, name: str) -> Run | RunbookError:
        path = self.files[name]
        if path is None:
            return Run(self.run.parameters, self.run.inventory)
        try:
            return load_run(path)
        except RunbookError as error:
            return error

    def _row(self, name: str) -> tuple[object, ...]:
        found = self._found[name]
        if isinstance(found, ParameterError):
            count = len(found.faults)
            return (name, "", None, None, f"no: {count} fault{'s' if count != 1 else ''}")
        if isinstance(found, RunbookError):
            return (name, "", None, None, f"no: {found.message}")
        return (name, found.parameters.name, len(found.inventory.nodes), len(found.parameters.containers), "yes")


def what(parameters: Parameters) -> pd.DataFrame:
    """What the runbook would make there. Columns: what, value."""
    overlay, stored = parameters.overlay, parameters.control_plane != "swarm-mode"
    containers = ", ".join(f"{item.name} on {item.node or 'any node'}" for item in parameters.containers)
    facts: Mapping[str, str] = {
        "cluster": parameters.name,
        "platform": f"{parameters.platform}, {parameters.control_plane}",
        "members": ", ".join(parameters.etcd.members) if stored else "the swarm's managers",
        "overlay": f"{overlay.name}, {overlay.subnet or 'a subnet of Docker’s choice'}",
        "containers": containers,
    }
    return frame(list(facts.items()), WHAT_COLUMNS)


def nodes(inventory: Inventory) -> pd.DataFrame:
    """The nodes as the inventory has them. Columns: node, reached at, fixed address, interface, engine through."""
    return frame(
        [
            (
                node.name,
                f"{node.ssh.user}@{node.ssh.host}:{node.ssh.port}",
                node.cluster_address,
                inventory.network.interface,
                node.docker.via,
            )
            for node in inventory.nodes
        ],
        NODE_COLUMNS,
    )
