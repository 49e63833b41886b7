"""How long a change takes to be seen by a peer: its name and its answer, sampled from the peer's namespace."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from runbook_lib.cluster import Cluster
from runbook_lib.errors import DeadlineError, InputError, NodeError, PreconditionError
from runbook_lib.verify.ping_matrix import RESTART_ENGINE, find_containers
from runbook_lib.verify.prober import program
from runbook_lib.verify.samples import Convergence, Sample, parse_samples, shows, summarize

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
            PreconditionError: there is no such container, or the source does not run.
            NodeError: the source's node does not let the sampler run.
        """
        found, silent = find_containers(self._cluster, {self._source, self._target})
        source = found.get(self._source)
        self._node = source.node if source is not None else ""
        if source is None or not source.running:
            raise PreconditionError(
                f"{self._source} cannot be watched from: {source.status if source else silent}",
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
        """Stop sampling. What was sampled stays readable."""
        self._stack.close()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout=5)

    def wait_for_samples(self, count: int, timeout: float = 10.0) -> None:
        """Wait until that many samples are finished, so that the time line shows what was before.

        Raises:
            DeadlineError: the sampler came to a stop.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._finished()) >= count or self._ended, timeout=timeout):
                raise DeadlineError(
                    f"fewer than {count} samples from {self._source} in {timeout:g} s",
                    place=self._source,
                    remedy="is the node overloaded?",
                )

    def mark(self, event: str) -> None:
        """Remember that the event happens now: the zero of the time line."""
        self._event = (event, time.monotonic())

    def until(self, *, reachable: bool, timeout: float = 30.0) -> None:
        """Wait until three samples in a row, begun after the event, show the target reachable or unreachable by name.

        Raises:
            DeadlineError: not within the timeout; what was seen last is in the message.
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
        """What was sampled so far."""
        with self._changed:
            return parse_samples(self._lines, self._source, self._target, self._event[1], finished=False)

    @property
    def convergence(self) -> Convergence:
        """The time line and its summary, of what was sampled so far."""
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
            return "nothing was sampled"
        last = samples[-1]
        resolved = f"it resolves to {last.resolved}" if last.resolved else "its name does not resolve"
        return f"{resolved}, and it {'answers' if last.answered else 'does not answer'}"


def remedy_for(samples: Sequence[Sample], reachable: bool, node: str) -> str:
    """What to do where a peer did not become as expected, from what the container on ``node`` saw of it last."""
    otherwise = "look at both with notebook 05_ping_tests, or raise timeouts.converge"
    if reachable and samples and samples[-1].answered and not samples[-1].resolved:
        restart = RESTART_ENGINE.format(node=node)
        return f"if the name alone stays away, the engine of {node} has no service record of it: {restart}; {otherwise}"
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
    """Do something to the target and measure when the source sees it.

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
