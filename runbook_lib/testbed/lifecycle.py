"""The testbed's commands, each as a list of steps. ``down`` removes exactly what the testbed owns, and verifies it."""

from __future__ import annotations

import functools
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runbook_lib.errors import InputError, RunbookError, TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed import requirements, state
from runbook_lib.testbed.image import images, rootfs
from runbook_lib.testbed.image.rootfs import refuse_mounts
from runbook_lib.testbed.machine import dhcp, host, network
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import MOST_NODES, Layout, Network, NodeLayout
from runbook_lib.testbed.node import client, power, swarm
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.progress import Report, step
from runbook_lib.testbed.state import State

# nspawn leaves a folder per machine if /run is on a disk.
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
_NO_SUBNET = Network("0.0.0.0/0")


def down(name: str, report: Report) -> bool:
    """Remove a testbed, also an incomplete one after a crash; False if there was none.

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
            host.remove(node)
            if (folder := _PROPAGATE / node.machine).is_dir():
                folder.rmdir()
        left = list(_processes(layout))
        if not left:
            refuse_mounts(layout.folder)
            # The record is removed last: until then a second attempt knows what exists.
            for entry in sorted(layout.folder.iterdir(), key=lambda path: path.name == state.FILE):
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            layout.folder.rmdir()
    _refuse_leftovers(layout)


def _end_nodes(layout: Layout) -> None:
    """Kill everything in every node, because the disks are removed anyway; then supervisors that are stuck."""
    try:
        power.kill(layout.nodes)
    except TestbedError:
        for node in layout.nodes:
            for process in [nodes.supervisor(node), nodes.container(node), *host.processes(node)]:
                if process is not None:
                    process.send(signal.SIGKILL)
        power.kill(layout.nodes)


def _processes(layout: Layout) -> Iterable[str]:
    """Living processes with the testbed's own names in their arguments."""
    ours = {f"--machine={node.machine}" for node in layout.nodes} | {str(node.folder) for node in layout.nodes}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended in the meantime
        if Process.of(int(entry.name)) is not None and ours.intersection(arguments):
            yield f"process {entry.name} ({' '.join(arguments[:2])})"


def _refuse_leftovers(layout: Layout) -> None:
    """Check that nothing of the testbed is left.

    Raises:
        TestbedError: with a line for each thing.
    """
    left = [*network.leftovers(layout), *_processes(layout)]
    if (layout.folder / state.FILE).exists():
        left.append(f"folder {layout.folder}")
    if left:
        raise TestbedError(
            "these still exist:" + "".join(f"\n  - {thing}" for thing in left),
            place=layout.name,
            remedy="end the processes named above, 'ip netns del' and 'ip link del' the rest, then run down again",
        )


def up(name: str, node_count: int | None, subnet: str | None, report: Report, kind: Kind | None = None) -> Layout:
    """Create the testbed, or start what is down; a second call changes nothing.

    Raises:
        InputError: bad arguments, or a machine without the requirements; nothing was changed.
        TestbedError: it failed; a new testbed is removed again.
    """
    requirements.check_name(name)
    with state.locked(name):
        try:
            current = _planned(name, node_count, subnet, kind, report)
        except BaseException:
            state.discard_if_empty(name)
            raise
        try:
            _build(current, report)
        except BaseException as error:
            _give_up(current, error, report)
            raise
        return current.layout


def _planned(name: str, node_count: int | None, subnet: str | None, kind: Kind | None, report: Report) -> State:
    """The testbed's record: the one that exists, or a new one for which this machine has been checked."""
    existing = state.read(name)
    if existing is not None:
        requirements.check_same(existing.layout, node_count, subnet, kind)
        requirements.check_machine(existing.layout, new=False)
        return existing
    with step(report, "check this machine") as now, state.allocation():
        layout = requirements.new_layout(name, node_count, subnet, kind or Kind())
        requirements.check_machine(layout, new=True)
        now.detail = f"cluster {layout.cluster}, management {layout.management}"
        planned = State(layout)
        state.write(planned)
        return planned


def _build(current: State, report: Report) -> None:
    layout = current.layout
    wanted = rootfs.tree_of(layout.kind)
    if not current.rootfs and rootfs.is_being_built(wanted):
        with step(report, "wait for the root filesystem that is being built"):
            rootfs.wait_for_builder(wanted)
    with step(report, "root filesystem and images") as now:
        now.detail = "cached" if rootfs.is_cached(wanted) else "built from Debian packages, once"
        # A testbed keeps the root filesystem that it was created with.
        tree = Path(current.rootfs) if current.rootfs else rootfs.ensure(wanted)
        archive = images.ensure(tree)
        current = replace(current, rootfs=str(tree))
        state.write(current)
    if not client.keys_exist(layout):
        with step(report, "keys and certificates"):
            client.make_keys(layout)
    with step(report, "switch and DHCP") as now:
        now.detail = f"DHCP gives out {'-'.join(layout.pool)}"
        current = _ensure_switch(current)
    content = functools.cache(archive.path.read_bytes)
    power.boot(current, layout.nodes, report, lambda node: power.load_images(layout, node, archive, content, report))
    if layout.kind.control_plane == "swarm-mode":
        swarm.ensure(layout, report)
    client.write_inventory(layout)
    client.chown_to_sudo_user(layout)
    state.write(replace(current, complete=True))


def _give_up(current: State, error: BaseException, report: Report) -> None:
    """Remove a testbed that never came up; one that was complete before is kept for a second attempt."""
    layout = current.layout
    command = command_on_testbed("down", layout.name)
    if current.complete:
        if isinstance(error, RunbookError) and not error.remedy:
            error.remedy = f"try again, or remove it: {command}"
        return
    try:
        remove(layout, report)
    except RunbookError as trouble:
        if isinstance(error, RunbookError):
            error.remedy = f"some of its resources could not be removed; run: {command}"
        raise error from trouble


def start(name: str, names: Sequence[str], report: Report) -> None:
    """Start nodes that are off; running nodes are unchanged."""
    with _existing(name) as current:
        power.boot(current, chosen(current.layout, names), report)


def poweroff(name: str, names: Sequence[str], report: Report, *, hard: bool) -> None:
    """Switch nodes off: gracefully, or (``hard``) as when the power is cut."""
    with _existing(name) as current:
        _stop(chosen(current.layout, names), report, hard=hard)


def reboot(name: str, names: Sequence[str], report: Report, *, shuffle: bool, hard: bool) -> None:
    """Switch nodes off and on again; with ``shuffle`` DHCP gives each of them another address."""
    with _existing(name) as current:
        layout = current.layout
        order = chosen(layout, names)
        plan = _shuffle_plan(layout, order) if shuffle else None
        _stop(order, report, hard=hard)
        if plan is not None:
            with step(report, "delete the DHCP leases") as now:
                now.detail = "arrival: " + " ".join(plan.order)
                current = _restart_dhcp(current, moving=order, blocked=plan.blocked, expected=plan.expected)
            order = [layout.node(node) for node in plan.order]
        power.boot(current, order, report)
        if plan is not None:
            _check_moved(layout, plan.expected)


@contextmanager
def _existing(name: str) -> Iterator[State]:
    """Hold a testbed that is complete and whose switch runs.

    Raises:
        InputError: there is none of that name, or only ``up`` can bring it back.
    """
    state.require(name)
    with state.locked(name):
        current = state.require(name)
        if not current.complete or not network.switch_is_up(current.layout):
            raise InputError(
                "the testbed is not up", place=name, remedy=f"bring it up: {command_on_testbed('up', name)}"
            )
        yield _with_dhcp(current)


def _shuffle_plan(layout: Layout, moving: Sequence[NodeLayout]) -> dhcp.Shuffle:
    leases = dhcp.parse_leases(layout.dhcp_log.read_text(errors="replace"))
    held = {}
    for node in moving:
        addresses = nodes.cluster_addresses(layout, node)
        held[node.name] = addresses[0] if addresses else leases.get(node.cluster_mac, "")
    return dhcp.shuffle(held, layout.pool, list(_kept_by_others(layout, moving).values()))


def _check_moved(layout: Layout, expected: Mapping[str, str]) -> None:
    leases = dhcp.parse_leases(layout.dhcp_log.read_text(errors="replace"))
    for name, address in expected.items():
        given = leases.get(layout.node(name).cluster_mac)
        if given is None and layout.kind.platform == "debian":
            continue  # its address is fixed, so it needs no DHCP (boot2docker still asks before bootsync.sh)
        if given != address:
            raise TestbedError(
                f"DHCP was to give {address}, and gave {given}", place=name, remedy=f"see {layout.dhcp_log}"
            )


def _stop(wanted: Sequence[NodeLayout], report: Report, *, hard: bool) -> None:
    running = [node for node in wanted if nodes.supervisor(node) is not None]
    if not running:
        return
    with step(report, "cut the power" if hard else "shut down", " ".join(node.name for node in running)):
        if hard:
            power.kill(running)
        else:
            power.stop(running)


def _ensure_switch(current: State) -> State:
    if not network.switch_is_up(current.layout):
        # What is left of it after a crash would be in the way, and a node without a switch is of no use.
        power.kill(current.layout.nodes)
        network.remove_switch(current.layout)
        network.create_switch(current.layout)
    return _with_dhcp(current)


def _with_dhcp(current: State) -> State:
    if current.dhcp is not None and current.dhcp.alive:
        return current
    return _restart_dhcp(current, moving=())


def _restart_dhcp(
    current: State,
    moving: Sequence[NodeLayout],
    blocked: Sequence[str] = (),
    expected: Mapping[str, str] | None = None,
) -> State:
    """Restart the DHCP server without leases; running nodes keep their addresses.

    Debian nodes store their last lease on disk and request it again, so the order of requests has no effect: for them
    the server has reservations, by ``expected`` or else by the address that each node should have.
    """
    layout = current.layout
    if current.dhcp is not None:
        dhcp.stop(current.dhcp)
    reservations = {dhcp.blocking_mac(index): address for index, address in enumerate(blocked)}
    reservations |= _kept_by_others(layout, moving)
    if layout.kind.platform == "debian":
        reservations = _with_all_nodes(layout, reservations, expected or {})
    renewed = replace(current, dhcp=dhcp.start(layout, Path(current.rootfs), reservations))
    state.write(renewed)
    return renewed


def _with_all_nodes(layout: Layout, reservations: Mapping[str, str], expected: Mapping[str, str]) -> dict[str, str]:
    """The reservations, and one for every node that has none yet."""
    found = dict(reservations) | {layout.node(name).cluster_mac: address for name, address in expected.items()}
    for node in layout.nodes:
        if node.cluster_mac not in found and node.cluster_address not in found.values():
            found[node.cluster_mac] = node.cluster_address
    return found


def _kept_by_others(layout: Layout, moving: Sequence[NodeLayout]) -> dict[str, str]:
    """The addresses of running nodes that stay as they are, by their MAC addresses."""
    kept = {}
    for node in layout.nodes:
        addresses = [] if node in moving else nodes.cluster_addresses(layout, node)
        if addresses:
            kept[node.cluster_mac] = addresses[0]
    return kept


def chosen(layout: Layout, names: Sequence[str]) -> list[NodeLayout]:
    """The named nodes, or all of them.

    Raises:
        InputError: a name that no node has.
    """
    known = [node.name for node in layout.nodes]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"no node is called {', '.join(map(repr, unknown))}",
            place=layout.name,
            remedy=f"its nodes are {', '.join(known)}",
        )
    return [node for node in layout.nodes if not names or node.name in names]
