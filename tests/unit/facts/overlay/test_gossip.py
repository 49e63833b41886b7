from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from runbook_lib.cluster import Node
from runbook_lib.facts.overlay.gossip import Gossip, gossip_faults, read_gossip, unknown_peers


def gossip(node: int, *knows: int) -> Gossip:
    return Gossip(f"node{node}", f"192.168.99.{node}", frozenset(f"192.168.99.{other}" for other in (node, *knows)))


def test_engines_that_all_know_each_other_have_no_strangers() -> None:
    rows = [gossip(1, 2, 3), gossip(2, 1, 3), gossip(3, 1, 2)]
    assert unknown_peers(rows) == {"node1": (), "node2": (), "node3": ()}


def test_islands_are_seen_from_both_sides() -> None:
    rows = [gossip(1, 2), gossip(2, 1), gossip(3)]
    assert unknown_peers(rows) == {"node1": ("node3",), "node2": ("node3",), "node3": ("node1", "node2")}


def test_a_split_names_the_node_that_all_of_it_has_in_common() -> None:
    rows = [gossip(1, 2, 4), gossip(2, 1, 4), gossip(4, 1, 2), gossip(3)]
    assert gossip_faults(rows) == ("node3: its engine and those of node1, node2, node4 do not know each other",)
    # one side alone may know the other
    rows = [gossip(1, 2, 3, 4), gossip(2, 1, 3, 4), gossip(4, 1, 2, 3), gossip(3)]
    assert gossip_faults(rows) == ("node3: its engine and those of node1, node2, node4 do not know each other",)


def test_islands_of_several_have_no_node_in_common_and_each_says_whom_it_misses() -> None:
    assert gossip_faults([gossip(1, 2), gossip(2, 1), gossip(3, 4), gossip(4, 3)]) == (
        "node1: its engine does not know node3, node4",
        "node2: its engine does not know node3, node4",
        "node3: its engine does not know node1, node2",
        "node4: its engine does not know node1, node2",
    )
    assert gossip_faults([gossip(1, 2), gossip(2, 1)]) == ()


def test_an_engine_whose_port_brings_no_answer_is_told_as_that_and_misses_nobody(
    captured: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_lib.facts.overlay.gossip.read_gossip_address", lambda node: "192.168.99.2")
    monkeypatch.setattr("runbook_lib.facts.overlay.gossip.exchange", lambda node, address, message: b"")
    found = read_gossip(cast(Node, SimpleNamespace(name="node2")))
    assert found.trouble == "its engine listens at 192.168.99.2:7946 but sends no answer"
    assert unknown_peers([gossip(1, 2), found]) == {"node1": ()}


def test_an_engine_that_does_not_gossip_is_nobody_s_stranger() -> None:
    assert unknown_peers([gossip(1), Gossip("node2")]) == {"node1": ()}


def test_engines_that_share_no_network_need_not_know_each_other() -> None:
    one = Gossip("node1", "10.1.0.1", frozenset({"10.1.0.1"}), frozenset({"a"}))
    two = Gossip("node2", "10.1.0.2", frozenset({"10.1.0.2"}), frozenset({"b"}))
    both = Gossip("node3", "10.1.0.3", frozenset({"10.1.0.3", "10.1.0.1"}), frozenset({"a", "b"}))
    assert unknown_peers([one, two]) == {"node1": (), "node2": ()}
    assert unknown_peers([one, two, both]) == {"node1": ("node3",), "node2": ("node3",), "node3": ("node2",)}
