"""Finds many values in a text at once, in every form that programs give them."""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

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


def outside_placeholders(text: str, spans: Iterable[Span], names: Collection[str]) -> list[Span]:
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


# A shorter stretch of base64 could be the middle of an ordinary word.
_SHORTEST_BASE64 = 8


def forms(value: str) -> set[str]:
    """The value itself and what it looks like escaped, escaped twice, in a URL and in base64."""
    once = _escaped(value)
    found = {value, *once}
    for form in once - {value}:
        found |= _escaped(form)
    for form in (quote(value, safe="", errors="replace"), quote(value, errors="replace")):
        found |= {form, form.replace("%20", "+")}
    return found | _base64(_bytes(value))


def _escaped(value: str) -> set[str]:
    """In JSON, in Python's repr (text, and bytes), in a table, in HTML, in CSV, in a word of a shell."""
    markup = html.escape(value, quote=False)
    return {
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(_bytes(value))[2:-1],
        value.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"),
        markup,
        html.escape(value),
        markup.replace('"', "&quot;").replace("'", "&#39;"),
        markup.replace('"', "&#34;").replace("'", "&#39;"),
        value.replace('"', '""'),
        value.replace("'", "'\"'\"'"),
    }


def _base64(data: bytes) -> set[str]:
    """The data encoded by itself, and in the middle of other data, as a password is in ``user:password``."""
    whole = base64.b64encode(data).decode()
    found = {whole, whole.rstrip("=")}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        # The characters that hold nothing but bits of the data.
        middle = encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        found.add(middle)
    found = {form for form in found if len(form) >= _SHORTEST_BASE64}
    return found | {form.replace("+", "-").replace("/", "_") for form in found}


def _bytes(value: str) -> bytes:
    # Environment variables that are not UTF-8 contain surrogates.
    return value.encode(errors="surrogateescape")


# From this many characters on a value that was cut short, with an ellipsis after it, is found too.
SHORTEST_CUT = 16
_ELLIPSES = ("...", "…")

# shortest value, size of the pieces that are looked at
_TIERS = ((16, 8), (8, 4))
_HEAD = 4


class Values:
    """Finds values in a text at a speed that does not depend on how many they are.

    To look for each value by itself would read the text hundreds of times. Instead pieces of the text are looked up:
    where a value of at least ``shortest`` characters stands, one of the pieces of ``size`` characters that begin every
    ``shortest - size + 1`` characters lies in its first ``shortest`` characters, and all such pieces are known.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        """``names``: the name of each value, by the value."""
        self._names = dict(names)
        self._ordered = sorted(names)
        self._longest = max(map(len, names), default=0)
        self._heads = {value[:size] for value in names for size in range(1, _HEAD + 1)}
        self._tiers: list[tuple[int, int, dict[str, list[tuple[int, str]]]]] = []
        left = set(names)
        for shortest, size in _TIERS:
            values = {value for value in left if len(value) >= shortest}
            left -= values
            step = shortest - size + 1
            pieces: dict[str, list[tuple[int, str]]] = {}
            for value in values:
                for offset in range(step):
                    pieces.setdefault(value[offset : offset + size], []).append((offset, value))
            if pieces:
                self._tiers.append((size, step, pieces))
        self._short = sorted(left)

    def find(self, text: str) -> Iterator[Span]:
        """Every place where a value stands, or the beginning of one with an ellipsis after it."""
        for value in self._short:
            at = text.find(value)
            while at >= 0:
                yield Span(at, at + len(value), self._names[value])
                at = text.find(value, at + 1)
        for size, step, pieces in self._tiers:
            known = [at for at in range(0, len(text) - size + 1, step) if text[at : at + size] in pieces]
            for at in known:
                for offset, value in pieces[text[at : at + size]]:
                    end = _end(value, text, at - offset)
                    if end:
                        yield Span(at - offset, end, self._names[value])

    def beginning(self, text: str) -> int:
        """The first place from which the text, to its end, is the beginning of a value; else the text's length.

        One or two dots at the end may become an ellipsis after a value that was cut short.
        """
        bare = text.removesuffix(".").removesuffix(".")
        for at in range(max(0, len(bare) - self._longest), len(text)):
            if text[at : at + _HEAD] in self._heads and (
                self._begins(text[at:]) or (len(bare) - at >= SHORTEST_CUT and self._begins(bare[at:]))
            ):
                return at
        return len(text)

    def _begins(self, text: str) -> bool:
        """Whether a value goes on after this text."""
        place = bisect_left(self._ordered, text)
        if place < len(self._ordered) and self._ordered[place] == text:
            place += 1
        return place < len(self._ordered) and self._ordered[place].startswith(text)


def _end(value: str, text: str, start: int) -> int:
    """Where the value ends that stands at this place of the text, perhaps cut short; 0 if it does not stand there."""
    if start < 0:
        return 0
    if text.startswith(value, start):
        return start + len(value)
    if text.startswith(value[:SHORTEST_CUT], start):
        end = next(start + at for at, letter in enumerate(value) if text[start + at : start + at + 1] != letter)
        if text.startswith(_ELLIPSES, end):
            return end
    return 0
