"""Executes notebooks in batch mode: papermill with our own engine, progress lines, a record and a verdict.

This package does not import papermill, so that errors in the parameters are reported without that delay.
``without_slow_formats`` saves the two seconds that one of papermill's libraries needs for an unused feature.
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
    """Block the import of the slow package within the block."""
    if _SLOW in sys.modules:
        yield
        return
    sys.modules[_SLOW] = None  # type: ignore[assignment]  # None blocks the import
    try:
        yield
    finally:
        del sys.modules[_SLOW]
