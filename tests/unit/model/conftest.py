"""A parameter file and what it leads to, whole, for tests that spoil one thing in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.loading import load_run

NODE = """\
  - name: {name}
    cluster_address: {address}
    ssh: {{host: 10.0.0.1, key_file: {folder}/key, known_hosts: {folder}/known_hosts}}
"""


class Files:
    """A folder with a key, known hosts, an inventory and a parameter file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = self.write("key", "a private key", mode=0o600)
        self.write("known_hosts", "")
        self.inventory = self.write("inventory.yaml", self.inventory_text())
        self.parameters = self.write("run.yaml", f"name: unit\ninventory: {self.inventory}\ncontainers: []\n")

    def write(self, name: str, text: str, *, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def inventory_text(self, *addresses: str, network: str = "subnet: 192.168.99.0/24, gateway: 192.168.99.1") -> str:
        nodes = "".join(
            NODE.format(name=f"node{index}", address=address, folder=self.folder)
            for index, address in enumerate(addresses or ("192.168.99.21", "192.168.99.22"), 1)
        )
        return f"version: 1\nnetwork: {{{network}}}\nnodes:\n{nodes}"

    def append(self, text: str) -> None:
        """Add lines to the parameter file, whose own are three."""
        lines = [line for line in self.parameters.read_text().splitlines() if not line.startswith("containers")]
        self.parameters.write_text("\n".join([*lines, text]) + "\n")

    def refusal(self, overrides: dict[str, Any] | None = None) -> str:
        """What loading the run says; it must be refused as bad input."""
        with pytest.raises(InputError) as caught:
            load_run(self.parameters, overrides)
        return str(caught.value).replace(str(self.folder), "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
