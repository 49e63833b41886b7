"""The plain papermill command: it runs our notebooks as it always does, and with our engine it keeps a true record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.notebooks.generated import Workplace, states, text_of

PROJECT = Path(__file__).parents[2]


def papermill(workplace: Workplace, notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the papermill command; its output goes to ``out.ipynb``."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(workplace.folder / "out.ipynb"), *options]
    path = os.pathsep.join([str(PROJECT), str(installed(workplace.folder / "site"))])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, cwd=workplace.folder, capture_output=True, text=True, check=False)


def installed(folder: Path) -> Path:
    """A folder in which the package looks installed: with the entry points that pyproject.toml declares."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]["papermill.engine"]
    lines = ["[papermill.engine]", *(f"{name} = {target}" for name, target in declared.items())]
    metadata = folder / "overlay_runbook-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def test_plain_papermill_runs_a_notebook_with_a_parameter_file(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    done = papermill(workplace, workplace.notebook("01_plain", "print(name)"), "-f", "parameters.yaml")
    assert done.returncode == 0, done.stderr
    assert "tiny" in text_of(json.loads((tmp_path / "out.ipynb").read_text()))


def test_papermill_with_our_engine_leaves_a_true_record_of_a_dead_kernel(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    notebook = workplace.notebook("01_dying", "print(name)", "import os; os._exit(1)", "1")
    done = papermill(workplace, notebook, "--engine", "runbook", "-p", "name", "given")
    assert done.returncode == 138, done.stderr  # papermill's own code for a dead kernel
    record = json.loads((tmp_path / "out.ipynb").read_text())
    assert "given" in text_of(record)
    assert states(record) == ["completed", "completed", "completed", "failed", "pending"]
    assert record["metadata"]["papermill"]["exception"] is True
