from __future__ import annotations

from threading import Event, Thread

import pytest

from runbook_lib.errors import NodeError
from runbook_lib.steps.turns import Turns
from tests.waiting import PATIENCE_SECONDS

ORDER = [("node1", "a"), ("node2", "b"), ("node1", "c")]


def test_turns_are_taken_in_their_order_whoever_comes_first() -> None:
    turns, done = Turns(ORDER), list[str]()

    def act(node: str, *things: str) -> None:
        for thing in things:
            with turns.take(node, thing):
                done.append(thing)

    second = Thread(target=act, args=("node2", "b"))
    second.start()
    first = Thread(target=act, args=("node1", "a", "c"))
    first.start()
    for thread in (first, second):
        thread.join(PATIENCE_SECONDS)
    assert done == ["a", "b", "c"]


def test_a_node_that_failed_holds_up_nobody() -> None:
    turns = Turns(ORDER)
    with pytest.raises(ZeroDivisionError), turns.take("node1", "a"):
        raise ZeroDivisionError
    with turns.take("node2", "b"):
        pass
    turns = Turns(ORDER)
    turns.leave("node1")
    with turns.take("node2", "b"):
        pass


def test_what_is_in_no_order_waits_for_nobody() -> None:
    with Turns(ORDER).take("node9", "z"):
        pass


def test_whoever_still_waits_when_the_step_is_interrupted_does_nothing_any_more() -> None:
    turns, refused = Turns(ORDER), Event()

    def wait() -> None:
        try:
            with turns.take("node2", "b"):
                pass
        except NodeError:
            refused.set()

    thread = Thread(target=wait)
    thread.start()
    turns.abandon()
    thread.join(PATIENCE_SECONDS)
    assert refused.is_set()
