"""Executes notebooks headlessly: papermill with an engine of ours, a line a step, an honest record, a verdict.

Importing this package imports no papermill: a mistake in the parameters is told before that takes its time.

Imports papermill without the two seconds that one of its libraries spends on something unused here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# jsonschema compiles a grammar for international web addresses at import time whenever this package is there
# (JupyterLab brings it). The notebook schema has no such format, and jsonschema does without it by design.
_SLOW = "rfc3987_syntax"


@contextmanager
def without_slow_formats() -> Iterator[None]:
    """Let imports within the block believe that the package is not installed."""
    if _SLOW in sys.modules:
        yield
        return
    sys.modules[_SLOW] = None  # type: ignore[assignment]  # Python's own way to say: cannot be imported
    try:
        yield
    finally:
        del sys.modules[_SLOW]
