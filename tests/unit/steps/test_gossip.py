from __future__ import annotations

from collections.abc import Callable

import pytest

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineError, EngineNotFound, StoreUnavailable
from runbook_lib.facts.control_planes.etcd.plane import EtcdStore
from runbook_lib.facts.overlay.gossip import Gossip
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Etcd
from runbook_lib.steps.base import Verb
from runbook_lib.steps.gossip import JoinGossip, JoinPlan, retry_while_store_fails

STORE = EtcdStore(Etcd())
JOIN = JoinGossip(STORE)
TOGETHER = {
    node: Gossip(node, address, frozenset({"192.168.99.104", "192.168.99.105"}))
    for node, address in (("node1", "192.168.99.104"), ("node2", "192.168.99.105"))
}
ALONE = Gossip("node3", "192.168.99.106", frozenset({"192.168.99.106"}))
QUIET = Gossip("node4")


def test_engines_that_know_each_other_are_left_alone() -> None:
    findings = JOIN.assess(TOGETHER, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.SATISFIED}
    assert findings["node1"].before == "knows 1 other engines"


def test_islands_are_introduced_to_each_other_from_both_sides() -> None:
    findings = JOIN.assess(TOGETHER | {"node3": ALONE}, frozenset())
    assert {finding.verb for finding in findings.values()} == {Verb.PENDING}
    assert findings["node1"].work == JoinPlan("192.168.99.104", (("node3", "192.168.99.106"),))
    assert findings["node3"].before == "does not know node1, node2"
    assert {finding.detail for finding in findings.values()} == {
        "check node3 first: it is in every pair of engines that do not know each other"
    }
    assert findings["node3"].work == JoinPlan(
        "192.168.99.106", (("node1", "192.168.99.104"), ("node2", "192.168.99.105"))
    )


def test_an_engine_without_a_store_cannot_be_introduced_and_says_which_notebook_helps() -> None:
    findings = JOIN.assess(TOGETHER | {"node4": QUIET}, frozenset())
    assert findings["node4"].verb is Verb.BLOCKED
    assert "02_autostart_etcd" in findings["node4"].detail
    assert findings["node1"].verb is Verb.SATISFIED


@pytest.fixture
def node(make_inventory: Callable[..., Inventory]) -> Node:
    return Cluster(make_inventory(1)).node("node1")


def refusing(times: int, explanation: str) -> tuple[Callable[[], None], list[str]]:
    """A start that an engine refuses so often, as seen on the testbed, and the calls that were made."""
    calls: list[str] = []

    def start() -> None:
        calls.append("start bad1")
        if len(calls) <= times:
            raise EngineNotFound("node1", "start bad1", explanation, status=404)

    return start, calls


def test_a_network_that_the_engines_store_does_not_show_at_this_moment_is_waited_for(node: Node) -> None:
    start, calls = refusing(2, "network d42a3b9a1f5e not found")
    said: list[str] = []
    retry_while_store_fails(node, STORE, "ovr0", start, said.append)
    assert len(calls) == 3
    assert said == ["waiting until the cluster store answers the engine"]


def test_a_store_that_the_engine_cannot_write_at_this_moment_is_waited_for_too(node: Node) -> None:
    calls: list[str] = []

    def start() -> None:
        calls.append("start bad1")
        if len(calls) == 1:
            raise StoreUnavailable("node1", "start bad1", "client: etcd cluster is unavailable or misconfigured")

    retry_while_store_fails(node, STORE, "ovr0", start, lambda state: None)
    assert len(calls) == 2


def test_another_thing_that_is_not_found_is_not_waited_for(node: Node) -> None:
    start, calls = refusing(9, "No such container: bad1")
    with pytest.raises(EngineNotFound, match="No such container"):
        retry_while_store_fails(node, STORE, "ovr0", start, lambda state: None)
    assert len(calls) == 1


def test_a_network_that_does_not_come_back_is_a_failure_that_names_node_cause_and_remedy(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_lib.steps.gossip.STORE_RECHECK_SECONDS", 0.0)
    start, _ = refusing(10**9, "network d42a3b9a1f5e not found")
    with pytest.raises(EngineError) as caught:
        retry_while_store_fails(node, STORE, "ovr0", start, lambda state: None)
    error = caught.value
    assert (error.place, error.call) == ("node1", "start bad1")
    assert "the cluster store has not answered this engine, or ovr0 was removed: network d42a" in error.message
    assert "notebook 02_autostart_etcd" in error.remedy
    assert "notebook 03_create_overlay" in error.remedy
