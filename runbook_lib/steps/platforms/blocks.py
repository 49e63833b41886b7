"""Marked blocks in other programs' text files: add, find, replace and remove, the rest kept byte for byte.

::

    # >>> overlay-runbook static-address >>>
    …
    # <<< overlay-runbook static-address <<<

The first marker also remembers, in brackets, what putting the block in has changed beside it, so that taking it
out gives the very text of before: ``(the file is ours)`` or ``(the line above had no end)``.

Writes and restores boot2docker's boot scripts.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError, RunbookError

SHEBANG = "#!/bin/sh\n"
_NEW_FILE = "the file is ours"
_NO_LINE_END = "the line above had no end"

_BEGIN = re.compile(r"# >>> overlay-runbook (?P<name>[a-z0-9-]+)(?: \((?P<note>[a-z ]+)\))? >>>\s*")
_END = re.compile(r"# <<< overlay-runbook (?P<name>[a-z0-9-]+) <<<\s*")
# At the left margin either ends the script (exec without a command only redirects): nothing below is ever reached.
_LEAVES = re.compile(r"exit\b|exec\s+[^\s<>0-9&]")


@dataclass(frozen=True)
class _Span:
    """Where a block stands: the indexes of its marker lines, and the note in the first one."""

    first: int
    last: int
    note: str


def find_block(text: str | None, name: str) -> str | None:
    """The body of a block, or ``None`` when the text has none of that name.

    Raises:
        RunbookError: a marker without its counterpart, or the same block twice.
    """
    lines = _lines(text)
    span = _find(lines, name)
    return None if span is None else "".join(lines[span.first + 1 : span.last])


def outside_blocks(text: str | None) -> str:
    """The text without any block of ours; markers that do not match stay where they are."""
    lines = _lines(text)
    for name in dict.fromkeys(match["name"] for match in map(_BEGIN.fullmatch, lines) if match):
        with contextlib.suppress(RunbookError):
            span = _find(lines, name)
            if span is not None:
                del lines[span.first : span.last + 1]
    return "".join(lines)


def put_block(text: str | None, name: str, body: str) -> str:
    """The text with the block: replaced where it stands, else added below everything that is reached.

    A script that leaves by an ``exit`` or ``exec`` at the left margin gets it above that line. Without a text a new
    file begins with a shebang.

    Raises:
        RunbookError: as ``find_block`` does.
        ValueError: the body does not end in a line end, or contains a marker.
    """
    if not body.endswith("\n") or any(_BEGIN.fullmatch(line) or _END.fullmatch(line) for line in _lines(body)):
        raise ValueError("a block's body ends in a line end and contains no marker")
    lines = _lines(text)
    span = _find(lines, name)
    if span is not None:
        lines[span.first : span.last + 1] = _block(name, span.note, body)
    elif text is None:
        lines = [SHEBANG, *_block(name, _NEW_FILE, body)]
    else:
        place = next((index for index, line in enumerate(lines) if _LEAVES.match(line)), len(lines))
        note = ""
        if place == len(lines) and lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
            note = _NO_LINE_END
        lines[place:place] = _block(name, note, body)
    return "".join(lines)


def remove_block(text: str | None, name: str) -> str | None:
    """The text as it was before the block; ``None`` for a file that is there only because of it.

    Raises:
        RunbookError: as ``find_block`` does.
    """
    lines = _lines(text)
    span = _find(lines, name)
    if span is None:
        return text
    if span.note == _NO_LINE_END and span.first > 0 and span.last == len(lines) - 1:
        lines[span.first - 1] = lines[span.first - 1].removesuffix("\n")
    del lines[span.first : span.last + 1]
    rest = "".join(lines)
    return None if span.note == _NEW_FILE and rest == SHEBANG else rest


def _block(name: str, note: str, body: str) -> list[str]:
    bracket = f" ({note})" if note else ""
    return [
        f"# >>> overlay-runbook {name}{bracket} >>>\n",
        *_lines(body),
        f"# <<< overlay-runbook {name} <<<\n",
    ]


def _lines(text: str | None) -> list[str]:
    """Lines with their ends. Only a line feed ends one: a shell knows no other."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text or "")


def _find(lines: Sequence[str], name: str) -> _Span | None:
    begins = [(index, match["note"] or "") for index, match in _marks(_BEGIN, lines, name)]
    ends = [index for index, _ in _marks(_END, lines, name)]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0][0]:
        raise RunbookError(
            f"the markers of the block '{name}' do not match ({len(begins)} at its beginning, {len(ends)} at its end)",
            remedy="delete the block's lines by hand, markers included, and run the step again",
        )
    return _Span(begins[0][0], ends[0], begins[0][1])


def _marks(marker: re.Pattern[str], lines: Sequence[str], name: str) -> list[tuple[int, re.Match[str]]]:
    found = ((index, marker.fullmatch(line)) for index, line in enumerate(lines))
    return [(index, match) for index, match in found if match is not None and match["name"] == name]


BACKUP_SUFFIX = ".before-overlay-runbook"


@dataclass(frozen=True)
class Restoration:
    """What a boot script is to hold without our block; ``None`` when there was no file before it."""

    path: str
    text: str | None


def check_markers(node: str, path: str, text: str | None, block: str) -> None:
    """Check that a block's markers match. Raises ``NodeError`` that names both."""
    try:
        find_block(text, block)
    except RunbookError as error:
        raise NodeError(node, f"{path}: {error.message}", remedy=error.remedy) from error


def write_boot_script(node: Node, path: str, text: str) -> None:
    """Put a boot script in place with mode 0755; the file of before stands beside it, copied once.

    Raises ``UnreachableError`` or ``CommandError``.
    """
    content = text.encode(errors="surrogateescape")
    node.ssh.write_file(path, content, mode=0o755, backup=path + BACKUP_SUFFIX)


def restore(node: Node, restoration: Restoration) -> None:
    """Write what is left of a boot script, or remove it, and drop a backup that is of no more use.

    A backup that differs from the remaining text is kept: the file was changed since.

    Raises ``UnreachableError`` or ``CommandError``.
    """
    path, backup = restoration.path, restoration.path + BACKUP_SUFFIX
    if restoration.text is None:
        node.ssh.run(["rm", "-f", "--", path], sudo=True)
        node.ssh.run(["sync"], sudo=True)
        return
    node.ssh.write_file(path, restoration.text.encode(errors="surrogateescape"), mode=0o755)
    node.ssh.script('if cmp -s "$1" "$2"; then rm -f -- "$2"; sync; fi', path, backup, sudo=True)
