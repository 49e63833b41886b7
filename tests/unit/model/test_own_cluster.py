"""The example of a parameter file for a cluster of one's own, and what its comments offer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook_lib.model.loading import load_run

EXAMPLE = Path(__file__).resolve().parents[3] / "params" / "own-cluster.example.yaml"


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """The example, with files of its own."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "tls").mkdir()
    for name in (".ssh/lab_ed25519", "tls/key.pem"):
        (tmp_path / name).touch(mode=0o600)
    for name in (".ssh/known_hosts", "tls/ca.pem", "tls/cert.pem"):
        (tmp_path / name).touch()
    loaded: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text().replace("~", str(tmp_path)))
    return loaded


def test_the_example_validates_once_its_files_are_there(data: dict[str, Any]) -> None:
    assert load_run(data).inventory.names == ("node1", "node2")


def test_every_other_way_to_log_in_that_it_offers_validates(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VARIABLE", "a long password")
    offered = "\n".join(line.partition("#   ")[2] for line in EXAMPLE.read_text().splitlines() if "  #   " in line)
    data["inventory"]["nodes"][0]["ssh"] |= yaml.safe_load(offered.replace("~", str(tmp_path)))
    access = load_run(data).inventory.node("node1").ssh
    assert (access.agent, access.jump[0].host) == (True, "bastion.example.org")
    assert None not in (access.passphrase, access.password, access.sudo_password)


def test_the_endpoint_that_it_offers_validates(data: dict[str, Any], tmp_path: Path) -> None:
    (line,) = [line for line in EXAMPLE.read_text().splitlines() if "# swarm_manager:" in line]
    data["inventory"] |= yaml.safe_load(line.strip().removeprefix("# ").replace("~", str(tmp_path)))
    data["control_plane"] = "classic-swarm"
    assert load_run(data).inventory.swarm_manager is not None
