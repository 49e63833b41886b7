"""What a verification finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: with which record (its id; empty: with the archive), where, and what.

    A ``leftover`` is no manipulation but what a crash left, as the next run mends.
    """

    record: str
    place: str
    problem: str
    leftover: bool = False

    def __str__(self) -> str:
        record = f"record {self.record}: " if self.record else ""
        return f"{record}{self.place}: {self.problem}"


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong with it.

    ``records`` were compared with their entries, ``running`` are being written now, ``pruned`` were removed by a signed
    entry; ``signed`` has the number of entries by key id, and ``ends_known`` says whether this machine knew which entry
    has to be the last.
    """

    findings: tuple[Finding, ...]
    records: int = 0
    entries: int = 0
    pruned: int = 0
    running: int = 0
    signed: Mapping[str, int] | None = None
    ends_known: bool = False

    @property
    def intact(self) -> bool:
        """Whether nothing was manipulated or lost; leftovers of a crash do not count."""
        return all(finding.leftover for finding in self.findings)
