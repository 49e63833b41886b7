"""The example of a cluster behind a classic Swarm manager is a file that works once its keys are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runbook_lib.model.loading import load_run

EXAMPLE = Path(__file__).parents[3] / "params" / "classic-swarm.example.yaml"


def test_the_example_validates_and_names_the_manager_and_a_node_for_each_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in re.findall(r"~/([^\s,}]+)", EXAMPLE.read_text()):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    run = load_run(EXAMPLE)
    assert run.parameters.control_plane == "classic-swarm"
    manager = run.inventory.swarm_manager
    assert manager is not None
    assert (manager.port, manager.cert) == (3376, str(tmp_path / ".docker/machine/machines/node1/cert.pem"))
    assert [item.node for item in run.parameters.containers] == list(run.inventory.names)
