"""Small notebooks and what they need, for tests that execute them with real kernels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

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

    def notebook(self, name: str, *cells: str) -> Path:
        """Write a notebook: a title, the parameters, then these code cells."""
        parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        all_cells = [new_markdown_cell(f"# {name}"), parameters, *map(new_code_cell, cells)]
        path = self.folder / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=all_cells, metadata=METADATA), path)
        return path

    def arguments(self, *notebooks: Path, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs notebooks here."""
        places = ["-f", str(self.parameters), "--records", str(self.records)]
        return ["run", *map(str, notebooks), *places, *options]

    def record(self, name: str) -> dict[str, Any]:
        """The record of a notebook in the only run there was."""
        (path,) = self.records.glob(f"*/{name}.ipynb")
        return dict(json.loads(path.read_text()))

    def files_in_records(self) -> list[str]:
        """Names of all files in the folders of records."""
        return sorted(path.name for path in self.records.glob("*/*"))


def states(record: dict[str, Any]) -> list[str]:
    """States of the code cells that the notebook had, or got by injection, in order."""
    return [cell["metadata"]["papermill"]["status"] for cell in record["cells"] if cell["cell_type"] == "code"]


def text_of(record: dict[str, Any]) -> str:
    """Everything that the cells put out as text."""
    outputs = [output for cell in record["cells"] for output in cell.get("outputs", ())]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(text) for text in texts)
