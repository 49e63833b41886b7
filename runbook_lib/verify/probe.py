"""One uniform row a probe, and the verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from runbook_lib.model.results import Verdict

By = Literal["name", "address"]
Expectation = Literal["reachable", "unreachable"]


@dataclass(frozen=True)
class Probe:
    """What one container got when it pinged another; the same fields whether it answered or not.

    ``resolved`` is the address that the name led to (or, by address, the one pinged), or empty. ``first_ms`` is the
    cold first probe, which may have to wait until the overlay has learned where the peer is; ``min_ms``, ``avg_ms``
    and ``max_ms`` are those of the probes after it; ``times`` holds each probe's, in the order in which they were sent.
    All are in milliseconds, ``None`` where nothing answered.
    ``verdict`` is ``pass`` when ``expected`` holds, so also for a peer that rightly does not answer.
    """

    source: str
    source_node: str
    target: str
    target_node: str
    by: By
    resolved: str
    sent: int
    received: int
    loss_percent: float
    min_ms: float | None
    avg_ms: float | None
    max_ms: float | None
    first_ms: float | None
    expected: Expectation
    verdict: Verdict
    detail: str
    times: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Pair:
    """What is known of an ordered pair before it is probed; ``address`` is empty when the target has none."""

    source: str
    source_node: str
    target: str
    target_node: str
    by: By
    address: str
    expected: Expectation = "reachable"


def judge(pair: Pair, resolved: str, times: Sequence[float | None], trouble: str = "", note: str = "") -> Probe:
    """The row of a pair, from the time of each probe in milliseconds (``None``: lost).

    ``trouble`` says why nothing could be sent: then no expectation holds unless a name that does not resolve
    was the expectation. ``note`` is added to the detail.
    """
    received = [time for time in times if time is not None]
    warm = [time for time in times[1:] if time is not None]
    verdict, detail = _verdict(pair, resolved, times, trouble)
    return Probe(
        source=pair.source,
        source_node=pair.source_node,
        target=pair.target,
        target_node=pair.target_node,
        by=pair.by,
        resolved=resolved,
        sent=len(times),
        received=len(received),
        loss_percent=round(100 * (1 - len(received) / len(times)), 1) if times else 100.0,
        min_ms=min(warm, default=None),
        avg_ms=round(fmean(warm), 3) if warm else None,
        max_ms=max(warm, default=None),
        first_ms=times[0] if times else None,
        expected=pair.expected,
        verdict=verdict,
        detail="; ".join(part for part in (detail, note) if part),
        times=tuple(times),
    )


def unprobed(pair: Pair, reason: str) -> Probe:
    """The row of a pair that could not be probed at all: a failure whatever was expected, for nothing is proven."""
    return judge(pair, "", (), f"not probed: {reason}")


def _verdict(pair: Pair, resolved: str, times: Sequence[float | None], trouble: str) -> tuple[Verdict, str]:
    if trouble.startswith("not probed"):
        return Verdict.FAIL, trouble
    received = sum(time is not None for time in times)
    wrong = bool(resolved and pair.by == "name" and pair.address and resolved != pair.address)
    if pair.expected == "unreachable":
        return _verdict_unreachable(pair, resolved, received, trouble)
    if not resolved:
        return Verdict.FAIL, trouble
    if received == 0:
        return Verdict.FAIL, f"no answer from {resolved}" + (f", and {pair.address} is its address" if wrong else "")
    if wrong:
        return Verdict.FAIL, f"resolves to {resolved}, but {pair.address} is its address"
    if received < len(times):
        if times[0] is None and received == len(times) - 1:
            return Verdict.PASS, "the cold first probe was lost, all later ones were answered"
        return Verdict.WARN, f"{len(times) - received} of {len(times)} probes lost"
    return Verdict.PASS, ""


def _verdict_unreachable(pair: Pair, resolved: str, received: int, trouble: str) -> tuple[Verdict, str]:
    if received:
        return Verdict.FAIL, f"answers from {resolved}, though it should not"
    if not resolved:
        return Verdict.PASS, f"{trouble}, as expected"
    if pair.by == "name":
        return Verdict.WARN, f"no answer, as expected, but the name still resolves to {resolved}"
    return Verdict.PASS, f"no answer from {resolved}, as expected"
