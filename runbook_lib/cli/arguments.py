"""Arguments that several commands take and typer does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from runbook_lib.errors import InputError

#: The option that replaces a parameter.
PARAMETER = ("-p", "--parameter")

# Options that ``run`` and ``batch`` share.
PlanMode = Annotated[bool, typer.Option("--plan", help="Show what would change and change nothing.")]
RecordsLocation = Annotated[
    str | None,
    typer.Option("--records", metavar="LOCATION", help="Where records go, a folder or a URL (default records/)."),
]
CellTimeout = Annotated[
    int | None,
    typer.Option("--timeout", min=1, metavar="S", help="Seconds that a cell may take (default: no limit)."),
]
NotebookTimeout = Annotated[
    float | None,
    typer.Option(
        "--notebook-timeout", min=1, metavar="S", help="Seconds that a notebook may take (default: no limit)."
    ),
]


class PairCommand(TyperCommand):
    """Lets ``-p`` take a key and a value, as papermill's does; typer's repeated options take one word only."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Join each ``-p KEY VALUE`` to the one word ``KEY=VALUE`` before typer parses the line."""
        joined, words = [], iter(args)
        for word in words:
            joined.append(word)
            if word == "--":
                break
            if word in PARAMETER:
                key, value = next(words, None), next(words, None)
                if key is None or value is None:
                    raise InputError("-p takes a key and a value", place="-p", remedy="-p overlay.name ovr1")
                joined.append(f"{key}={value}")
        return super().parse_args(ctx, [*joined, *words])


def pairs(joined: Sequence[str] | None) -> list[tuple[str, str]]:
    """The keys and values that ``PairCommand`` joined."""
    return [(key, value) for key, _, value in (text.partition("=") for text in joined or ())]
