"""One node: its disk, its supervisor, its processes, and starting and stopping it."""

from __future__ import annotations

import ipaddress
import os
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runbook_lib.errors import TestbedError
from runbook_lib.testbed import host
from runbook_lib.testbed.certificates import Authority, ssh_key_pair
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.layout import ENGINE_PORT, Layout, NodeLayout
from runbook_lib.testbed.rootfs import FILES

# dockerd itself waits 15 s for containers that ignore SIGTERM.
STOP_TIMEOUT = 60.0
_KILL_TIMEOUT = 15.0
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
_SYSTEMD = Path("/run/systemd/system")
ETCD_CLIENT_PORT = 2379


def prepare(layout: Layout, node: NodeLayout, authority: Authority, authorized_key: str) -> str:
    """Make the node's disk as boot2docker's first boot would find it. Returns its known_hosts line."""
    for folder in ("docker", "boot2docker/etc", "boot2docker/log", "boot2docker/ssh", "etc-docker"):
        (node.folder / folder).mkdir(parents=True, exist_ok=True)
    disk = node.disk
    (disk / "etc" / "hostname").write_text(f"{node.name}\n")
    (disk / "profile").write_text(profile(layout))
    private, public = ssh_key_pair(f"root@{node.name}")
    host.write_atomically(disk / "ssh" / "ssh_host_ed25519_key", private, 0o600)
    (disk / "ssh" / "ssh_host_ed25519_key.pub").write_text(public)
    (disk / "ssh" / "authorized_keys").write_text(authorized_key)
    certificate, key = authority.issue(
        node.name, addresses=(node.management_address, node.cluster_address, "127.0.0.1")
    )
    (disk / "ca.pem").write_text(authority.pem)
    (disk / "server.pem").write_text(certificate)
    host.write_atomically(disk / "server-key.pem", key, 0o600)
    kind, blob = public.split()[:2]
    return f"{node.management_address},{node.cluster_address} {kind} {blob}\n"


def profile(layout: Layout) -> str:
    """The boot2docker profile: TLS, and the article's cluster store and advertised interface."""
    store = ",".join(f"{node.cluster_address}:{ETCD_CLIENT_PORT}" for node in layout.etcd_nodes)
    return f"""\
EXTRA_ARGS='
--cluster-store=etcd://{store}
--cluster-advertise=eth1:{ENGINE_PORT}
'
CACERT=/var/lib/boot2docker/ca.pem
DOCKER_HOST='-H tcp://0.0.0.0:{ENGINE_PORT}'
DOCKER_STORAGE=overlay2
DOCKER_TLS=auto
SERVERKEY=/var/lib/boot2docker/server-key.pem
SERVERCERT=/var/lib/boot2docker/server.pem
"""


def start(layout: Layout, node: NodeLayout, rootfs: Path) -> Process:
    """Start the node's supervisor, which wires the node and boots it.

    A node that lost its supervisor is ended first: two must never write to one disk.

    Raises:
        TestbedError: the supervisor could not be started.
    """
    if container(node) is not None:
        kill([node])
    values = {
        "NODE": node.name,
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


def supervisor(node: NodeLayout) -> Process | None:
    """The node's supervisor, if it runs."""
    return Process.read(node.folder / "supervisor.pid")


def container(node: NodeLayout) -> Process | None:
    """The node's systemd-nspawn process, if it runs."""
    return Process.read(node.folder / "node.pid")


def init(node: NodeLayout) -> Process | None:
    """The node's process 1 as the host sees it, if it runs."""
    parent = container(node)
    for child in parent.children() if parent else []:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            continue
        if any(line.split()[-1] == "1" for line in status.splitlines() if line.startswith("NSpid:")):
            return child
    return None


def cluster_addresses(layout: Layout, node: NodeLayout) -> list[str]:
    """The addresses that the node has on the cluster's network at this moment; empty when it is off."""
    process = init(node)
    if process is None:
        return []
    try:
        text = Path(f"/proc/{process.pid}/net/fib_trie").read_text()
    except OSError:
        return []
    return [address for address in parse_local_addresses(text) if ipaddress.ip_address(address) in layout.cluster]


def parse_local_addresses(fib_trie: str) -> list[str]:
    """The local IPv4 addresses in ``/proc/PID/net/fib_trie``, which needs no entering of the namespace."""
    found: list[str] = []
    address = ""
    for line in fib_trie.splitlines():
        text = line.strip()
        if text.startswith("|--"):
            address = text.split()[1]
        elif text == "/32 host LOCAL" and address not in found:
            found.append(address)
    return found


def stop(nodes: Sequence[NodeLayout]) -> None:
    """Shut nodes down gracefully, all at once, and wait until they are off.

    Raises:
        TestbedError: naming the nodes that did not go down in time.
    """
    processes = {node.name: _processes(node) for node in nodes}
    for node in nodes:
        process = container(node)
        if process is not None:
            process.send(signal.SIGTERM)
    _wait_off(nodes, processes, STOP_TIMEOUT)


def kill(nodes: Sequence[NodeLayout]) -> None:
    """Cut the nodes' power: all their processes end at once, nothing is flushed.

    Raises:
        TestbedError: naming the nodes that are still there.
    """
    processes = {node.name: _processes(node) for node in nodes}
    for node in nodes:
        process = init(node) or container(node)
        if process is not None:
            process.send(signal.SIGKILL)
    _wait_off(nodes, processes, _KILL_TIMEOUT)


def _processes(node: NodeLayout) -> list[Process]:
    return [process for process in (container(node), supervisor(node)) if process is not None]


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
            remedy=f"cut the power: ./runbook testbed poweroff --hard {names}",
        )


def remove_traces(node: NodeLayout) -> None:
    """Remove what a node that is off leaves outside its folder: its cgroups, and nspawn's folder for its mounts."""
    if (folder := _PROPAGATE / node.machine).is_dir():
        folder.rmdir()
    try:
        groups = [Path(line) for line in (node.folder / "cgroups").read_text().splitlines()]
    except FileNotFoundError:
        return
    for group in groups:
        if group.name == node.cgroup and group.is_dir():
            for path, _folders, _files in os.walk(group, topdown=False):
                Path(path).rmdir()
