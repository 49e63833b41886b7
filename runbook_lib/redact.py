"""Replaces known secret values in text before it is shown or written.

Exact values only: blind patterns would spoil evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SHORTEST_SECRET = 4


class Redactor:
    """Replaces each registered value by ``[REDACTED:name]``."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._names: dict[str, str] = {}
        for name, value in (secrets or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Register a secret. Raises ``ValueError`` for a value so short that it would redact ordinary text."""
        if len(value) < SHORTEST_SECRET:
            raise ValueError(f"secret {name!r} is shorter than {SHORTEST_SECRET} characters")
        self._names[value] = name

    def __call__(self, text: str) -> str:
        """Return the text without any registered value, the longest values first."""
        if not self._names:
            return text
        # One pass, so that no value is looked for inside the mark that replaced another.
        values = sorted(self._names, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, values)), lambda found: f"[REDACTED:{self._names[found[0]]}]", text)

    def __repr__(self) -> str:
        return f"Redactor({len(self._names)} secrets)"
