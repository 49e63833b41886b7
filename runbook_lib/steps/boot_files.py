"""Writes and restores boot2docker's boot scripts."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError, RunbookError
from runbook_lib.steps.blocks import find_block

BACKUP_SUFFIX = ".before-overlay-runbook"


@dataclass(frozen=True)
class Restoration:
    """What a boot script is to hold without our block; ``None`` when there was no file before it."""

    path: str
    text: str | None


def check_markers(node: str, path: str, text: str | None, block: str) -> None:
    """Make sure that a block can be told from the rest of a file. Raises ``NodeError`` that names both."""
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

    A backup that differs from what is left stays: somebody has changed the file since.

    Raises ``UnreachableError`` or ``CommandError``.
    """
    path, backup = restoration.path, restoration.path + BACKUP_SUFFIX
    if restoration.text is None:
        node.ssh.run(["rm", "-f", "--", path], sudo=True)
        node.ssh.run(["sync"], sudo=True)
        return
    node.ssh.write_file(path, restoration.text.encode(errors="surrogateescape"), mode=0o755)
    node.ssh.script('if cmp -s "$1" "$2"; then rm -f -- "$2"; sync; fi', path, backup, sudo=True)
