"""How long until a peer sees a change: name and echo sampled from its namespace, and when they converged."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from runbook_lib.cluster import Cluster
from runbook_lib.errors import DeadlineError, InputError, NodeError, PreconditionError, RunbookError
from runbook_lib.verify.ping_matrix import RESTART_ENGINE, find_containers
from runbook_lib.verify.prober import program


@dataclass(frozen=True)
class Sample:
    """One sample: seconds since the event (negative before it), and its result.

    ``resolved`` is the address of the name, or empty; ``milliseconds`` is the answer's round trip.
    """

    source: str
    target: str
    elapsed: float
    resolved: str
    answered: bool
    milliseconds: float | None = None


@dataclass(frozen=True)
class Convergence:
    """A sampled change.

    ``resolves_after`` and ``answers_after`` are the seconds from the event until the name resolved (or, when
    ``reachable`` is false, stopped resolving) and the peer answered (or stopped answering) until the end; ``None`` if
    that did not happen. ``interval`` is the time between samples, the resolution of all times.
    """

    source: str
    target: str
    event: str
    reachable: bool
    resolves_after: float | None
    answers_after: float | None
    interval: float
    samples: tuple[Sample, ...]

    @property
    def converged(self) -> bool:
        """True when both name and answer reached the expected state."""
        return self.resolves_after is not None and self.answers_after is not None


def parse_samples(
    lines: Sequence[tuple[float, str]], source: str, target: str, event: float, *, finished: bool = True
) -> tuple[Sample, ...]:
    """Samples from the lines of watch.sh, each with its local time of arrival.

    The fastest line maps the node's uptime to the local clock. A sample is finished once name and echo were answered or
    timed out; without ``finished``, one that still waits while a later one is finished counts as unanswered.
    """
    ticks: dict[str, float] = {}
    answers: dict[str, str] = {}
    echoes: dict[str, list[float | None]] = {}
    for _, line in lines:
        kind, *fields = line.split("\t")
        if kind == "tick":
            ticks[fields[0]] = float(fields[1])
        elif kind == "dns":
            answers[fields[0]] = fields[1].replace("-", "")
        elif kind == "ping":
            echoes.setdefault(fields[0], []).append(None if fields[2] == "-" else float(fields[2]))
    offset = _offset(lines)
    zero = event or min(ticks.values(), default=0.0) + offset
    rows = [
        (number in answers and (number in echoes or not answers[number]), _sample(number, answers, echoes))
        for number in ticks
    ]
    last = max((place for place, (done, _) in enumerate(rows) if done), default=-1)
    return tuple(
        Sample(source, target, round(began + offset - zero, 3), *seen)
        for place, (began, (done, seen)) in enumerate(zip(ticks.values(), rows, strict=True))
        if done or (not finished and place < last)
    )


def _offset(lines: Sequence[tuple[float, str]]) -> float:
    return min((came - float(line.split("\t")[2]) for came, line in lines if line.startswith("tick\t")), default=0.0)


def _sample(
    number: str, answers: Mapping[str, str], echoes: Mapping[str, Sequence[float | None]]
) -> tuple[str, bool, float | None]:
    times = [milliseconds for milliseconds in echoes.get(number, ()) if milliseconds is not None]
    return answers.get(number, ""), bool(times), min(times, default=None)


def summarize(samples: Sequence[Sample], event: str, reachable: bool, interval: float) -> Convergence:
    """When name and echo reached the expected state for the rest of the samples.

    Raises:
        RunbookError: no samples at all.
    """
    if not samples:
        raise RunbookError("there are no samples", remedy="let the watch run for a moment before and after the event")
    return Convergence(
        source=samples[0].source,
        target=samples[0].target,
        event=event,
        reachable=reachable,
        resolves_after=_since([(s.elapsed, bool(s.resolved) == reachable) for s in samples]),
        answers_after=_since([(s.elapsed, s.answered == reachable) for s in samples]),
        interval=interval,
        samples=tuple(samples),
    )


def _since(states: Sequence[tuple[float, bool]]) -> float | None:
    """The start of the final run of good states; states before the event do not count."""
    since = None
    for elapsed, good in reversed(states):
        if not good:
            break
        since = elapsed
    return None if since is None else max(0.0, since)


def shows(sample: Sample, reachable: bool) -> bool:
    """True when name and echo both show the target reachable, or both show it unreachable."""
    if reachable:
        return bool(sample.resolved) and sample.answered
    return not sample.resolved and not sample.answered


__all__ = ["Convergence", "Sample", "Watch", "measure"]

_SETTLED = 3
_BEFORE = 5


class Watch:
    """Samples a target from a source container, in one remote loop. Use it around the event::

        with Watch(cluster, "alpine1", "alpine2", "ovr0") as watch:
            watch.mark("connect")
            ...connect...
            watch.until(reachable=True)
        print(watch.convergence)

    Leaving the context ends the loop on the node, also after an error. Needs root over SSH.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: str,
        target: str,
        network: str,
        *,
        address: str = "",
        interval: float = 0.1,
        seconds: float = 60.0,
    ) -> None:
        self._cluster = cluster
        self._source = source
        self._target = target
        self._network = network
        self._address = address
        self._node = ""
        self._interval = interval
        self._seconds = seconds
        self._changed = threading.Condition()
        self._lines: list[tuple[float, str]] = []
        self._ended = False
        self._event = ("", 0.0)
        self._reachable = True
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start sampling; returns once the first sample has begun.

        Raises:
            PreconditionError: a container does not exist, or the source does not run.
            NodeError: the source's node does not let the sampler run.
        """
        found, silent = find_containers(self._cluster, {self._source, self._target})
        source = found.get(self._source)
        self._node = source.node if source is not None else ""
        if source is None or not source.running:
            raise PreconditionError(
                f"{self._source} cannot be the source of a watch: {source.status if source else silent}",
                remedy=f"start {self._source} (notebook 04_run_containers)",
            )
        if not self._address and self._target in found:
            self._address = found[self._target].addresses.get(self._network, "")
        argv = ("nsenter", f"--net=/proc/{source.pid}/ns/net", "sh", "-c", program("watch.sh"))
        samples = max(1, round(self._seconds / self._interval))
        channel = self._cluster.node(source.node).ssh.stream(
            [*argv, "sh", self._target, self._address, f"{self._interval:g}", str(samples)], sudo=True
        )
        self._stack.callback(channel.close)
        output = channel.makefile("r")
        reader = threading.Thread(target=self._read, args=(output,), name=f"watch-{self._source}", daemon=True)
        reader.start()
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._ended, timeout=10)
            if not self._lines:
                self._stack.close()
                raise NodeError(
                    source.node,
                    f"the sampler in {self._source} did not start",
                    remedy="it needs nsenter and sudo on the node",
                )
        return self

    def __exit__(self, *error: object) -> None:
        """Stop sampling. The samples stay readable."""
        self._stack.close()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout=5)

    def wait_for_samples(self, count: int, timeout: float = 10.0) -> None:
        """Wait until that many samples are finished, so that the time line shows the state before the event.

        Raises:
            DeadlineError: the sampler stopped.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._finished()) >= count or self._ended, timeout=timeout):
                raise DeadlineError(
                    f"fewer than {count} samples from {self._source} in {timeout:g} s",
                    place=self._source,
                    remedy="check the node's load",
                )

    def mark(self, event: str) -> None:
        """Mark now as the event: time zero of the time line."""
        self._event = (event, time.monotonic())

    def until(self, *, reachable: bool, timeout: float = 30.0) -> None:
        """Wait until three samples in a row, begun after the event, show the target reachable or unreachable by name.

        Raises:
            DeadlineError: not within the timeout; the message has the last sample.
        """
        self._reachable = reachable
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._settled(reachable):
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    raise DeadlineError(
                        f"{self._target} is not {'reachable' if reachable else 'unreachable'} from {self._source} "
                        f"{timeout:g} s after {self._event[0] or 'the start'} ({self._last_seen()})",
                        place=self._source,
                        remedy=remedy_for(self._finished(), reachable, self._node),
                    )
                self._changed.wait(min(left, 0.5))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples so far."""
        with self._changed:
            return parse_samples(self._lines, self._source, self._target, self._event[1], finished=False)

    @property
    def convergence(self) -> Convergence:
        """The time line and its summary so far."""
        return summarize(self.samples, self._event[0], self._reachable, self._interval)

    def _read(self, output: Iterable[str]) -> None:
        try:
            for line in output:
                with self._changed:
                    self._lines.append((time.monotonic(), line.rstrip("\n")))
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _finished(self) -> tuple[Sample, ...]:
        return parse_samples(self._lines, self._source, self._target, self._event[1])

    def _settled(self, reachable: bool) -> bool:
        last = [sample for sample in self._finished() if sample.elapsed >= 0][-_SETTLED:]
        return len(last) == _SETTLED and all(shows(sample, reachable) for sample in last)

    def _last_seen(self) -> str:
        samples = self._finished()
        if not samples:
            return "no samples"
        last = samples[-1]
        resolved = f"it resolves to {last.resolved}" if last.resolved else "its name does not resolve"
        return f"{resolved}, and it {'answers' if last.answered else 'does not answer'}"


def remedy_for(samples: Sequence[Sample], reachable: bool, node: str) -> str:
    """The remedy if a peer did not become as expected, from the last samples of the container on ``node``."""
    otherwise = "test both with notebook 05_ping_tests, or raise timeouts.converge"
    if reachable and samples and samples[-1].answered and not samples[-1].resolved:
        restart = RESTART_ENGINE.format(node=node)
        return f"if the name alone fails, the engine of {node} has no service record of it: {restart}; {otherwise}"
    return otherwise


def measure(
    cluster: Cluster,
    source: str,
    target: str,
    network: str,
    event: str,
    act: Callable[[], object],
    *,
    reachable: bool,
    timeout: float = 30.0,
) -> Convergence:
    """Call ``act`` and measure when the source sees the change of the target.

    Raises:
        DeadlineError: the source does not see it in time.
        RunbookError: whatever ``act`` raises.
    """
    if source == target:
        raise InputError("a container cannot watch itself", place=source, remedy="name two containers")
    with Watch(cluster, source, target, network, seconds=timeout + 30) as watch:
        watch.wait_for_samples(_BEFORE)
        watch.mark(event)
        act()
        watch.until(reachable=reachable, timeout=timeout)
    return watch.convergence
