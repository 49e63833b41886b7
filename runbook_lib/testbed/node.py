"""One node: its disk, its processes as the host sees them, its addresses."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from runbook_lib.testbed import debian, host
from runbook_lib.testbed.certificates import Authority, ssh_key_pair
from runbook_lib.testbed.host import Process
from runbook_lib.testbed.layout import ENGINE_PORT, ETCD_CLIENT_PORT, Layout, NodeLayout


def prepare(layout: Layout, node: NodeLayout, authority: Authority, authorized_key: str) -> str:
    """Make the node's disk as its first boot would find it. Returns its known_hosts line."""
    if node.boots_systemd:
        return debian.prepare(layout, node, authority, authorized_key)
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
    """The boot2docker profile: TLS, and with etcd the article's cluster store and advertised interface."""
    options = "\n".join(_engine_options(layout))
    return f"""\
EXTRA_ARGS='
{options}
'
CACERT=/var/lib/boot2docker/ca.pem
DOCKER_HOST='-H tcp://0.0.0.0:{ENGINE_PORT}'
DOCKER_STORAGE=overlay2
DOCKER_TLS=auto
SERVERKEY=/var/lib/boot2docker/server-key.pem
SERVERCERT=/var/lib/boot2docker/server.pem
"""


def _engine_options(layout: Layout) -> list[str]:
    """What dockerd is told beside its sockets. A member of a swarm keeps its addresses itself.

    An engine that finds no store looks again after a heartbeat; 2 s instead of 20 s makes a start without etcd short.
    At its end it waits for a store that goes down with the other nodes, as long as it may: 5 s instead of 15 s.
    """
    patience = "--shutdown-timeout=5"
    if layout.kind.control_plane == "swarm-mode":
        return [patience]
    store = ",".join(f"{node.cluster_address}:{ETCD_CLIENT_PORT}" for node in layout.etcd_nodes)
    return [
        f"--cluster-store=etcd://{store}",
        f"--cluster-advertise=eth1:{ENGINE_PORT}",
        "--cluster-store-opt=discovery.heartbeat=2",
        "--cluster-store-opt=discovery.ttl=20",
        patience,
    ]


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
    return own_cluster_addresses(layout, text)


def own_cluster_addresses(layout: Layout, fib_trie: str) -> list[str]:
    """A node's addresses on the cluster's network, in the ``fib_trie`` of its process 1.

    Empty while that process has not entered the node's network namespace: nspawn makes it in the host's, whose
    own address on the cluster's network is not the node's.
    """
    local = parse_local_addresses(fib_trie)
    if layout.host_management_address in local:
        return []
    return [address for address in local if ipaddress.ip_address(address) in layout.cluster]


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
