"""Parameter files, and the cluster that each describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from runbook_lib.errors import ParameterError, RunbookError
from runbook_lib.model.inventory import Inventory, NodeSpec
from runbook_lib.model.loading import Run, load_run
from runbook_lib.model.parameters import Parameters
from runbook_lib.session import Session
from runbook_lib.tables.frame import WHOLE, Column, Table, document_columns
from runbook_lib.widgets.panel import Panel, Part

PARAMETERS = Path(__file__).resolve().parents[2] / "params"
THIS = "(this notebook's parameters)"


class _File(NamedTuple):
    name: str
    valid: str
    cluster: str = ""
    nodes: int | None = None
    containers: int | None = None


FILES = Table[_File](
    "One row per parameter file.",
    Column("parameter file", lambda row: row.name),
    Column("cluster", lambda row: row.cluster),
    Column("nodes", lambda row: row.nodes, WHOLE),
    Column("containers", lambda row: row.containers, WHOLE),
    Column("valid", lambda row: row.valid, meaning="``yes``, or how many faults"),
)

NODES = Table[tuple[NodeSpec, str]](
    "One row per node.",
    Column("node", lambda row: row[0].name),
    Column("reached at", lambda row: f"{row[0].ssh.user}@{row[0].ssh.host}:{row[0].ssh.port}"),
    Column("fixed address", lambda row: row[0].cluster_address),
    Column("interface", lambda row: row[1]),
    Column("engine through", lambda row: row[0].docker.via),
)

WHAT = Table[tuple[str, str]](
    "One row per object that the runbook would create there.",
    Column("what", lambda row: row[0]),
    Column("value", lambda row: row[1]),
)


class ClusterChooser(Panel):
    """Choose a parameter file and see its cluster; files are read and validated, no node is contacted."""

    css = "runbook-cluster-chooser"

    def __init__(self, run: Session, folder: Path = PARAMETERS) -> None:
        super().__init__(run)
        self.files: dict[str, Path | None] = {THIS: None}
        self.files |= {path.name: path for path in sorted(folder.glob("*.yaml"))}
        self.choice = THIS
        self._found: dict[str, Run | RunbookError] = {name: self._load(name) for name in self.files}
        run.kept.keep("parameter files", self.overview)

    def parts(self) -> tuple[Part, ...]:
        """One row per file; the chosen one's cluster, or its faults as on the command line."""
        return (self.overview, *self.chosen())

    @property
    @document_columns(FILES)
    def overview(self) -> pd.DataFrame:
        """Every parameter file, and whether it is valid."""
        return FILES(map(self._row, self.files))

    def choose(self, name: str) -> None:
        """Read the file of that name (one of ``files``) and show its cluster."""
        self._found[name] = self._load(name)
        with self._lock:
            self.choice = name
        self.refresh()

    def chosen(self) -> tuple[Part, ...]:
        """The chosen file's cluster, or its faults."""
        found, path = self._found[self.choice], self.files[self.choice]
        if isinstance(found, RunbookError):
            return (f"{self.choice}:", self.error_text(found))
        use = f"to work on it: ./runbook notebook -f {path}" if path else "this is what the cells here work on"
        return (f"{self.choice}: {use}", what(found.parameters), nodes(found.inventory))

    def stop(self) -> None:
        """Do nothing: there is no background work."""

    def wait(self, timeout: float | None = None) -> bool:
        """Do nothing: there is no background work."""
        return True

    def build(self) -> Any:
        """The list of files and the chosen one's cluster."""
        from runbook_lib.widgets.controls import ClusterControls

        self._view = ClusterControls(self)
        return self._view.box

    def draw(self) -> None:
        """Update the controls."""
        self._view.draw()

    def _load(self, name: str) -> Run | RunbookError:
        path = self.files[name]
        if path is None:
            return Run(self.run.parameters, self.run.inventory)
        try:
            return load_run(path)
        except RunbookError as error:
            return error

    def _row(self, name: str) -> _File:
        found = self._found[name]
        if isinstance(found, ParameterError):
            count = len(found.faults)
            return _File(name, f"no: {count} fault{'s' if count != 1 else ''}")
        if isinstance(found, RunbookError):
            return _File(name, f"no: {found.message}")
        return _File(name, "yes", found.parameters.name, len(found.inventory.nodes), len(found.parameters.containers))


def what(parameters: Parameters) -> pd.DataFrame:
    """The objects that the runbook would create there."""
    overlay, stored = parameters.overlay, parameters.control_plane != "swarm-mode"
    containers = ", ".join(f"{item.name} on {item.node or 'any node'}" for item in parameters.containers)
    facts: Mapping[str, str] = {
        "cluster": parameters.name,
        "platform": f"{parameters.platform}, {parameters.control_plane}",
        "members": ", ".join(parameters.etcd.members) if stored else "the swarm's managers",
        "overlay": f"{overlay.name}, {overlay.subnet or 'a subnet of Docker’s choice'}",
        "containers": containers,
    }
    return WHAT(facts.items())


def nodes(inventory: Inventory) -> pd.DataFrame:
    """The nodes in the inventory."""
    return NODES((node, inventory.network.interface) for node in inventory.nodes)
