from __future__ import annotations

import threading

import pytest

from runbook_lib.widgets.background import Serial, shared
from tests.waiting import PATIENCE_SECONDS


def test_jobs_are_done_one_after_the_other_in_the_order_in_which_they_came() -> None:
    done: list[int] = []
    serial = Serial("test")
    for number in range(20):
        serial.put(number, lambda number=number: done.append(number))  # type: ignore[misc]
    assert serial.wait(PATIENCE_SECONDS)
    assert done == list(range(20))


def test_of_the_waiting_jobs_with_one_key_only_the_last_is_done() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_SECONDS)
        done.append("first")

    serial = Serial("test")
    serial.put("switch", first)
    assert begun.wait(PATIENCE_SECONDS)
    serial.put("switch", lambda: done.append("second"))
    serial.put("switch", lambda: done.append("third"))
    go_on.set()
    assert serial.wait(PATIENCE_SECONDS)
    assert done == ["first", "third"]


def test_forgotten_jobs_are_not_done_and_the_one_under_way_ends() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_SECONDS)
        done.append("first")

    serial = Serial("test")
    serial.put(1, first)
    assert begun.wait(PATIENCE_SECONDS)
    serial.put(2, lambda: done.append("second"))
    serial.forget()
    assert not serial.wait(0.05)
    go_on.set()
    assert serial.wait(PATIENCE_SECONDS)
    assert done == ["first"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_a_job_keeps_nobody_waiting_and_later_jobs_are_done() -> None:
    done: list[str] = []
    serial = Serial("test")
    serial.put(1, lambda: 1 / 0)
    assert serial.wait(PATIENCE_SECONDS)
    for thread in [thread for thread in threading.enumerate() if thread.name == "test"]:
        thread.join(PATIENCE_SECONDS)  # its traceback belongs to this test, not to the next one
    serial.put(2, lambda: done.append("second"))
    assert serial.wait(PATIENCE_SECONDS)
    assert done == ["second"]


def test_one_container_has_one_queue_however_many_panels_ask_for_it() -> None:
    assert shared("here", "alpine1") is shared("here", "alpine1")
    assert shared("here", "alpine1") is not shared("here", "alpine2")
