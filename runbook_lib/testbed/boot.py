"""Boots nodes: in an order where the order matters, and otherwise all at the same time."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from runbook_lib.errors import EngineNotFound, RunbookError, TestbedError
from runbook_lib.testbed import client, dhcp, etcd, power, readiness
from runbook_lib.testbed import node as nodes
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.images import Archive
from runbook_lib.testbed.layout import Layout, NodeLayout
from runbook_lib.testbed.progress import Report, step
from runbook_lib.testbed.state import State
from runbook_lib.transport.engine import Engine
from runbook_lib.transport.ssh import SshConnection

# A node has its lease a quarter of a second after its start; one that takes this long will not have it.
_ORDER_TIMEOUT = 60.0
_ENDING_SECONDS = 10.0
_ENDING_PAUSE = 0.02

After = Callable[[NodeLayout], None]


def boot(current: State, order: Sequence[NodeLayout], report: Report, after: After | None = None) -> None:
    """Start the nodes that are off and wait until every one of ``order`` has climbed its ladder.

    A node without a lease is waited for before the next one starts: leases go to whoever comes
    first, and two that come at once are both sent away and lose seconds. Debian nodes all start at
    once: the DHCP server has been told which address each of them gets. ``after`` is called for
    each node as soon as that node is ready.

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
                process = running or power.start(layout, node, rootfs)
                waiting.append(pool.submit(finish, node, process, "boot" if running is None else "check"))
                if running is None and node.cluster_mac not in leases and not node.boots_systemd:
                    # Its own ladder reports the failure; the other nodes go on.
                    with contextlib.suppress(TestbedError):
                        readiness.climb(layout, node, process, upto="address", timeout=_ORDER_TIMEOUT)
            errors = [future.exception() for future in waiting]
        except BaseException:
            # Ctrl-C, or a node that could not be started at all: leaving the pool waits for its threads.
            abandoned.set()
            raise
    raise_together(errors)


def _supervisor(node: NodeLayout) -> Process | None:
    """The node's supervisor, if it has or is about to have a node; one whose node was switched off ends in a moment."""
    running = nodes.supervisor(node)
    deadline = time.monotonic() + _ENDING_SECONDS
    while running is not None and nodes.init(node) is None and time.monotonic() < deadline:
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
        readiness.climb(layout, node, process, abandoned=abandoned)
        now.detail = ", ".join(nodes.cluster_addresses(layout, node))
    if after is not None:
        after(node)


def raise_together(errors: Sequence[BaseException | None]) -> None:
    """Raise the only error, or one that holds them all."""
    found = [error for error in errors if error is not None]
    for error in found:
        if len(found) == 1 or not isinstance(error, RunbookError):
            raise error
    if found:
        raise TestbedError(f"{len(found)} nodes failed:\n" + "\n".join(f"- {error}" for error in found))


def furnish(layout: Layout, node: NodeLayout, archive: Archive, content: Callable[[], bytes], report: Report) -> None:
    """Give a node its images and its etcd container, unless it has them."""
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
