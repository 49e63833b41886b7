"""How long a change takes to be seen by a peer: its name and its answer, sampled from the peer's namespace."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.cluster import Cluster
from runbook_lib.errors import RunbookError


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the event (negative before it), whether the name resolved and the peer answered."""

    source: str
    target: str
    elapsed: float
    resolved: bool
    answered: bool


@dataclass(frozen=True)
class Convergence:
    """A sampled change. Seconds are ``None`` when it was not seen within the time given."""

    source: str
    target: str
    event: str
    resolves_after: float | None
    answers_after: float | None
    samples: tuple[Sample, ...]


class Watch:
    """Samples a target from a source container until stopped. Use it as a context manager around the event::

    with Watch(cluster, "alpine1", "alpine2", address="10.0.0.3", seconds=30) as watch:
        watch.mark("connect")
        ...connect...
        watch.until(resolved=True, answered=True)
    watch.convergence
    """

    def __init__(
        self,
        cluster: Cluster,
        source: str,
        target: str,
        *,
        address: str = "",
        interval: float = 0.1,
        seconds: float = 30,
    ) -> None:
        raise NotImplementedError

    def __enter__(self) -> Watch:
        """Start sampling; returns once the first sample is there."""
        raise NotImplementedError

    def __exit__(self, *error: object) -> None:
        """Stop sampling and collect the samples."""
        raise NotImplementedError

    def mark(self, event: str) -> None:
        """Remember that the event happens now: the zero of the time line."""
        raise NotImplementedError

    def until(self, *, resolved: bool, answered: bool, timeout: float | None = None) -> bool:
        """Wait until the samples show this state (three in a row); False when the time is over."""
        raise NotImplementedError

    @property
    def convergence(self) -> Convergence:
        """The finished time line. Raises ``RunbookError`` while it is still sampling."""
        raise RunbookError("still sampling")
