from __future__ import annotations

from runbook_lib.facts.control_planes.etcd import EtcdStore
from runbook_lib.facts.gossip import Gossip
from runbook_lib.model.parameters import Etcd
from runbook_lib.steps.base import Verb
from runbook_lib.steps.gossip import Introduction, JoinGossip

JOIN = JoinGossip(EtcdStore(Etcd()))
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
    assert findings["node1"].work == Introduction("192.168.99.104", (("node3", "192.168.99.106"),))
    assert findings["node3"].before == "does not know node1, node2"
    assert findings["node3"].work == Introduction(
        "192.168.99.106", (("node1", "192.168.99.104"), ("node2", "192.168.99.105"))
    )


def test_an_engine_without_a_store_cannot_be_introduced_and_says_which_notebook_helps() -> None:
    findings = JOIN.assess(TOGETHER | {"node4": QUIET}, frozenset())
    assert findings["node4"].verb is Verb.BLOCKED
    assert "02_autostart_etcd" in findings["node4"].detail
    assert findings["node1"].verb is Verb.SATISFIED
