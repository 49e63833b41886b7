"""How a kernel keeps pace with its runner; pipes and threads are real, the kernel around them is left out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from runbook_lib.execute.kernel.ipykernel_app import Pace
from runbook_lib.execute.kernel.pacing import ACKNOWLEDGED_TOGETHER, PIECE, WINDOW, units
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pace"
    os.mkfifo(path)
    return path


@pytest.fixture
def runner(pipe: Path) -> Iterator[int]:
    """The runner's end of the pipe."""
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    yield end
    try:
        os.close(end)
    except OSError:
        return  # the test closed it


def waiting(pace: Pace) -> threading.Thread:
    """A thread that waits for the reader."""
    thread = threading.Thread(target=pace.wait, daemon=True)
    thread.start()
    return thread


def test_a_window_holds_many_pieces_and_whatever_the_reader_collects() -> None:
    assert 8 * units("x" * PIECE) <= WINDOW
    assert WINDOW >= 8 * ACKNOWLEDGED_TOGETHER


def test_unread_output_fits_the_queue_of_a_socket_whose_reader_does_not_come_to_read() -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        other_messages = 100  # states, errors, widgets
        assert WINDOW + other_messages < socket.sndhwm


def test_output_waits_only_while_more_than_a_window_of_it_is_unread(pipe: Path, runner: int) -> None:
    pace = Pace(pipe, lambda: None)
    for _ in range(WINDOW):
        pace.sent("short")
    pace.wait()
    pace.sent("one more")
    thread = waiting(pace)
    thread.join(0.2)
    assert thread.is_alive()
    os.write(runner, b"." * 10)
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_runner_that_is_gone_is_noticed_and_holds_up_nothing(pipe: Path, runner: int) -> None:
    gone = threading.Event()
    pace = Pace(pipe, gone.set)
    for _ in range(2 * WINDOW):
        pace.sent("short")
    thread = waiting(pace)
    time.sleep(0.1)
    assert not gone.is_set()
    os.close(runner)
    assert gone.wait(PATIENCE_SECONDS)
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_a_runner_that_was_gone_before_is_noticed_too(pipe: Path) -> None:
    gone = threading.Event()
    Pace(pipe, gone.set)
    assert gone.wait(PATIENCE_SECONDS)
