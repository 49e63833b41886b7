"""How another Python process comes to import the same code as this one."""

from __future__ import annotations

import os
from pathlib import Path

import runbook_lib


def import_path() -> str:
    """The ``PYTHONPATH`` under which a process imports this very ``runbook_lib``, wherever another is installed."""
    package = str(Path(runbook_lib.__file__).resolve().parents[1])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != package]
    return os.pathsep.join([package, *others])
