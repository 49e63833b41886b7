"""Small notebooks and what they need, for tests that execute them with real kernels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.engines import papermill_engines  # type: ignore[import-untyped]
from papermill.execute import execute_notebook  # type: ignore[import-untyped]

from runbook_lib.execute.outcome import NotebookResult
from runbook_lib.execute.recording.recording import Recording, RunFacts
from runbook_lib.execute.run.engine import RunbookEngine
from runbook_lib.records.store import open_archive
from runbook_lib.redact import Redactor

METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
PARAMETERS = "name = 'testbed'\ninventory = 'testbed:runbook'\nplan = False\n"
PUBLISH = """
from IPython.display import publish_display_data
def publish(*events):
    data = {"application/vnd.overlay-runbook.event+json": {"events": list(events)}, "text/plain": "events"}
    publish_display_data(data)
"""
INVENTORY = """
network: {interface: eth1, subnet: 192.168.99.0/24}
nodes:
  - name: node1
    cluster_address: 192.168.99.104
    ssh: {host: 127.0.0.1, key_file: key, known_hosts: known_hosts}
"""


class Workplace:
    """A folder with generated notebooks and the parameter file of a cluster that nothing connects to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = folder / "records"
        self.parameters = folder / "parameters.yaml"
        self.parameters.write_text("name: tiny\ninventory: inventory.yaml\ncontainers: []\n")
        (folder / "inventory.yaml").write_text(INVENTORY)
        (folder / "key").touch(mode=0o600)
        (folder / "known_hosts").touch()

    def notebook(self, name: str, *cells: str | NotebookNode) -> Path:
        """Write a notebook: a title, the parameters, then these code cells."""
        parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        code = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        all_cells = [new_markdown_cell(f"# {name}"), parameters, *code]
        path = self.folder / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=all_cells, metadata=METADATA), path)
        return path

    def arguments(self, *notebooks: Path, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs notebooks here."""
        places = ["-f", str(self.parameters), "--records", str(self.records)]
        return ["run", *map(str, notebooks), *places, *options]

    def folder_of(self, name: str) -> Path:
        """The folder of the only record of a notebook."""
        (folder,) = self.records.glob(f"*_{name}_*")
        return folder

    def record(self, name: str) -> dict[str, Any]:
        """The executed notebook in the only record of it."""
        return dict(json.loads((self.folder_of(name) / "notebook.ipynb").read_text()))

    def verdict(self, name: str) -> tuple[str, int]:
        """What the only record of a notebook says of it: its verdict and its exit code."""
        record = json.loads((self.folder_of(name) / "record.json").read_text())
        return record["verdict"], record["exit_code"]

    def recorded(self) -> list[str]:
        """Names of the notebooks that have a record."""
        return sorted(json.loads(path.read_text())["notebook"] for path in self.records.glob("*/record.json"))


def always(source: str) -> NotebookNode:
    """A cell that runs at the end whatever happened."""
    return new_code_cell(source, metadata={"tags": ["always"]})


def states(record: dict[str, Any]) -> list[str]:
    """papermill's states of the code cells that the notebook had, or got by injection, in order."""
    return [cell["metadata"]["papermill"]["status"] for cell in record["cells"] if cell["cell_type"] == "code"]


def ends(record: dict[str, Any]) -> list[str]:
    """How the code cells ended, but for the parameters: our states, in order."""
    cells = [cell for cell in record["cells"] if cell["cell_type"] == "code"]
    return [
        cell["metadata"]["runbook"]["state"]
        for cell in cells
        if not {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", []))
    ]


def text_of(record: dict[str, Any]) -> str:
    """Everything that the cells put out as text."""
    outputs = [output for cell in record["cells"] for output in cell.get("outputs", ())]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(text) for text in texts)


@dataclass(frozen=True)
class Execution:
    """One execution by the engine alone: the notebook that it left, what it raised, and the record's result."""

    notebook: dict[str, Any]
    error: BaseException | None
    result: NotebookResult | None
    folder: Path

    @property
    def ends(self) -> list[str]:
        """How the code cells ended, but for the parameters."""
        return ends(self.notebook)

    @property
    def text(self) -> str:
        """Everything that the cells put out as text."""
        return text_of(self.notebook)


def execute(
    workplace: Workplace,
    notebook: Path,
    parameters: dict[str, Any] | None = None,
    redactor: Redactor | None = None,
    **options: Any,
) -> Execution:
    """Execute a notebook with our engine, as the runner does it, and with these options of the engine."""
    papermill_engines.register("runbook", RunbookEngine)
    facts = RunFacts(open_archive(str(workplace.records)), "run", "tiny", redactor=redactor or Redactor())
    recording = Recording.begin(notebook.stem, notebook.read_text(), facts)
    error: BaseException | None = None
    options = {"progress_bar": False, "start_timeout": 60, **options}
    try:
        execute_notebook(
            str(notebook), None, parameters=parameters, engine_name="runbook", recording=recording, **options
        )
    except Exception as raised:  # noqa: BLE001 - the test says which it has to be
        error = raised
    written = json.loads((recording.folder / "notebook.ipynb").read_text())
    return Execution(written, error, recording.result, recording.folder)
