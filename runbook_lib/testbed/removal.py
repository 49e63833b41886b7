"""Takes a testbed down: removes exactly what it owns, then looks again."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.testbed import cgroups, dhcp, network, power, state
from runbook_lib.testbed import node as nodes
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.layout import MOST_NODES, Layout, Network
from runbook_lib.testbed.progress import Report, step
from runbook_lib.testbed.rootfs import refuse_mounts

# nspawn leaves a folder a machine behind where /run is on a disk.
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
_NO_SUBNET = Network("0.0.0.0/0")


def down(name: str, report: Report) -> bool:
    """Remove a testbed; False when there was none. Also works on one that a crash left half there.

    Raises:
        TestbedError: something of it is left; the message lists it.
        LockedError: another command is changing it.
    """
    if state.read(name) is None:
        _refuse_leftovers(Layout(name, MOST_NODES, _NO_SUBNET, _NO_SUBNET))
        state.discard_if_empty(name)
        return False
    with state.locked(name):
        current = state.read(name)
        if current is None:
            return False
        remove(current.layout, report)
    return True


def remove(layout: Layout, report: Report) -> None:
    """Remove everything that a testbed owns; its lock must be held.

    Raises:
        TestbedError: something is left.
    """
    with step(report, "end the nodes and the DHCP server"):
        _end_nodes(layout)
        current = state.read(layout.name)
        if current is not None and current.dhcp is not None:
            dhcp.stop(current.dhcp)
    with step(report, "remove the switch"):
        network.remove_switch(layout)
    with step(report, "remove the disks, keys and records"):
        for node in layout.nodes:
            cgroups.remove(node)
            if (folder := _PROPAGATE / node.machine).is_dir():
                folder.rmdir()
        left = list(_processes(layout))
        if not left:
            refuse_mounts(layout.folder)
            # The record goes last: until then a second try knows what there is.
            for entry in sorted(layout.folder.iterdir(), key=lambda path: path.name == state.FILE):
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            layout.folder.rmdir()
    _refuse_leftovers(layout)


def _end_nodes(layout: Layout) -> None:
    """End everything in every node without ceremony, for the disks go anyway; then supervisors that are stuck."""
    try:
        power.kill(layout.nodes)
    except TestbedError:
        for node in layout.nodes:
            for process in [nodes.supervisor(node), nodes.container(node), *cgroups.processes(node)]:
                if process is not None:
                    process.send(signal.SIGKILL)
        power.kill(layout.nodes)


def _processes(layout: Layout) -> Iterable[str]:
    """Living processes that carry the testbed's own names in their arguments."""
    ours = {f"--machine={node.machine}" for node in layout.nodes} | {str(node.folder) for node in layout.nodes}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended while we were looking
        if Process.of(int(entry.name)) is not None and ours.intersection(arguments):
            yield f"process {entry.name} ({' '.join(arguments[:2])})"


def _refuse_leftovers(layout: Layout) -> None:
    """Make sure that nothing of the testbed is left.

    Raises:
        TestbedError: with a line for each thing.
    """
    left = [*network.leftovers(layout), *_processes(layout)]
    if (layout.folder / state.FILE).exists():
        left.append(f"folder {layout.folder}")
    if left:
        raise TestbedError(
            "this is still there:" + "".join(f"\n  - {thing}" for thing in left),
            place=layout.name,
            remedy="end the processes named above, 'ip netns del' and 'ip link del' the rest, then run down again",
        )
