"""The cgroups that a supervisor makes for its node, and whatever runs in them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.layout import NodeLayout

_TIMEOUT = 5.0
_POLL = 0.02


def groups(node: NodeLayout) -> list[Path]:
    """The node's own cgroup in each hierarchy, as its supervisor wrote them down."""
    try:
        lines = (node.folder / "cgroups").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [group for line in lines if (group := Path(line)).name == node.cgroup and group.is_dir()]


def processes(node: NodeLayout) -> list[Process]:
    """What runs in the node: nothing else is ever in a cgroup of this name."""
    found: dict[Process, None] = {}
    for group in groups(node):
        for path, _folders, _files in os.walk(group):
            for pid in _members(Path(path)):
                process = Process.of(pid)
                if process is not None:
                    found[process] = None
    return list(found)


def _members(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []  # it was removed while we were looking


def remove(node: NodeLayout) -> None:
    """Remove the node's cgroups; the kernel may take a moment to see that the last process has gone.

    Raises:
        TestbedError: something still runs in one.
    """
    for group in groups(node):
        for path, _folders, _files in os.walk(group, topdown=False):
            _remove(Path(path), node)


def _remove(group: Path, node: NodeLayout) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                members = " ".join(map(str, _members(group))) or "none"
                raise TestbedError(
                    f"the cgroup {group} cannot be removed ({error.strerror}); processes in it: {members}",
                    place=node.name,
                    remedy=f"end the processes, then: rmdir {group}",
                ) from error
            time.sleep(_POLL)
        else:
            return
