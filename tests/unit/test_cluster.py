"""All nodes at once: every node answers, in order, whatever happens to the others."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import paramiko
import pytest

from runbook_lib.cluster import Cluster, Node, Outcome
from runbook_lib.errors import DeadlineError, ExitCode, InputError, NodeError
from runbook_lib.model.inventory import Inventory
from runbook_lib.model.parameters import Timeouts
from tests.waiting import PATIENCE_SECONDS, wait_until

Calls = list[Future[Outcome[Any]]]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Four nodes that nobody connects to."""
    ssh = {"host": "127.0.0.1", "port": 1, "key_file": "none", "known_hosts": "none"}
    nodes = [{"name": f"node{index}", "cluster_address": f"10.0.0.{index}", "ssh": ssh} for index in range(1, 5)]
    inventory = Inventory.model_validate({"network": {"subnet": "10.0.0.0/24"}, "nodes": nodes})
    with Cluster(inventory, Timeouts(connect=1, command=5)) as opened:
        yield opened


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls that are under way, in the order of the nodes; there are none before all of them have begun."""
    under_way: Calls = []

    def noted(futures: Calls, timeout: float | None) -> Any:
        under_way.extend(futures)
        return wait(futures, timeout=timeout)

    monkeypatch.setattr("runbook_lib.cluster.wait", noted)
    return under_way


def test_a_node_is_found_by_its_name(cluster: Cluster) -> None:
    assert cluster.node("node3") is cluster.nodes[2]
    assert [node.name for node in cluster] == ["node1", "node2", "node3", "node4"]
    assert repr(cluster.node("node3")) == "Node('node3')"
    with pytest.raises(InputError, match="there is no node 'node9'") as caught:
        cluster.node("node9")
    assert caught.value.remedy == "the nodes are node1, node2, node3, node4"


def test_a_part_of_a_cluster_shares_its_nodes(cluster: Cluster) -> None:
    part = cluster.part({"node3", "node1"})
    assert list(part) == [cluster.nodes[0], cluster.nodes[2]]
    assert [outcome.node for outcome in part.each(lambda node: node.name)] == ["node1", "node3"]
    assert len(cluster.nodes) == 4


def test_all_nodes_are_asked_at_the_same_time(cluster: Cluster) -> None:
    # A barrier lets nobody through before all four are there.
    barrier = threading.Barrier(4, timeout=PATIENCE_SECONDS)
    outcomes = cluster.each(lambda node: barrier.wait() >= 0)
    assert [outcome.value for outcome in outcomes] == [True] * 4


def test_answers_come_in_the_order_of_the_nodes_and_not_of_their_coming(cluster: Cluster, calls: Calls) -> None:
    def slower_than_the_next_one(node: Node) -> str:
        begun, index = time.monotonic(), int(node.name[-1])
        if index < 4:
            wait_until(lambda: calls and calls[index].done())
            wait_until(lambda: time.monotonic() - begun > calls[index].result().seconds)
        return node.name

    outcomes = cluster.each(slower_than_the_next_one)
    assert [outcome.result for outcome in outcomes] == ["node1", "node2", "node3", "node4"]
    assert outcomes[0].seconds > outcomes[3].seconds > 0


def test_only_the_given_nodes_are_asked(cluster: Cluster) -> None:
    some = [cluster.node("node4"), cluster.node("node2"), cluster.node("node4")]
    assert [outcome.node for outcome in cluster.each(lambda node: node.name, nodes=some)] == [
        "node4",
        "node2",
        "node4",
    ]
    assert cluster.each(lambda node: node.name, nodes=[]) == []


def test_one_nodes_failure_hides_nobody_elses_answer(cluster: Cluster) -> None:
    def fails_on_two(node: Node) -> str:
        if node.name == "node2":
            raise NodeError(node.name, "broken")
        return node.name

    outcomes = cluster.each(fails_on_two)
    assert [outcome.value for outcome in outcomes] == ["node1", None, "node3", "node4"]
    assert isinstance(outcomes[1].error, NodeError)
    with pytest.raises(NodeError, match="node2: broken"):
        _ = outcomes[1].result


def test_a_node_that_answers_nothing_has_answered(cluster: Cluster) -> None:
    outcome = cluster.each(lambda node: None)[0]
    assert outcome == Outcome("node1", None, None, outcome.seconds)
    assert outcome.result is None


def test_a_late_node_gets_a_row_of_its_own_and_the_others_keep_theirs(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, over = threading.Event(), threading.Event()

    def late_on_three(node: Node) -> str:
        if node.name == "node3":
            release.wait(PATIENCE_SECONDS)
            over.set()
        return node.name

    def after_the_others(futures: Calls, timeout: float) -> Any:
        wait_until(lambda: [future.done() for future in futures] == [True, True, False, True])
        return wait(futures, timeout=timeout)

    monkeypatch.setattr("runbook_lib.cluster.wait", after_the_others)
    outcomes = cluster.each(late_on_three, timeout=0.3)
    assert not over.is_set(), "somebody has waited for it"
    release.set()
    assert [outcome.value for outcome in outcomes] == ["node1", "node2", None, "node4"]
    late = outcomes[2]
    assert isinstance(late.error, DeadlineError)
    assert late.error.exit_code == ExitCode.TIMEOUT
    assert str(late.error).startswith("node3: no answer within 0.3 s")
    assert late.seconds == 0.3


def test_nobody_waits_for_a_late_nodes_call_which_ends_with_its_connection(tmp_path: Path) -> None:
    key = tmp_path / "key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(key))
    (tmp_path / "known_hosts").touch()
    ended = threading.Event()

    def connect(node: Node) -> None:
        try:
            node.ssh.run(["true"])
        finally:
            ended.set()

    # Something that takes connections and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ssh = {"host": "127.0.0.1", "port": silent.getsockname()[1], "key_file": str(key)}
        node = {"name": "node1", "cluster_address": "10.0.0.1", "ssh": ssh | {"known_hosts": f"{tmp_path}/known_hosts"}}
        inventory = Inventory.model_validate({"network": {"subnet": "10.0.0.0/24"}, "nodes": [node]})
        with Cluster(inventory, Timeouts(connect=PATIENCE_SECONDS)) as cluster:
            outcomes = cluster.each(connect, timeout=0.2)
        assert not ended.is_set()
        assert isinstance(outcomes[0].error, DeadlineError)
        silent.accept()[0].close()
        assert ended.wait(PATIENCE_SECONDS)


def test_a_defect_is_raised_and_not_taken_for_a_nodes_answer(cluster: Cluster) -> None:
    finished: list[str] = []

    def defect(node: Node) -> None:
        if node.name == "node1":
            raise KeyError("a programming mistake")
        time.sleep(0.1)
        finished.append(node.name)

    with pytest.raises(KeyError, match="a programming mistake"):
        cluster.each(defect)
    assert sorted(finished) == ["node2", "node3", "node4"]


def test_ctrl_c_comes_through_at_once_and_closes_what_is_under_way(
    cluster: Cluster, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    release, over = threading.Event(), threading.Event()
    monkeypatch.setattr(Node, "close", lambda node: closed.append(node.name))

    def waits(node: Node) -> None:
        if node.name == "node2":
            wait_until(lambda: calls and calls[0].done())
            os.kill(os.getpid(), signal.SIGINT)
        if node.name != "node1":
            release.wait(PATIENCE_SECONDS)
            over.set()

    with pytest.raises(KeyboardInterrupt):
        cluster.each(waits)
    assert not over.is_set(), "somebody has waited for them"
    release.set()
    assert closed == ["node2", "node3", "node4"]


def test_an_unreachable_node_is_a_row_and_no_exception(cluster: Cluster) -> None:
    outcomes = cluster.each(lambda node: node.ssh.run(["true"]))
    assert [outcome.node for outcome in outcomes] == ["node1", "node2", "node3", "node4"]
    assert all(outcome.error is not None for outcome in outcomes)
