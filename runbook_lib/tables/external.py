"""Tables about containers with external addresses. Every column is documented at its function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from runbook_lib.model.parameters import External
from runbook_lib.tables.frame import DECIMAL, FLAG, TEXT, frame

PLACE_COLUMNS = {
    "way": TEXT,
    "container": TEXT,
    "node": TEXT,
    "looked at from": TEXT,
    "network": TEXT,
    "its addresses": TEXT,
}


def external_places(specs: Iterable[External]) -> pd.DataFrame:
    """One row a way: which container on which node, who looks at it, and the block of addresses of its network."""
    return frame(
        (
            (spec.way, spec.container, spec.node, spec.witness, spec.network, spec.block or "the node's")
            for spec in specs
        ),
        PLACE_COLUMNS,
    )


LOOK_COLUMNS = {
    "container": TEXT,
    "address": TEXT,
    "from": TEXT,
    "node": TEXT,
    "ping (ms)": DECIMAL,
    "it answers": TEXT,
    "MAC seen": TEXT,
    "reached": FLAG,
}


def external_looks(rows: Iterable[Sequence[object]]) -> pd.DataFrame:
    """One row a container and place from which it is looked at.

    ``ping (ms)`` is the mean round trip; ``it answers`` the name that it serves; ``MAC seen`` the neighbour's under
    which the asking node sees the address (none for an address of its own).
    """
    return frame(rows, LOOK_COLUMNS)


PING_COLUMNS = {"container": TEXT, "node": TEXT, "address": TEXT, "ping (ms)": DECIMAL, "answers": FLAG}


def external_pings(rows: Iterable[Sequence[object]]) -> pd.DataFrame:
    """One row a node that a container has pinged; ``ping (ms)`` is the mean round trip."""
    return frame(rows, PING_COLUMNS)


def external_comparison(rows: Iterable[tuple[str, Mapping[str, str]]], ways: Sequence[str]) -> pd.DataFrame:
    """One row a question, one column a way: columns ``question``, then the ways."""
    return frame(
        ((question, *(answers.get(way, "") for way in ways)) for question, answers in rows),
        {"question": TEXT, **dict.fromkeys(ways, TEXT)},
    )
