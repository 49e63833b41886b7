"""What is a secret by its shape alone: a swarm's join tokens, unlock and gossip keys, and private keys in PEM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runbook_lib.redact.matching import Span

JOIN_TOKEN = "swarm-join-token"
UNLOCK_KEY = "swarm-unlock-key"
GOSSIP_KEYS = "swarm-gossip-keys"
PRIVATE_KEY = "private-key"
NAMES = (JOIN_TOKEN, UNLOCK_KEY, GOSSIP_KEYS, PRIVATE_KEY)


@dataclass(frozen=True)
class _Shape:
    """A secret of one line: how it begins, the whole of it, and what may follow the beginning of an unfinished one."""

    name: str
    begins: str
    whole: re.Pattern[str]
    unfinished: re.Pattern[str]


_SHAPES = (
    _Shape(
        JOIN_TOKEN,
        "SWMTKN-1-",
        re.compile(r"SWMTKN-1-[0-9a-z]{8,}(?:-[0-9a-z]*)?"),
        re.compile(r"[0-9a-z-]*\Z"),
    ),
    _Shape(
        UNLOCK_KEY,
        "SWMKEY-1-",
        re.compile(r"SWMKEY-1-[0-9A-Za-z+/]{8,}=*"),
        re.compile(r"[0-9A-Za-z+/=]*\Z"),
    ),
    # dockerd's own log has them at level info: "New memberlist node … with config:&{… Keys:[[90 163 …] [127 …]] …}".
    _Shape(
        GOSSIP_KEYS,
        "Keys:[[",
        re.compile(r"(?<=Keys:\[\[)\d{1,3}(?: \d{1,3}){7,}(?:\] \[\d{1,3}(?: \d{1,3})*)*"),
        re.compile(r"[0-9 \[\]]*\Z"),
    ),
)

_PEM_BEGINS = "-----BEGIN "
_PEM_WORDS = "PRIVATE KEY"
_HEADER = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_FOOTER = re.compile(r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_OPEN_HEADER = re.compile(r"[A-Z0-9 ]{0,60}-{0,4}\Z")
# Between the lines of a key stand line ends, escaped ones too, and what quotes, lists and margins add.
_BETWEEN = r"(?:\\+[nrt]|[\s'\",|>])+"
_LINE_ENDS = re.compile(f"({_BETWEEN})")
_LINES = re.compile(f"(?:{_BETWEEN}[A-Za-z0-9+/=]{{16,}})*")
_FULL_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}\Z")
_LAST_LINE = re.compile(r"[A-Za-z0-9+/=]+\Z")
_LONGEST_KEY = 20_000


def find(text: str) -> Iterator[Span]:
    """Every token and every key in the text, also a private key of which one end is missing."""
    for shape in _SHAPES:
        if shape.begins in text:
            for match in shape.whole.finditer(text):
                yield Span(match.start(), match.end(), shape.name)
    if _PEM_WORDS in text:
        for start, end in _keys(text):
            yield Span(start, end, PRIVATE_KEY)


def beginning(text: str) -> int:
    """The first place from which the text, to its end, may be an unfinished token or key; else the text's length."""
    openings = [*((shape.begins, shape.unfinished) for shape in _SHAPES), (_PEM_BEGINS, _OPEN_HEADER)]
    candidates = [len(text), *(_open_at(text, begins, rest) for begins, rest in openings)]
    for begins, _ in openings:
        candidates += [len(text) - size for size in range(1, len(begins)) if text.endswith(begins[:size])]
    if _PEM_WORDS in text:
        # Everything after a header is held back: each line may have any prefix.
        candidates += [
            match.start()
            for match in _HEADER.finditer(text)
            if len(text) - match.end() < _LONGEST_KEY and not _FOOTER.search(text, match.end())
        ]
    return min(candidates)


def _open_at(text: str, begins: str, rest: re.Pattern[str]) -> int:
    at = text.rfind(begins)
    return at if at >= 0 and rest.match(text, at + len(begins)) else len(text)


def _keys(text: str) -> Iterator[tuple[int, int]]:
    done = 0
    for header in _HEADER.finditer(text):
        if header.start() < done:
            continue
        footer = _FOOTER.search(text, header.end(), header.end() + _LONGEST_KEY)
        lines = _LINES.match(text, header.end())
        done = footer.end() if footer else lines.end() if lines else header.end()
        yield header.start(), done
    for footer in _FOOTER.finditer(text):
        yield _first_line(text, footer.start()), footer.end()


def _first_line(text: str, footer: int) -> int:
    """Where the lines of a key begin that end at its footer."""
    start = footer
    pieces = _LINE_ENDS.split(text[max(0, footer - _LONGEST_KEY) : footer])
    # A line, what separates it from the next, ..., and at the end nothing between the last line end and the footer.
    for line, separator in zip(pieces[-3::-2], pieces[-2::-2], strict=False):
        expected = _LAST_LINE if start == footer else _FULL_LINE
        if not expected.match(line):
            break
        start -= len(line) + len(separator)
    return start
