"""Redacts whole texts, what JSON can hold, and text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.redact import shapes
from runbook_lib.redact.matching import Span, Values, forms, merged, outside_placeholders, replaced

SHORTEST_SECRET = 4


class Redactor:
    """Replaces each registered value by ``[REDACTED:name]``, in each of the forms that programs give it."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._names: dict[str, str] = {}
        self._values: Values | None = None
        for name, value in (secrets or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Register a secret; of two secrets with one value the first gives the name.

        Raises:
            ValueError: the value is so short that replacing it would spoil ordinary text.
        """
        if len(value) < SHORTEST_SECRET:
            raise ValueError(f"secret {name!r} is shorter than {SHORTEST_SECRET} characters")
        trimmed = value.strip()
        for known in (value, trimmed if len(trimmed) >= SHORTEST_SECRET else value):
            for form in forms(known):
                self._names.setdefault(form, name)
        self._values = None

    def __call__(self, text: str) -> str:
        """The text without any secret."""
        spans = self.spans(text)
        return replaced(text, spans) if spans else text

    def json(self, value: Any) -> Any:
        """A copy of what JSON can hold, every string in it (keys too) without any secret.

        Mappings, lists and tuples come back as dictionaries, lists and tuples.
        """
        match value:
            case str():
                return self(value)
            case Mapping():
                return {self.json(key): self.json(item) for key, item in value.items()}
            case list():
                return [self.json(item) for item in value]
            case tuple():
                return tuple(self.json(item) for item in value)
            case _:
                return value

    def spans(self, text: str) -> list[Span]:
        """Where secrets stand in the text, in order; stretches that overlap are one."""
        found = [*shapes.find(text), *self._known().find(text)]
        if not found:
            return found
        return merged(outside_placeholders(text, found, {*self._names.values(), *shapes.NAMES}))

    def beginning(self, text: str) -> int:
        """The first place from which more text could make the text's end a secret; else the text's length."""
        return min(self._known().beginning(text), shapes.beginning(text))

    def _known(self) -> Values:
        values = self._values
        if values is None:
            values = self._values = Values(self._names)
        return values

    def __repr__(self) -> str:
        return f"Redactor({len(set(self._names.values()))} secrets)"


class StreamRedactor:
    """Redacts text that arrives in pieces: a secret that is split over several of them does not get through.

    Only an end of the text that may be the beginning of a secret is held back, until more arrives or ``flush``.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may be shown now."""
        text = self._held + text
        spans = self._redactor.spans(text)
        cut = self._redactor.beginning(text)
        for span in reversed(spans):
            if span.start < cut < span.end:
                cut = span.start
        self._held = text[cut:]
        return replaced(text[:cut], [span for span in spans if span.end <= cut])

    def flush(self) -> str:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, ""
        return self._redactor(held)
