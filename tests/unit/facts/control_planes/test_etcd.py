"""Engines that cannot have a cluster store are refused before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from runbook_lib.errors import ExitCode
from runbook_lib.facts.control_planes.etcd import EtcdStore
from runbook_lib.model.parameters import Etcd

STORE = EtcdStore(Etcd())


def test_engines_up_to_20_10_are_not_refused_whatever_their_store_is() -> None:
    assert STORE.refusal({"node1": {"ServerVersion": "20.10.24+dfsg1"}, "node2": {"ServerVersion": "1.12.6"}}) is None


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "28.0.1"])
def test_an_engine_without_cluster_stores_is_bad_input_that_says_why_and_what_to_choose(version: str) -> None:
    refusal = STORE.refusal({"node1": {"ServerVersion": "20.10.24"}, "node2": {"ServerVersion": version}})
    assert refusal is not None
    assert refusal.exit_code is ExitCode.BAD_INPUT
    assert refusal.message.startswith(f"node2 has Docker {version}, and Docker 20.10 was the last series")
    assert "control_plane: swarm-mode" in refusal.remedy


def test_an_engine_in_a_swarm_excludes_a_cluster_store() -> None:
    swarm: dict[str, Any] = {"LocalNodeState": "active", "NodeID": "x"}
    refusal = STORE.refusal({"node3": {"ServerVersion": "20.10.24", "Swarm": swarm}})
    assert refusal is not None
    assert refusal.message == "the engine of node3 is in a swarm, which excludes a cluster store"
