"""Switches nodes on and off: gracefully, or as when the power is cut."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed import cgroups, host
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.layout import Layout, NodeLayout
from runbook_lib.testbed.node import container, init, supervisor
from runbook_lib.testbed.rootfs import FILES

# dockerd itself waits 15 s for containers that ignore SIGTERM.
STOP_TIMEOUT = 60.0
_KILL_TIMEOUT = 15.0
_KILL_POLL = 0.02
_SYSTEMD = Path("/run/systemd/system")


def start(layout: Layout, node: NodeLayout, rootfs: Path) -> Process:
    """Start the node's supervisor, which wires the node and boots it.

    A node that lost its supervisor is ended first: two must never write to one disk.

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
    # Else the ladder could take the last boot's word for this one's.
    node.boot_status.write_text("starting\n")
    return host.spawn(supervisor_command(node), node.console_log)


def supervisor_command(node: NodeLayout) -> list[str]:
    """How the supervisor is called: under systemd in a scope of its own, whose cgroup is delegated to it."""
    script = ["sh", str(FILES / "supervisor.sh"), str(node.folder)]
    if not _SYSTEMD.is_dir():
        return script
    scope = f"--unit=overlay-runbook-{node.machine}"
    return ["systemd-run", "--scope", "--quiet", "--collect", scope, "--property=Delegate=yes", *script]


def stop(nodes: Sequence[NodeLayout]) -> None:
    """Shut nodes down gracefully, all at once, and wait until they are off.

    Raises:
        TestbedError: naming the nodes that did not go down in time.
    """
    processes = {node.name: _processes(node) for node in nodes}
    for node in nodes:
        # The supervisor hands it on; a second one would make nspawn end the node at once.
        process = supervisor(node) or container(node)
        if process is not None:
            process.send(signal.SIGTERM)
    _wait_off(nodes, processes, STOP_TIMEOUT)


def kill(nodes: Sequence[NodeLayout]) -> None:
    """Cut the nodes' power: all their processes end at once, nothing is flushed.

    Raises:
        TestbedError: naming the nodes that are still there.
    """
    processes = {node.name: _processes(node) for node in nodes}
    deadline = time.monotonic() + _KILL_TIMEOUT
    killed: set[str] = set()
    while _any_alive(processes) and time.monotonic() < deadline:
        for node in nodes:
            _kill_once(node, killed)
        time.sleep(_KILL_POLL)
    _wait_off(nodes, processes, 0.0)


def _kill_once(node: NodeLayout, killed: set[str]) -> None:
    """End a node's process 1, and with it all the others; or what is starting up to become it."""
    inner, outer, keeper = init(node), container(node), supervisor(node)
    if inner is not None:
        inner.send(signal.SIGKILL)
        killed.add(node.name)
    elif node.name in killed and keeper is not None:
        return  # nspawn and the supervisor clean up behind it
    elif outer is not None or keeper is not None:
        # It has no process 1 yet: its supervisor must not start one, and nspawn must not go on.
        if keeper is not None:
            keeper.send(signal.SIGTERM)
        for process in [outer, *outer.descendants()] if outer is not None else []:
            process.send(signal.SIGKILL)
    else:
        for process in cgroups.processes(node):
            process.send(signal.SIGKILL)


def _any_alive(processes: Mapping[str, Sequence[Process]]) -> bool:
    return any(process.alive for group in processes.values() for process in group)


def _processes(node: NodeLayout) -> list[Process]:
    """Everything of a node that lives: whatever is in its cgroups, even if it lost its supervisor and nspawn."""
    known = [process for process in (container(node), supervisor(node)) if process is not None]
    return [*known, *(process for process in cgroups.processes(node) if process not in known)]


def _wait_off(nodes: Sequence[NodeLayout], processes: Mapping[str, Sequence[Process]], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    left = [
        node
        for node in nodes
        if not all(process.wait(max(0.0, deadline - time.monotonic())) for process in processes[node.name])
    ]
    if left:
        names = " ".join(node.name for node in left)
        raise TestbedError(
            f"still running {timeout:.0f} s after the request to stop",
            place=names,
            log_tail=host.tail_of(left[0].console_log),
            remedy=f"cut the power: {command_on_testbed(f'poweroff --hard {names}', left[0].testbed)}",
        )
