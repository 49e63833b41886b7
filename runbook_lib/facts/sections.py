"""Shared by all gatherers: several readings in one SSH round trip, and clear errors for unexpected output."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError

# `section NAME COMMAND…` runs a command and marks where its output begins and ends.
_PRELUDE = """\
section() {
    name=$1
    shift
    echo "#>> $name"
    "$@" </dev/null 2>&1
    ended=$?
    echo "
#<< $name $ended"
    return "$ended"
}
"""


@dataclass(frozen=True)
class Section:
    """One command's output, both streams together, and its exit status."""

    text: str
    exit_status: int


def parse_sections(text: str) -> dict[str, Section]:
    """The output of a script that used ``section``, by section name.

    Raises:
        ValueError: a section without an end (the script was cut off), or text outside any section.
    """
    sections: dict[str, Section] = {}
    name, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        if not name and line.startswith("#>> "):
            name, lines = line[4:].strip(), []
        elif name and line.startswith(f"#<< {name} "):
            # the newline that the script itself put before the end marker
            sections[name] = Section("".join(lines).removesuffix("\n"), int(line.split()[-1]))
            name = ""
        elif name:
            lines.append(line)
        elif line.strip():
            raise ValueError(f"unexpected output: {line.strip()!r}")
    if name:
        raise ValueError(f"section '{name}' was cut off")
    return sections


@contextlib.contextmanager
def reading(node: str, what: str) -> Iterator[None]:
    """Turn a parser's ``ValueError`` into a ``NodeError`` that names the node and the reading."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise NodeError(
            node,
            f"cannot read the {what}: {str(error) or type(error).__name__}",
            remedy="run the command on the node by hand: an unexpected tool may have answered",
        ) from error


def reading_script(script: str) -> str:
    """The whole script: the definition of ``section``, the given lines, and exit status 0 whatever the last section's.

    ``section NAME COMMAND…`` returns the command's own status, so that a script can stop early (``exit 0``).
    """
    return f"{_PRELUDE}{script}\nexit 0\n"


def read_sections(node: Node, script: str, *arguments: str, sudo: bool = False) -> dict[str, Section]:
    """Run a script of ``section NAME COMMAND…`` lines on a node, in one round trip.

    Raises:
        UnreachableError: the node cannot be reached.
        CommandError: the script itself failed (a command inside a section may fail: its status is in the section).
        NodeError: the output is not what the script writes.
    """
    result = node.ssh.script(reading_script(script), *arguments, sudo=sudo)
    with reading(node.name, "output of a reading script"):
        return parse_sections(result.stdout)
