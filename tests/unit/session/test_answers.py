from __future__ import annotations

import pytest

from runbook_lib.cluster import Outcome
from runbook_lib.errors import EngineError, HostKeyError, NodeError, RunbookError, UnreachableError
from runbook_lib.session.claim import answers


def answered(node: str, value: int) -> Outcome[int]:
    return Outcome(node, value, None, 0.1)


def failed(error: RunbookError, node: str) -> Outcome[int]:
    return Outcome(node, None, error, 0.1)


DOWN1 = failed(UnreachableError("node1", "no SSH connection", remedy="is it on?"), "node1")
DOWN3 = failed(UnreachableError("node3", "no route to host"), "node3")
REFUSED = failed(EngineError("node2", "GET /info", "no space left"), "node2")


def test_all_values_come_in_the_order_of_the_nodes() -> None:
    assert answers([answered("node1", 7), answered("node2", 0)]) == [7, 0]


def test_one_node_s_error_is_raised_as_it_is() -> None:
    with pytest.raises(UnreachableError) as caught:
        answers([DOWN1, answered("node2", 1)])
    assert caught.value is DOWN1.error


def test_every_node_that_did_not_answer_is_named() -> None:
    with pytest.raises(UnreachableError) as caught:
        answers([DOWN1, answered("node2", 1), DOWN3])
    assert str(caught.value).splitlines() == [
        "node1, node3: 2 of 3 nodes did not answer:",
        "  - node1: no SSH connection",
        "  - node3: no route to host",
        "  remedy: is it on?",
    ]


def test_different_troubles_are_one_error_of_the_nodes() -> None:
    with pytest.raises(NodeError) as caught:
        answers([DOWN1, REFUSED])
    assert not isinstance(caught.value, UnreachableError)
    assert "no space left" in str(caught.value)


def test_a_refused_host_key_comes_before_all_else() -> None:
    refused = HostKeyError("node2", offered="SHA256:a", expected="SHA256:b", known_hosts="known_hosts", host="10.0.0.2")
    with pytest.raises(HostKeyError):
        answers([DOWN1, failed(refused, "node2")])
