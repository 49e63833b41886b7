"""A shell that keeps what is displayed, and a cluster of two nodes on which nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output
from traitlets.config import Config

from runbook_lib.model.events import Event, read_events
from runbook_lib.session import Session, start

# Nothing listens on port 1: a connection is refused at once, which is what a node that is down looks like.
NODE = """\
  - name: node{number}
    cluster_address: 192.168.99.{last}
    ssh: {{host: 127.0.0.1, port: 1, user: docker, key_file: {folder}/key, known_hosts: {folder}/known_hosts}}
"""


class Displayed:
    """What the cell under test has displayed so far."""

    def __init__(self, captured: CapturedIO) -> None:
        self._captured = captured

    @property
    def bundles(self) -> list[dict[str, Any]]:
        return [output.data for output in self._captured.outputs]

    @property
    def texts(self) -> list[str]:
        return [str(bundle["text/plain"]) for bundle in self.bundles if "text/plain" in bundle]

    @property
    def events(self) -> list[Event]:
        return [event for bundle in self.bundles for event in read_events(bundle)]


@pytest.fixture
def displayed() -> Iterator[Displayed]:
    InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    with capture_output() as captured:
        yield Displayed(captured)
    InteractiveShell.clear_instance()


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    key = tmp_path / "key"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    (tmp_path / "known_hosts").touch()
    nodes = "".join(NODE.format(number=number, last=100 + number, folder=tmp_path) for number in (1, 2))
    path = tmp_path / "inventory.yaml"
    path.write_text(f"version: 1\nnetwork: {{interface: eth1, subnet: 192.168.99.0/24}}\nnodes:\n{nodes}")
    return path


@pytest.fixture
def open_session(inventory: Path, displayed: Displayed) -> Callable[..., Session]:
    """Opens a session on the two dead nodes, with parameters as a notebook would have them."""

    def opened(**parameters: Any) -> Session:
        containers = [{"name": "alpine1", "node": "node1"}, {"name": "alpine2", "node": "node2"}]
        timeouts = {"connect": 2, "converge": 0.2}
        given = {"inventory": str(inventory), "containers": containers, "timeouts": timeouts}
        return start("05_ping_tests", given | parameters)

    return opened
