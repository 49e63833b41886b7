"""Boots nodes, in an order if that matters, and switches them off, gracefully or by a power cut."""

from __future__ import annotations

import contextlib
import functools
import shlex
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from runbook_lib.errors import EngineNotFound, RunbookError, TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed.image.images import Archive
from runbook_lib.testbed.image.rootfs import FILES
from runbook_lib.testbed.machine import dhcp, host
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import Layout, NodeLayout
from runbook_lib.testbed.node import client, etcd, readiness
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.node.node import container, init, supervisor
from runbook_lib.testbed.progress import Report, step
from runbook_lib.testbed.state import State
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection
from runbook_lib.waiting import Deadline

# dockerd itself waits 15 s for containers that ignore SIGTERM.
STOP_TIMEOUT = 60.0
_KILL_TIMEOUT = 15.0
_KILL_POLL = 0.02
_SYSTEMD = Path("/run/systemd/system")


def start(layout: Layout, node: NodeLayout, rootfs: Path) -> Process:
    """Start the node's supervisor, which wires the node and boots it.

    A node without its supervisor is ended first: two must never write to one disk.

    Raises:
        TestbedError: the supervisor could not be started.
    """
    if _processes(node):
        kill([node])
    values = {
        "NODE": node.name,
        "PLATFORM": layout.kind.platform,
        "MACHINE": node.machine,
        "NAMESPACE": node.namespace,
        "SWITCH": layout.switch_namespace,
        "ROOTFS": str(rootfs),
        "CGROUP": node.cgroup,
        "MANAGEMENT_PORT": node.management_port,
        "MANAGEMENT_MAC": node.management_mac,
        "MANAGEMENT_ADDRESS": f"{node.management_address}/{layout.management.prefixlen}",
        "CLUSTER_PORT": node.cluster_port,
        "CLUSTER_MAC": node.cluster_mac,
    }
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    (node.folder / "supervisor.env").write_text(text)
    (node.folder / "supervisor.pid").unlink(missing_ok=True)
    # Else the state of the last boot could be taken for this one's.
    node.boot_status.write_text("starting\n")
    return host.spawn(supervisor_command(node), node.console_log)


def supervisor_command(node: NodeLayout) -> list[str]:
    """The supervisor's command: under systemd in a separate scope with a delegated cgroup."""
    script = ["sh", str(FILES / "supervisor.sh"), str(node.folder)]
    if not _SYSTEMD.is_dir():
        return script
    scope = f"--unit=overlay-runbook-{node.machine}"
    return ["systemd-run", "--scope", "--quiet", "--collect", scope, "--property=Delegate=yes", *script]


def stop(nodes: Sequence[NodeLayout]) -> None:
    """Shut nodes down gracefully in parallel, and wait until they are off.

    Raises:
        TestbedError: naming the nodes that did not go down in time.
    """
    processes = {node.name: _processes(node) for node in nodes}
    for node in nodes:
        # The supervisor forwards it; a second signal would make nspawn end the node at once.
        process = supervisor(node) or container(node)
        if process is not None:
            process.send(signal.SIGTERM)
    _wait_off(nodes, processes, STOP_TIMEOUT)


def kill(nodes: Sequence[NodeLayout]) -> None:
    """Cut the nodes' power: kill all their processes, without flushing disks.

    Raises:
        TestbedError: names the nodes that still run.
    """
    processes = {node.name: _processes(node) for node in nodes}
    deadline = Deadline(_KILL_TIMEOUT)
    killed: set[str] = set()
    while _any_alive(processes) and not deadline.passed:
        for node in nodes:
            _kill_once(node, killed)
        time.sleep(_KILL_POLL)
    _wait_off(nodes, processes, 0.0)


def _kill_once(node: NodeLayout, killed: set[str]) -> None:
    """Kill a node's process 1, and with it all others; or the processes that are starting it."""
    inner, outer, keeper = init(node), container(node), supervisor(node)
    if inner is not None:
        inner.send(signal.SIGKILL)
        killed.add(node.name)
    elif node.name in killed and keeper is not None:
        return  # nspawn and the supervisor clean up behind it
    elif outer is not None or keeper is not None:
        # It has no process 1 yet: end its supervisor and nspawn before they start one.
        if keeper is not None:
            keeper.send(signal.SIGTERM)
        for process in [outer, *outer.descendants()] if outer is not None else []:
            process.send(signal.SIGKILL)
    else:
        for process in host.processes(node):
            process.send(signal.SIGKILL)


def _any_alive(processes: Mapping[str, Sequence[Process]]) -> bool:
    return any(process.alive for group in processes.values() for process in group)


def _processes(node: NodeLayout) -> list[Process]:
    """All living processes in a node's cgroups, even without its supervisor and nspawn."""
    known = [process for process in (container(node), supervisor(node)) if process is not None]
    return [*known, *(process for process in host.processes(node) if process not in known)]


def _wait_off(nodes: Sequence[NodeLayout], processes: Mapping[str, Sequence[Process]], timeout: float) -> None:
    deadline = Deadline(timeout)
    left = [node for node in nodes if not all(process.wait(deadline.left) for process in processes[node.name])]
    if left:
        names = " ".join(node.name for node in left)
        raise TestbedError(
            f"still running {timeout:.0f} s after the request to stop",
            place=names,
            log_tail=host.tail_of(left[0].console_log),
            remedy=f"cut the power: {command_on_testbed(f'poweroff --hard {names}', left[0].testbed)}",
        )


# A node gets its lease a quarter of a second after its start; after this time it will not get one.
_ORDER_TIMEOUT = 60.0
_ENDING_SECONDS = 10.0
_ENDING_PAUSE = 0.02

After = Callable[[NodeLayout], None]


def boot(current: State, order: Sequence[NodeLayout], report: Report, after: After | None = None) -> None:
    """Start the nodes that are off and wait until every one of ``order`` is ready.

    Each boot2docker node must have its lease before the next one starts: leases are given first come, first served,
    and two requests at once are both rejected and lose seconds. Debian nodes start in parallel: the DHCP server has
    been configured with their addresses. ``after`` is called for each node as soon as it is ready.

    Raises:
        TestbedError: one or several nodes failed; every node was tried.
    """
    layout, rootfs = current.layout, Path(current.rootfs)
    leases = dhcp.parse_leases(layout.dhcp_log.read_text(errors="replace"))
    abandoned = threading.Event()
    finish = functools.partial(_finish, layout, report=report, after=after, abandoned=abandoned)
    with ThreadPoolExecutor(max_workers=len(order)) as pool:
        waiting: list[Future[None]] = []
        try:
            for node in order:
                running = _supervisor(node)
                process = running or start(layout, node, rootfs)
                waiting.append(pool.submit(finish, node, process, "boot" if running is None else "check"))
                if running is None and node.cluster_mac not in leases and not node.boots_systemd:
                    # Its own wait for readiness reports the failure; the other nodes continue.
                    with contextlib.suppress(TestbedError):
                        readiness.wait_until_ready(layout, node, process, upto="address", timeout=_ORDER_TIMEOUT)
            errors = [future.exception() for future in waiting]
        except BaseException:
            # Ctrl-C, or a node that could not be started: leaving the pool waits for its threads.
            abandoned.set()
            raise
    raise_together(errors)


def _supervisor(node: NodeLayout) -> Process | None:
    """The node's supervisor, if its node runs or starts; that of a node that was switched off ends in a moment."""
    running = nodes.supervisor(node)
    deadline = Deadline(_ENDING_SECONDS)
    while running is not None and nodes.init(node) is None and not deadline.passed:
        if not running.alive:
            return None
        time.sleep(_ENDING_PAUSE)
    return running


def _finish(
    layout: Layout,
    node: NodeLayout,
    process: Process,
    what: str,
    *,
    report: Report,
    after: After | None,
    abandoned: threading.Event,
) -> None:
    with step(report, what, node.name) as now:
        readiness.wait_until_ready(layout, node, process, abandoned=abandoned)
        now.detail = ", ".join(nodes.cluster_addresses(layout, node))
    if after is not None:
        after(node)


def raise_together(errors: Sequence[BaseException | None]) -> None:
    """Raise the only error, or one with all messages."""
    found = [error for error in errors if error is not None]
    for error in found:
        if len(found) == 1 or not isinstance(error, RunbookError):
            raise error
    if found:
        raise TestbedError(f"{len(found)} nodes failed:\n" + "\n".join(f"- {error}" for error in found))


def load_images(
    layout: Layout, node: NodeLayout, archive: Archive, content: Callable[[], bytes], report: Report
) -> None:
    """Load a node's images and create its etcd container, unless it has them."""
    spec = client.node_spec(layout, node)
    with SshConnection(spec) as ssh, Engine(spec, ssh) as engine:
        if not _has_images(engine, archive):
            with step(report, "images", node.name) as now:
                engine.load_image(content())
                now.detail = ", ".join(archive.identifiers)
        if _has_etcd_container(layout, node) and etcd.ensure_container(engine, layout, node):
            with step(report, "etcd container", node.name) as now:
                now.detail = f"{etcd.member_name(node)} created, not started"


def _has_etcd_container(layout: Layout, node: NodeLayout) -> bool:
    """Whether the node's member of etcd, if it has one, is a container."""
    if layout.kind.control_plane != "etcd" or node not in layout.etcd_nodes:
        return False
    return not etcd.is_native(layout, node)


def _has_images(engine: Engine, archive: Archive) -> bool:
    for name, identifier in archive.identifiers.items():
        try:
            if engine.image(name)["Id"] != identifier:
                return False
        except EngineNotFound:
            return False
    return True
