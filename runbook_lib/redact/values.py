"""Finds many values in a text at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from runbook_lib.redact.spans import Span

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
