"""What a signal does to the kernel; the kernel is a real process that tells of its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from runbook_lib.errors import InterruptedRun
from runbook_lib.execute.interruption import SIGNALS, EndSignals, Interruption, handled, signals_unwind
from tests.waiting import PATIENCE_SECONDS

# Says when it is interrupted, and stays.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))  # print may be at work when the signal comes
os.write(1, b"ready\\n")
while True:
    time.sleep(60)
"""


class Clock:
    """A clock that stands still until it is set."""

    now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kernel() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def line_of(kernel: subprocess.Popen[str]) -> str:
    assert kernel.stdout is not None
    return kernel.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_the_cell_that_runs(kernel: subprocess.Popen[str], number: signal.Signals) -> None:
    notes: list[str] = []
    with Interruption(notify=notes.append).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.cell_runs()
        os.kill(os.getpid(), number)
        assert line_of(kernel) == "interrupted"
        assert interruption.received is number
        assert kernel.poll() is None
    assert number.name in notes[0]


def test_a_second_signal_kills_the_kernel_but_not_an_echo_of_the_first(kernel: subprocess.Popen[str]) -> None:
    clock, notes = Clock(), list[str]()
    with Interruption(notify=notes.append, clock=clock).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.cell_runs()
        os.kill(os.getpid(), signal.SIGINT)
        assert line_of(kernel) == "interrupted"
        clock.now += 0.5
        os.kill(os.getpid(), signal.SIGINT)
        assert kernel.poll() is None
        assert len(notes) == 1
        clock.now += 0.1
        os.kill(os.getpid(), signal.SIGINT)
        assert kernel.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert notes[1:] == ["second signal: the kernel is killed"]


def test_the_grace_period_has_an_end(kernel: subprocess.Popen[str]) -> None:
    with Interruption(grace_seconds=0.2).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.cell_runs()
        os.kill(os.getpid(), signal.SIGTERM)
        assert kernel.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_a_cell_that_ends_in_time_keeps_its_kernel(kernel: subprocess.Popen[str]) -> None:
    before = set(threading.enumerate())
    with Interruption(grace_seconds=1e6).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.cell_runs()
        os.kill(os.getpid(), signal.SIGTERM)
        (grace,) = set(threading.enumerate()) - before
        interruption.cell_ended()
        grace.join(PATIENCE_SECONDS)
        assert not grace.is_alive(), "what kills the kernel at the end of the grace period still waits for it"
        assert kernel.poll() is None


def test_a_signal_between_cells_ends_the_notebook_and_not_the_kernel(kernel: subprocess.Popen[str]) -> None:
    with Interruption().installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.raise_if_received()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(InterruptedRun, match="SIGINT"):
            interruption.raise_if_received()
        assert kernel.poll() is None


def test_a_signal_that_comes_before_the_kernel_has_begun_reaches_the_cell(kernel: subprocess.Popen[str]) -> None:
    with Interruption().installed() as interruption:
        interruption.watch(kernel.pid)
        os.kill(os.getpid(), signal.SIGINT)
        interruption.cell_runs()
        assert line_of(kernel) == "interrupted"


def test_the_former_handlers_come_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption().installed():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGHUP, ignored)


def test_another_thread_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def elsewhere() -> None:
        with Interruption().installed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_cells_that_clean_up_go_on_after_the_first_signal_and_end_with_the_second(
    kernel: subprocess.Popen[str],
) -> None:
    clock, notes = Clock(), list[str]()
    with Interruption(notify=notes.append, clock=clock).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.clean_up()
        interruption.cell_sent()
        interruption.cell_runs()
        os.kill(os.getpid(), signal.SIGTERM)
        interruption.raise_if_received()
        assert not interruption.interrupted_cell
        assert kernel.poll() is None
        clock.now += 0.6
        os.kill(os.getpid(), signal.SIGTERM)
        assert kernel.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert interruption.interrupted_cell
        assert interruption.force_killed
    assert "the clean-up cells continue" in notes[0]


def test_after_an_interrupted_cell_one_more_signal_ends_what_cleans_up(kernel: subprocess.Popen[str]) -> None:
    clock = Clock()
    with Interruption(clock=clock).installed() as interruption:
        interruption.watch(kernel.pid)
        interruption.cell_sent()
        interruption.cell_runs()
        os.kill(os.getpid(), signal.SIGINT)
        assert line_of(kernel) == "interrupted"
        interruption.cell_ended()
        interruption.clean_up()
        interruption.cell_sent()
        interruption.cell_runs()
        assert not interruption.interrupted_cell
        clock.now += 0.6
        os.kill(os.getpid(), signal.SIGINT)
        assert kernel.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert interruption.force_killed


def test_the_user_asks_as_often_as_signals_are_not_an_echo() -> None:
    clock, asked = Clock(), list[tuple[str, int]]()
    signals = EndSignals(lambda number, times: asked.append((number.name, times)), clock)
    for pause, number in ((0.0, signal.SIGINT), (0.5, signal.SIGINT), (0.1, signal.SIGTERM), (0.4, signal.SIGHUP)):
        clock.now += pause
        signals.handle(number, None)
    assert asked == [("SIGINT", 1), ("SIGTERM", 2)]
    assert signals.times == 2


def test_what_is_ignored_stays_ignored_and_every_handler_is_put_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = [signal.getsignal(number) for number in SIGNALS]
        with handled(lambda number, frame: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in handlers
        assert [signal.getsignal(number) for number in SIGNALS] == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_unwinds_what_is_open() -> None:
    with pytest.raises(InterruptedRun, match="interrupted by SIGTERM"), signals_unwind():
        signal.raise_signal(signal.SIGTERM)
