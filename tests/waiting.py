"""Waiting in tests: for what has happened and never for a time that a busy machine would exceed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

#: How long a test waits for what must happen, in seconds. It judges nothing: it only ends a test that would hang.
PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.02


def wait_until(happened: Callable[[], T], what: str | Callable[[], object] = "", *, pause: float = _PAUSE_SECONDS) -> T:
    """Ask again and again until the answer is true, and return it.

    Args:
        happened: asked for the state; an error that it raises ends the wait.
        what: said when it does not happen: a text, or a function that tells more (a log, a status).
        pause: seconds between two questions; more where a question costs something.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := happened()):
        if time.monotonic() > deadline:
            said = what() if callable(what) else what
            pytest.fail(f"did not happen within {PATIENCE_SECONDS:g} s: {said or f'the last answer was {answer!r}'}")
        time.sleep(pause)
    return answer
