"""The time line of a watched change: samples from the lines of watch.sh, and when they settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook_lib.errors import RunbookError


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the event (negative before it), and what was seen.

    ``resolved`` is the address that the name led to, or empty; ``milliseconds`` is the answer's round trip.
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
    ``reachable`` is false, resolved no more) and the peer answered (or was silent), and stayed so until the end;
    ``None`` when that was not seen. ``interval`` is how far apart the samples are: no time is known better.
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
    """Samples from the lines of watch.sh, each with the local time at which it came.

    The node's uptime is laid on the local clock by the line that came fastest. A sample is finished once both name and
    echo have had their answer or its absence; without ``finished``, one that still waits while a later one is
    finished counts as not resolved, not answered.
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
    """When name and answer came to the expected state for good.

    Raises:
        RunbookError: no samples at all.
    """
    if not samples:
        raise RunbookError("nothing was sampled", remedy="let the watch run for a moment before and after the event")
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
    """The time of the first state of the unbroken run of good ones at the end; none before the event counts."""
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
