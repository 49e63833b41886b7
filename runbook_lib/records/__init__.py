"""The archive of executed notebooks: records can be listed, compared, followed over time and verified.

``records.frame()`` gives it as DataFrames and ``records.compare(a, b)`` what changed between two records. They are
imported at first use, since the command line lists records without pandas.

A finished record is sealed (``sealing``): the hash of its ``record.json`` becomes an entry of the chain (``chain``),
which this machine's key (``store.keys``) signs, and the entry is copied into the record's folder as ``seal.json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.records.query.frames import compare, frame

__all__ = ["compare", "frame"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runbook_lib.records.query import frames

    return getattr(frames, name)
