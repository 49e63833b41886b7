"""How jobs are handed out and what their ends add up to, with workers that are threads."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import pytest

from runbook_lib.errors import ExitCode, RunbookError
from runbook_lib.execute.batch.batch import Cancellation, exit_code_of_batch, run_batch
from runbook_lib.execute.batch.display import LineDisplay
from runbook_lib.execute.batch.jobs import Job, JobResult, Progress, not_run
from tests.unit.execute.batch.samples import bad_input, check_failed, job, passed
from tests.waiting import PATIENCE_SECONDS, wait_until


class Threads:
    """Workers that run a function for every job, at most ``limit`` of them."""

    def __init__(self, run: Callable[[Job], JobResult], limit: int = 2) -> None:
        self.limit = limit
        self.cancelled: list[signal.Signals] = []
        self.told_to_end = threading.Event()
        self.unreachable = False
        self.most_at_once = 0
        self.looked = threading.Event()  # the batch has handed over what it wanted to, and looks how it goes
        self._run = run
        self._executor = ThreadPoolExecutor(8)
        self._handed_over: list[Future[JobResult]] = []

    def submit(self, job: Job) -> Future[JobResult]:
        self._handed_over.append(self._executor.submit(self._run, job))
        self.most_at_once = max(self.most_at_once, sum(not future.done() for future in self._handed_over))
        return self._handed_over[-1]

    def progress(self, timeout: float) -> Sequence[Progress]:
        self.looked.set()
        wait(self._handed_over, min(timeout, 0.01))
        return []

    def refresh(self) -> None:
        if self.unreachable:
            raise RunbookError("the workers are gone")

    def cancel(self, number: signal.Signals) -> None:
        self.cancelled.append(number)
        self.told_to_end.set()


def run(
    jobs: Sequence[Job],
    workers: Threads,
    refused: Sequence[JobResult] = (),
    cancellation: Cancellation | None = None,
    output: io.StringIO | None = None,
) -> tuple[list[JobResult], str]:
    """Run jobs and return their results and all that was told."""
    output = output or io.StringIO()
    display = LineDisplay(jobs, output)
    return run_batch(jobs, refused, workers, workers.limit, display, cancellation or Cancellation()), output.getvalue()


def ended(told: str) -> list[str]:
    """The clusters whose jobs have ended, in the order in which that was told."""
    return [line.split()[0] for line in told.splitlines() if "ended" in line]


def test_results_come_in_the_order_of_the_jobs_whichever_ends_first() -> None:
    output = io.StringIO()

    def after_the_next_one(one: Job) -> JobResult:
        wait_until(lambda: one.number == 2 or f"cluster{one.number + 1}" in ended(output.getvalue()))
        return passed(one.number)

    results, told = run([job(number) for number in range(3)], Threads(after_the_next_one, limit=3), output=output)
    assert [result.job.number for result in results] == [0, 1, 2]
    assert ended(told) == ["cluster2", "cluster1", "cluster0"]


def test_no_more_jobs_run_at_once_than_allowed() -> None:
    two = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def beside_another(one: Job) -> JobResult:
        assert workers.looked.wait(PATIENCE_SECONDS)  # before, none may make room for one too many
        two.wait()
        return passed(one.number)

    workers = Threads(beside_another, limit=2)
    results, _ = run([job(number) for number in range(6)], workers)
    assert [result.verdict for result in results] == ["pass"] * 6
    assert workers.most_at_once == 2


def test_a_failure_of_any_kind_stops_no_other_cluster() -> None:
    def various(one: Job) -> JobResult:
        match one.number:
            case 0:
                return check_failed(0)
            case 1:
                raise BrokenProcessPool
            case 2:
                return {}["missing"]  # type: ignore[return-value]
            case _:
                return passed(one.number)

    results, _ = run([job(number) for number in range(4)], Threads(various, limit=1))
    assert [result.verdict for result in results] == ["failed", "error", "error", "pass"]
    assert "was killed" in str(results[1].failure)
    assert "KeyError: 'missing'" in str(results[2].failure)
    assert "samples" not in str(results[2].failure)


def test_a_refused_cluster_is_told_and_not_run() -> None:
    ran = []

    def noted(one: Job) -> JobResult:
        ran.append(one.number)
        return passed(one.number)

    jobs = [job(0), job(1)]
    results, told = run(jobs, Threads(noted), refused=[bad_input(0)])
    assert ran == [1]
    assert [result.verdict for result in results] == ["bad input", "pass"]
    assert "cluster0  ended: bad input (x.yaml: there is no such file)" in told


def test_ctrl_c_begins_no_further_cluster_and_tells_those_that_run(capfd: pytest.CaptureFixture[str]) -> None:
    def until_told(one: Job) -> JobResult:
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
        assert workers.told_to_end.wait(PATIENCE_SECONDS)
        return JobResult(one, "interrupted", ExitCode.INTERRUPTED)

    workers = Threads(until_told, limit=1)
    cancellation = Cancellation()
    with cancellation.installed():
        results, _ = run([job(0), job(1)], workers, cancellation=cancellation)
    assert workers.cancelled == [signal.SIGINT]
    assert [result.verdict for result in results] == ["interrupted", "not run"]
    assert "SIGINT: no further cluster starts" in capfd.readouterr().err


def test_a_second_ctrl_c_is_passed_on_and_an_echo_of_the_first_is_not() -> None:
    now = 5000.0
    cancellation = Cancellation(clock=lambda: now)
    with cancellation.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        now += 0.5
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancellation.times == 1
        now += 0.1
        os.kill(os.getpid(), signal.SIGINT)
    assert (cancellation.times, cancellation.received) == (2, signal.SIGINT)


def test_a_job_that_somebody_else_cancelled_is_not_called_never_run() -> None:
    def cancelled(one: Job) -> JobResult:
        raise CancelledError

    (result,), _ = run([job(0)], Threads(cancelled))
    assert (result.verdict, result.exit_code) == ("error", 3)
    assert "the workers were lost" in str(result.failure)


def test_workers_out_of_reach_fail_the_clusters_that_are_left_with_the_reason() -> None:
    release = threading.Event()

    def waits(one: Job) -> JobResult:
        workers.unreachable = True
        release.wait(PATIENCE_SECONDS)
        return passed(one.number)

    workers = Threads(waits, limit=1)
    results, _ = run([job(0), job(1)], workers)
    release.set()
    assert [str(result.failure) for result in results] == ["the workers are gone"] * 2


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([passed(0), passed(1)], 0),
        ([passed(0), bad_input(1), check_failed(2)], 2),
        ([check_failed(0), bad_input(1)], 1),
        ([check_failed(0), not_run(job(1))], 4),
    ],
    ids=["all pass", "the first that did not pass", "in the order given", "cancelled"],
)
def test_the_exit_code_is_that_of_the_first_that_did_not_pass_unless_cancelled(
    results: list[JobResult], code: int
) -> None:
    assert exit_code_of_batch(results) == code
