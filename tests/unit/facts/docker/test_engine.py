from __future__ import annotations

import pytest

from runbook_lib.facts.docker.engine import parse_engine


@pytest.fixture
def answers(captured_json):
    return captured_json("docker_info.json"), captured_json("docker_version.json")


def test_an_engine_with_a_cluster_store(answers) -> None:
    facts = parse_engine("node1", *answers)
    assert (facts.version, facts.api_version) == ("20.10.24+dfsg1", "1.41")
    assert facts.mode == "etcd"
    assert facts.cluster_store.startswith("etcd://192.168.99.104:2379,")
    assert facts.cluster_advertise == "192.168.99.104:2376"
    assert facts.storage_driver == "overlay2"
    assert facts.engine_id.count(":") == 11


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({"ClusterStore": ""}, "none"),
        ({"ClusterStore": None}, "none"),
        ({"ClusterStore": "consul://10.0.0.1:8500"}, "other"),
        ({"ClusterStore": "", "Swarm": {"LocalNodeState": "active"}}, "swarm"),
        ({"ClusterStore": "", "Swarm": {"LocalNodeState": "locked"}}, "swarm"),
        ({"ClusterStore": "", "Swarm": None}, "none"),
    ],
)
def test_the_mode_tells_where_network_state_is_kept(answers, changes, mode: str) -> None:
    info, version = answers
    assert parse_engine("node1", {**info, **changes}, version).mode == mode


def test_a_newer_engine_without_store_keys_is_read(answers) -> None:
    info, version = answers
    for key in ("ClusterStore", "ClusterAdvertise"):
        info.pop(key)
    assert parse_engine("node1", info, version).mode == "none"


def test_an_answer_that_is_no_engine_s_is_refused(answers) -> None:
    with pytest.raises(ValueError, match="no ID, ServerVersion, Driver"):
        parse_engine("node1", {}, answers[1])
    with pytest.raises(ValueError, match="no ApiVersion"):
        parse_engine("node1", answers[0], {})
