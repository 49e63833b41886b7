"""One cluster, one run at a time: a lock on every node, which ends with the process that holds it.

A run holds it from its first notebook to its last; its kernels work under that. A notebook that a person walks holds it
for each cell that changes or measures something (``session.claim``).
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbook_lib.errors import InputError, LockedError
from runbook_lib.files import try_lock_as
from runbook_lib.model.inventory import Inventory, NodeSpec
from runbook_lib.model.locations import LOCK_TOKEN_VARIABLE, locks_folder

# The process and what this very run of it holds already. Another thread is another run, as is a forked process.
_HELD: ContextVar[frozenset[tuple[int, str]]] = ContextVar("held locks", default=frozenset())
# What this run's kernels show to be let in; the holder's note has the same.
_TOKEN: ContextVar[str] = ContextVar("token", default="")

_FOR_EVERYBODY = 0o666


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: the process, its user, what it runs, and since when (UTC).

    Whoever has the same ``token`` works for the holder.
    """

    pid: int
    user: str
    what: str
    since: str
    token: str = ""

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid} of user {self.user}, since {self.since})"


@contextlib.contextmanager
def cluster_lock(inventory: Inventory, what: str) -> Iterator[None]:
    """Hold every node of the inventory for the block, and let no other run of this machine hold one of them.

    The locks are the kernel's: they end with the process, however it ends. A run that holds the cluster may ask again.

    Args:
        what: what runs, as the other run is told.

    Raises:
        LockedError: another run holds a node; it says who, and nothing is held then.
        InputError: the folder of the locks cannot be used.
    """
    pid, outer = os.getpid(), _TOKEN.get()
    held = {name for holder, name in _HELD.get() if holder == pid}
    token = (outer if held else "") or secrets.token_hex(8)
    with take_locks(inventory, what, held=held, token=token):
        taken = {(pid, name) for name in lock_names(inventory) if name not in held}
        _HELD.set(_HELD.get() | taken)
        _TOKEN.set(token)
        try:
            yield
        finally:
            _HELD.set(_HELD.get() - taken)
            _TOKEN.set(outer)


def kernel_environment() -> dict[str, str]:
    """The environment of a kernel that works for the run in this context; without a lock, nothing."""
    return {LOCK_TOKEN_VARIABLE: _TOKEN.get()} if _TOKEN.get() else {}


def lock_names(inventory: Inventory) -> frozenset[str]:
    """The names of the locks of an inventory's nodes: two inventories that share one cannot be worked on together."""
    return frozenset(map(_file_name, inventory.nodes))


def take_locks(inventory: Inventory, what: str, *, held: Collection[str] = (), token: str = "") -> contextlib.ExitStack:
    """Take the locks of every node but those of the names ``held``; they are held until the result is closed.

    Any thread may close it. What a run holds that this process works for need not be taken.

    Raises:
        LockedError, InputError: as ``cluster_lock`` does; nothing is held then.
    """
    me = Holder(os.getpid(), _user(), what, datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), token)
    folder = locks_folder()
    nodes = {_file_name(node): node for node in inventory.nodes}
    with contextlib.ExitStack() as stack:
        # Always in the same order, so that of two runs that begin together one gets all of its nodes.
        for name in sorted(set(nodes).difference(held)):
            _prepare(folder)
            stack.enter_context(_node_lock(folder / name, nodes[name], me))
        return stack.pop_all()


def foreign_holder(names: Collection[str]) -> Holder | None:
    """Who holds one of the locks of these names now, another process that this one does not work for; else ``None``.

    Takes no lock: the kernel lists the holders.
    """
    try:
        listed = Path("/proc/locks").read_text()
    except OSError:
        return None
    held = {(int(pid), int(inode)) for pid, inode in re.findall(r" FLOCK .* (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ", listed)}
    for name in sorted(names):
        path = locks_folder() / name
        try:
            holder, inode = _parse_holder(path.read_text(errors="replace")), path.stat().st_ino
        except OSError:  # nobody ever held it
            continue
        if holder is None or holder.pid == os.getpid():
            continue
        ours = holder.token and holder.token == os.environ.get(LOCK_TOKEN_VARIABLE)
        if not ours and (holder.pid, inode) in held:
            return holder
    return None


@contextlib.contextmanager
def _node_lock(path: Path, node: NodeSpec, me: Holder) -> Iterator[None]:
    file = _open(path)
    try:
        note = try_lock_as(file, json.dumps(asdict(me)))
        if note is not None:
            holder = _parse_holder(note)
            if holder is None or not holder.token or holder.token != os.environ.get(LOCK_TOKEN_VARIABLE):
                raise _locked(node, holder)
            yield
            return
        try:
            yield
        finally:
            os.ftruncate(file, 0)
    finally:
        # The file stays: to remove it would take it from under a run that has opened it in this moment.
        os.close(file)


def _locked(node: NodeSpec, holder: Holder | None) -> LockedError:
    who = str(holder) if holder else "another run, not identified yet,"
    remedy = "wait for it to end"
    return LockedError(
        f"the cluster is in use: {who} holds this node",
        place=f"{node.name} ({node.ssh.host}:{node.ssh.port})",
        remedy=f"{remedy}, or interrupt it: kill -INT {holder.pid}" if holder else remedy,
    )


def _parse_holder(note: str) -> Holder | None:
    try:
        return Holder(**json.loads(note))
    except (ValueError, TypeError):
        return None


def _prepare(folder: Path) -> None:
    """Make the folder, open to every user, or make sure that it is one."""
    try:
        try:
            folder.mkdir(parents=True)
            folder.chmod(0o1777)
        except FileExistsError:
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise InputError(f"{folder} is not a folder", remedy="remove it: locks are kept there") from None
    except OSError as error:
        raise _unusable(folder, error) from error


def _open(path: Path) -> int:
    """The lock's file; made if there is none.

    It is opened as it is first: asked to create what exists, Linux refuses files of other users in such folders
    (fs.protected_regular). Nothing that leads elsewhere is followed, for anybody may put files there.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            file = os.open(path, flags)
        except FileNotFoundError:
            try:
                file = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FOR_EVERYBODY)
                os.fchmod(file, _FOR_EVERYBODY)  # whatever the umask
            except FileExistsError:  # another run was quicker
                file = os.open(path, flags)
    except OSError as error:
        raise _unusable(path, error) from error
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(file)
        raise InputError("this file is not a lock", place=str(path), remedy="remove it")
    return file


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"the lock of the cluster cannot be used ({error.strerror})",
        place=str(path),
        remedy=f"make {path.parent} a folder that every user may write (mode 1777)",
    )


def _file_name(node: NodeSpec) -> str:
    return re.sub(r"[^a-z0-9.-]", "_", f"{node.ssh.host.lower()}_{node.ssh.port}") + ".lock"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
