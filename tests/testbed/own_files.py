"""A person's own parameter file and inventory, and what ``runbook run`` says of them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from runbook_lib import cli
from runbook_lib.errors import ExitCode
from runbook_lib.testbed import Testbed

PROJECT = Path(__file__).resolve().parents[2]
NETWORK = "bad0"


@dataclass
class Files:
    """A person's own parameter file and inventory, copied from the testbed's.

    ``here``: the command runs in this process, which is enough for one that ends before a kernel starts.
    """

    folder: Path
    here: bool = False

    @property
    def parameters(self) -> Path:
        return self.folder / "run.yaml"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yaml"

    def write(self, **parameters: object) -> None:
        data = {"name": "bad", "inventory": "inventory.yaml", "addresses": {"allow_in_dhcp_pool": True}}
        data |= {"overlay": {"name": NETWORK, "subnet": "10.66.0.0/24"}, "containers": [], "timeouts": {"connect": 5}}
        self.parameters.write_text(yaml.safe_dump(data | parameters, sort_keys=False))

    def run(self, *notebooks: str) -> subprocess.CompletedProcess[str]:
        """``runbook run`` with these files; the output of both streams is in ``stdout``."""
        records = str(self.folder / "records")
        command = ["run", *notebooks, "-f", str(self.parameters), "--records", records]
        if self.here:
            said = io.StringIO()
            with redirect_stdout(said), redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
                patch.setenv("COLUMNS", "200")
                return subprocess.CompletedProcess(command, cli.main(command), said.getvalue())
        return subprocess.run(
            [sys.executable, "-m", "runbook_lib", *command],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            env=os.environ | {"COLUMNS": "200"},
        )

    def refused(self, code: ExitCode, *notebooks: str) -> str:
        """What a run that must end with this code says."""
        done = self.run(*notebooks)
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
        assert "remedy: " in done.stdout
        return done.stdout.replace(f"{self.folder}/", "")

    @classmethod
    def of(cls, testbed: Testbed, folder: Path, *, here: bool = False) -> Files:
        """The testbed's, in this folder."""
        made = cls(folder, here)
        made.inventory.write_text(testbed.inventory_file.read_text())
        made.write()
        return made
