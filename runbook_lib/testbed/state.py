"""A testbed's record in its state folder, and the lock against concurrent commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib import files
from runbook_lib.errors import InputError, LockedError, TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.model.locations import state_root, testbed_folder
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import Layout

FILE = "state.json"
_VERSION = 1


@dataclass(frozen=True)
class State:
    """A testbed's record: its layout, its root filesystem, and the DHCP server that runs for it."""

    layout: Layout
    rootfs: str = ""
    dhcp: Process | None = None
    complete: bool = False


def names() -> list[str]:
    """Every testbed that has a state file on this machine, running or not."""
    root = state_root()
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if (entry / FILE).is_file())


def read(name: str) -> State | None:
    """The testbed's record, or None.

    Raises:
        TestbedError: the file is damaged or from another version.
    """
    path = testbed_folder(name) / FILE
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        if data["version"] != _VERSION:
            raise ValueError(f"version {data['version']}")
        dhcp = data["dhcp"]
        return State(
            layout=Layout.from_json(data["layout"]),
            rootfs=str(data["rootfs"]),
            dhcp=Process(int(dhcp["pid"]), int(dhcp["start_time"])) if dhcp else None,
            complete=bool(data["complete"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TestbedError(
            f"the testbed's record cannot be read ({error})",
            place=str(path),
            remedy="a later or earlier version of this program wrote it: use that one to take the testbed down",
        ) from error


def require(name: str) -> State:
    """The testbed's record.

    Raises:
        InputError: there is no testbed of that name.
    """
    found = read(name)
    if found is None:
        others = ", ".join(names())
        raise InputError(
            f"there is no testbed called {name!r}" + (f" (there are: {others})" if others else ""),
            remedy=f"bring it up: {command_on_testbed('up', name)}",
        )
    return found


def write(state: State) -> None:
    """Replace the testbed's record in one step, so that a crash leaves the old or the new one."""
    dhcp = {"pid": state.dhcp.pid, "start_time": state.dhcp.start_time} if state.dhcp else None
    data = {
        "version": _VERSION,
        "layout": state.layout.to_json(),
        "rootfs": state.rootfs,
        "dhcp": dhcp,
        "complete": state.complete,
    }
    files.write_whole(state.layout.folder / FILE, json.dumps(data, indent=2) + "\n", exact=True)


@contextmanager
def allocation() -> Iterator[None]:
    """Hold the lock for choosing and recording subnets, so that two testbeds never choose the same."""
    root = state_root()
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    with files.locked(root / ".allocation.lock"):
        yield


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the testbed's lock, so that only one command at a time changes it.

    The lock lies in the state folder, which ``down`` removes while holding it: a lock that is no
    longer the file of that name is taken again.

    Raises:
        LockedError: another command holds it.
    """
    folder = testbed_folder(name)
    path = folder / "lock"
    while True:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue
        try:
            holder = files.try_lock_as(descriptor, f"{os.getpid()}\n")
            if holder is not None:
                raise LockedError(
                    f"another command is changing this testbed (process {holder or 'unknown'})",
                    place=str(folder),
                    remedy="wait until it has ended, then try again",
                )
            if _same_file(descriptor, path):
                yield
                return
        finally:
            os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def discard_if_empty(name: str) -> None:
    """Remove a state folder that has nothing but the lock."""
    folder = testbed_folder(name)
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {"lock"}:
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
