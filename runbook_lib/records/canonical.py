"""Canonical JSON (RFC 8785): the one way to write a value, so that its hash and signature mean the value."""

from __future__ import annotations

from collections.abc import Mapping

import rfc8785


def canonical(value: Mapping[str, str | int]) -> bytes:
    """The value as canonical JSON in UTF-8."""
    return rfc8785.dumps(dict(value))
