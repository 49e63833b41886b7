"""A docker-machine store made of real-looking files, of which a test spoils one thing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

# Files as docker-machine writes them: virtualbox and generic (version 3), a manager of a classic swarm, and version 0.
MACHINES = Path(__file__).parent / "machines"


class Store:
    """A store in which every machine has its key, and ``certs`` the client's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ca.pem", "cert.pem", "key.pem"):
            self.write(f"certs/{name}", f"{name}\n", mode=0o600 if name == "key.pem" else 0o644)

    def write(self, name: str, text: str, *, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def add(
        self,
        name: str,
        kind: str = "virtualbox",
        *,
        flags: list[str] | None = None,
        swarm: Mapping[str, Any] | None = None,
        **driver: Any,
    ) -> None:
        """A machine like the file of that kind, under another name and with some of its fields replaced."""
        text = (MACHINES / f"{kind}.json").read_text()
        config = json.loads(text)
        config = json.loads(text.replace(config["Driver"]["MachineName"], name))
        config["Driver"] |= driver
        if flags is not None:
            config["HostOptions"]["EngineOptions"]["ArbitraryFlags"] = flags
        config["HostOptions"]["SwarmOptions"] |= swarm or {}
        self.write(f"machines/{name}/config.json", json.dumps(config, indent=4))
        self.write(f"machines/{name}/id_rsa", "a private key", mode=0o600)

    def add_nodes(self, count: int = 2) -> None:
        """The article's machines: node1 at .104 and so on."""
        for number in range(1, count + 1):
            self.add(f"node{number}", IPAddress=f"192.168.99.{103 + number}", SSHPort=53500 + number)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    path.touch()
    return path
