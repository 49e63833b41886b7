"""Stretches of a text that are to be replaced."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_MARK_BEGINS = "[REDACTED:"
_MARK = re.compile(r"\[REDACTED:([^\[\]\n]*)\]")


@dataclass(frozen=True)
class Span:
    """A stretch of a text, and the name of the secret that stands there."""

    start: int
    end: int
    name: str


def merged(spans: Iterable[Span]) -> list[Span]:
    """The stretches in their order; those that overlap become one, which has the name of the longest."""
    result: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        length = span.end - span.start
        if result and span.start < result[-1].end:
            last = result[-1]
            name = span.name if length > longest else last.name
            result[-1] = Span(last.start, max(last.end, span.end), name)
            longest = max(longest, length)
        else:
            result.append(span)
            longest = length
    return result


def outside_marks(text: str, spans: Iterable[Span], names: Collection[str]) -> list[Span]:
    """The stretches that are not part of a mark of one of these names that stands in the text already."""
    marks = [match.span() for match in _MARK.finditer(text) if match[1] in names] if _MARK_BEGINS in text else []
    starts = [start for start, _ in marks]

    def outside(span: Span) -> bool:
        place = bisect_right(starts, span.start) - 1
        return place < 0 or span.end > marks[place][1]

    return [span for span in spans if outside(span)]


def replaced(text: str, spans: Iterable[Span]) -> str:
    """The text with a mark in the place of each stretch; they are in order and do not overlap."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], f"{_MARK_BEGINS}{span.name}]"]
        at = span.end
    return "".join([*parts, text[at:]])
