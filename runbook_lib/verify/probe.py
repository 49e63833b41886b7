"""The row of one probe, and its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from runbook_lib.model.results import By, Expectation, Probe, Verdict

# The minimum that every IPv4 host must accept: an overlay cannot have less.
_LEAST_MTU = 576

# The note of the row by name if name and address shared one series of pings.
SHARED = "the same echo requests as by address"

# The same remedies for all pairs, so that many lost pairs do not make a long list.
_UNPROBED = (
    "see that the container runs (notebook 04_run_containers) and that its node answers over SSH (notebook"
    " 00_meet_the_cluster), then run it again"
)
_UNKNOWN = (
    "see that both containers run and are on the overlay (notebook 04_run_containers), and that gossip passes between"
    " the nodes (7946, notebook 00_meet_the_cluster)"
)
_SILENT = (
    "see whether the overlay's packets pass between the two nodes (notebook 00_meet_the_cluster) and whether the nodes'"
    " tables are right (notebook 07_look_inside_the_overlay)"
)
_LOSSY = (
    "packets are lost in a node's filter or on the way: look at what 'iptables -nvL INPUT' counts as dropped on the"
    " target's node, and at the network between the nodes; where such loss is accepted, raise probes.may_lose"
)
_CUT = (
    "look for what drops large packets between the two nodes: an interface with a smaller MTU (notebook"
    " 00_meet_the_cluster compares them), or a filter that drops by length"
)
_MISLED = (
    "two containers have that name, or a record outlived its container: see 'docker network inspect' on both nodes, and"
    " disconnect and connect the target again (notebook 06_disconnect_connect)"
)
_PRESENT = (
    "see who has that address ('docker network inspect' on all nodes): the container may have been connected again, or"
    " another one got its address"
)


@dataclass(frozen=True)
class FullSize:
    """Packets as large as the interface takes, which must not be fragmented; sizes are bytes of the IP packet.

    ``wanted`` is the interface's MTU, ``largest`` what passed. ``sent`` and ``answered`` count those of full size. In
    ``doubt`` is what the tool could not prove, or, where ``wanted`` is 0, why nothing was tried.

    One packet is sent where it is answered. Where the first is lost and a repeat passes, there are ten in all: one lost
    alone happens on a busy machine and is a warning, two are a failure. ``probes.may_lose`` bounds echo requests, and
    allows more here only where it allows more of so many.
    """

    wanted: int = 0
    largest: int = 0
    sent: int = 0
    answered: int = 0
    doubt: str = ""


@dataclass(frozen=True)
class Evidence:
    """Evidence about a pair besides its echo requests.

    ``size`` and ``connection`` (``passed``, ``not tried: …`` or what became of it) are those of the answering target.
    ``faults`` are rows of the source node's tables that were wrong before the first packet, each with its remedy;
    ``route_known`` is true where all rows both ways were right, so that the first packet was no cold one. ``unread``
    says why the source node's were not read. ``may_lose`` is how many of 50 may be lost.
    """

    size: FullSize | None = None
    connection: str = ""
    faults: tuple[tuple[str, str], ...] = ()
    route_known: bool = False
    may_lose: int = 0
    unread: str = ""
    note: str = ""

    def bound(self, sent: int) -> int:
        """How many of ``sent`` may be lost."""
        return ceil(self.may_lose * sent / 50)


@dataclass(frozen=True)
class Pair:
    """An ordered pair before it is probed; ``address`` is empty if the target has none."""

    source: str
    source_node: str
    target: str
    target_node: str
    by: By
    address: str
    expected: Expectation = "reachable"


def judge(
    pair: Pair,
    resolved: str,
    times: Sequence[float | None],
    trouble: str = "",
    evidence: Evidence | None = None,
    remedy: str = "",
) -> Probe:
    """The row of a pair, from the time of each probe in milliseconds (``None``: lost) and what else is known of it.

    ``trouble`` says why nothing could be sent: then no expectation holds unless a name that does not resolve
    was the expectation. ``remedy`` is that trouble's.
    """
    evidence = evidence or Evidence()
    received = [time for time in times if time is not None]
    warm = [time for time in times[1:] if time is not None]
    verdict, detail, remedies = _verdict(pair, resolved, times, trouble, evidence)
    size = evidence.size
    wanted = [*dict.fromkeys(_said(remedy, remedies))] if verdict is Verdict.FAIL else []
    unproven = _unproven(evidence) if received and pair.expected == "reachable" else ()
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
        detail="; ".join(part for part in (detail, *unproven, evidence.note) if part),
        times=tuple(times),
        largest=size.largest if size is not None and size.wanted else None,
        full_size=size.wanted if size is not None and size.wanted else None,
        whole=size is not None and size.answered > 0 and not size.doubt,
        unproven=unproven,
        remedy="; ".join(wanted),
        sure="; ".join(text for text in wanted if not text.startswith((_SILENT, _LOSSY, _CUT))),
    )


def _said(known: str, found: Sequence[str]) -> Sequence[str]:
    """The remedies to tell: where the trouble's own is known, not the general one for a name without an address."""
    return [known, *(remedy for remedy in found if remedy != _UNKNOWN)] if known else found


def unprobed(pair: Pair, reason: str) -> Probe:
    """The row of a pair that could not be probed: a failure whatever was expected."""
    return judge(pair, "", (), f"not probed: {reason}")


def _verdict(
    pair: Pair, resolved: str, times: Sequence[float | None], trouble: str, evidence: Evidence
) -> tuple[Verdict, str, list[str]]:
    if trouble.startswith("not probed"):
        return Verdict.FAIL, trouble, [_UNPROBED]
    received = sum(time is not None for time in times)
    if pair.expected == "unreachable":
        return *_verdict_unreachable(pair, resolved, received, trouble), [_PRESENT]
    found = [*_answers(pair, resolved, times, trouble, evidence)]
    if received:
        found += [*_size_faults(evidence), *_connection_faults(evidence)]
    found += [(Verdict.FAIL, words, remedy) for words, remedy in evidence.faults]
    worst = [verdict for verdict in (Verdict.FAIL, Verdict.WARN) if any(row[0] is verdict for row in found)]
    details = [row[1] for row in found]
    return worst[0] if worst else Verdict.PASS, "; ".join(details), [row[2] for row in found if row[2]]


Found = tuple[Verdict, str, str]  # verdict, detail, remedy


def _answers(
    pair: Pair, resolved: str, times: Sequence[float | None], trouble: str, evidence: Evidence
) -> Iterator[Found]:
    lost = sum(time is None for time in times)
    wrong = bool(resolved and pair.by == "name" and pair.address and resolved != pair.address)
    if not resolved:
        yield Verdict.FAIL, trouble, _UNKNOWN
    elif lost == len(times):
        also = f", and {pair.address} is its address" if wrong else ""
        yield Verdict.FAIL, f"no answer from {resolved}{also}", _MISLED if wrong else _SILENT
    elif wrong:
        yield Verdict.FAIL, f"resolves to {resolved}, but {pair.address} is its address", _MISLED
    elif lost == 1 and times[0] is None and not evidence.route_known:
        yield Verdict.PASS, "the cold first probe was lost, all later ones were answered", ""
    elif lost == 1 and times[0] is None and not evidence.may_lose:
        yield Verdict.FAIL, f"the first of {len(times)} probes was lost, although the tables had the route", _LOSSY
    elif lost:
        yield from _losses(lost, times, evidence)


def _losses(lost: int, times: Sequence[float | None], evidence: Evidence) -> Iterator[Found]:
    counted = lost if evidence.route_known or times[0] is not None else lost - 1
    within = counted <= evidence.bound(len(times) - 1)
    bound = f", of 50 {evidence.may_lose} may be" if evidence.may_lose else ""
    yield Verdict.WARN if within else Verdict.FAIL, f"{lost} of {len(times)} probes lost{bound}", _LOSSY


def _size_faults(evidence: Evidence) -> Iterator[Found]:
    size = evidence.size
    if size is None or not size.wanted:
        return
    lost = size.sent - size.answered
    if not size.answered:
        smaller = f", or create the overlay with overlay.options com.docker.network.driver.mtu: {size.largest}"
        yield (
            Verdict.FAIL,
            f"no whole packet of {size.wanted} bytes ({lost} lost), the largest that passed has {size.largest}",
            f"{_CUT}{smaller * (size.largest >= _LEAST_MTU)}",
        )
    elif lost:
        # see FullSize: one alone is a busy machine's
        within = lost <= max(1, evidence.bound(size.sent))
        words = f"{lost} of {size.sent} packets of {size.wanted} bytes lost"
        yield Verdict.WARN if within else Verdict.FAIL, words, _LOSSY


def _connection_faults(evidence: Evidence) -> Iterator[Found]:
    result = evidence.connection
    if result in ("", "passed") or result.startswith("not tried"):
        return
    remedy = ""
    if evidence.size is None or evidence.size.answered or not evidence.size.wanted:
        remedy = (
            "pings of all sizes pass and TCP does not: see whether a firewall in the container refuses it, or whether"
            " the nodes' interface makes wrong checksums (ethtool -K INTERFACE tx-checksum-ip-generic off)"
        )
    yield Verdict.FAIL, f"TCP: {result}", remedy


def _unproven(evidence: Evidence) -> tuple[str, ...]:
    doubt = evidence.size.doubt if evidence.size is not None else ""
    connection = f"TCP {evidence.connection}" if evidence.connection.startswith("not tried") else ""
    return tuple(text for text in (doubt, connection, evidence.unread) if text)


def _verdict_unreachable(pair: Pair, resolved: str, received: int, trouble: str) -> tuple[Verdict, str]:
    if received:
        return Verdict.FAIL, f"answers from {resolved}, though it should not"
    if not resolved:
        return Verdict.PASS, f"{trouble}, as expected"
    if pair.by == "name":
        return Verdict.WARN, f"no answer, as expected, but the name still resolves to {resolved}"
    return Verdict.PASS, f"no answer from {resolved}, as expected"
