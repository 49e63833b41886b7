"""One node: its disk (for Debian a layer over the shared tree), its processes on the host, its addresses."""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from runbook_lib.files import write_whole
from runbook_lib.testbed.machine.host import Process
from runbook_lib.testbed.machine.layout import ENGINE_PORT, ETCD_CLIENT_PORT, Layout, NodeLayout
from runbook_lib.testbed.machine.managers import manager
from runbook_lib.testbed.node import etcd
from runbook_lib.testbed.node.certificates import Authority, ssh_key_pair

_CERTIFICATES = "etc/docker"


def prepare_debian(layout: Layout, node: NodeLayout, authority: Authority, authorized_key: str) -> str:
    """Create the disk of a Debian node before its first boot. Returns its known_hosts line."""
    for folder in ("docker", "work", "merged", "root", "overlay-runbook/log"):
        (node.folder / folder).mkdir(parents=True, exist_ok=True)
    private, public = ssh_key_pair(f"root@{node.name}")
    certificate, key = authority.issue(
        node.name, addresses=(node.management_address, node.cluster_address, "127.0.0.1")
    )
    _write(
        node,
        {
            "etc/hostname": f"{node.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n",
            # DHCP lease and journal depend on this ID: it must be unique.
            "etc/machine-id": f"{uuid.uuid4().hex}\n",
            "etc/ssh/ssh_host_ed25519_key.pub": public,
            "etc/ssh/authorized_keys.d/docker": authorized_key,
            f"{_CERTIFICATES}/ca.pem": authority.pem,
            f"{_CERTIFICATES}/server.pem": certificate,
            f"{_CERTIFICATES}/daemon.json": json.dumps(daemon_options(layout), indent=2) + "\n",
        },
    )
    _write(node, {"etc/ssh/ssh_host_ed25519_key": private, f"{_CERTIFICATES}/server-key.pem": key}, 0o600)
    _install_manager(node)
    if etcd.is_native(layout, node):
        _write(node, {"etc/default/etcd": etcd.unit_settings(layout, node)})
    kind, blob = public.split()[:2]
    return f"{node.management_address},{node.cluster_address} {kind} {blob}\n"


def daemon_options(layout: Layout) -> Mapping[str, object]:
    """The content of ``/etc/docker/daemon.json``: TLS and, with etcd, the article's store and advertised interface.

    Heartbeat and timeout are the same as on a boot2docker node.
    """
    options: dict[str, object] = {
        "storage-driver": "overlay2",
        "shutdown-timeout": 5,
        "tlsverify": True,
        "tlscacert": f"/{_CERTIFICATES}/ca.pem",
        "tlscert": f"/{_CERTIFICATES}/server.pem",
        "tlskey": f"/{_CERTIFICATES}/server-key.pem",
    }
    if layout.kind.control_plane == "etcd":
        store = ",".join(f"{node.cluster_address}:{ETCD_CLIENT_PORT}" for node in layout.etcd_nodes)
        options |= {
            "cluster-store": f"etcd://{store}",
            "cluster-advertise": f"eth1:{ENGINE_PORT}",
            "cluster-store-opts": {"discovery.heartbeat": "2", "discovery.ttl": "20"},
        }
    return options


def _install_manager(node: NodeLayout) -> None:
    """Install and enable the files of the node's network manager; the others stay disabled."""
    own = manager(node.platform)
    _write(node, own.files, own.mode)
    for path, target in own.links.items():
        link = _place(node, path)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _write(node: NodeLayout, files: Mapping[str, str], mode: int = 0o644) -> None:
    for path, text in files.items():
        write_whole(_place(node, path), text, mode=mode, exact=True)


def _place(node: NodeLayout, path: str) -> Path:
    """The path of a file in the node's root; creates its folders, whose modes hide those of the shared tree."""
    root = node.folder / "root"
    place = root / path
    for folder in reversed([parent for parent in place.parents if parent.is_relative_to(root)]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
    return place


def prepare(layout: Layout, node: NodeLayout, authority: Authority, authorized_key: str) -> str:
    """Create the node's disk before its first boot. Returns its known_hosts line."""
    if node.boots_systemd:
        return prepare_debian(layout, node, authority, authorized_key)
    for folder in ("docker", "boot2docker/etc", "boot2docker/log", "boot2docker/ssh", "etc-docker"):
        (node.folder / folder).mkdir(parents=True, exist_ok=True)
    disk = node.disk
    (disk / "etc" / "hostname").write_text(f"{node.name}\n")
    (disk / "profile").write_text(profile(layout))
    private, public = ssh_key_pair(f"root@{node.name}")
    write_whole(disk / "ssh" / "ssh_host_ed25519_key", private, mode=0o600, exact=True)
    (disk / "ssh" / "ssh_host_ed25519_key.pub").write_text(public)
    (disk / "ssh" / "authorized_keys").write_text(authorized_key)
    certificate, key = authority.issue(
        node.name, addresses=(node.management_address, node.cluster_address, "127.0.0.1")
    )
    (disk / "ca.pem").write_text(authority.pem)
    (disk / "server.pem").write_text(certificate)
    write_whole(disk / "server-key.pem", key, mode=0o600, exact=True)
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
    """dockerd's options except for its sockets. A member of a swarm keeps its addresses itself.

    An engine without a store retries after a heartbeat; 2 s instead of 20 s shortens a start without etcd. When it
    stops, it waits for a store that stops with the other nodes: 5 s instead of 15 s.
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
    """The node's process 1 on the host, if it runs."""
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
    """The node's current addresses on the cluster's network; empty if it is off."""
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

    Empty until that process has entered the node's network namespace: nspawn starts it in the host's, which has its own
    address on the cluster's network.
    """
    local = parse_local_addresses(fib_trie)
    if layout.host_management_address in local:
        return []
    return [address for address in local if ipaddress.ip_address(address) in layout.cluster]


def parse_local_addresses(fib_trie: str) -> list[str]:
    """The local IPv4 addresses in ``/proc/PID/net/fib_trie``, read without entering the namespace."""
    found: list[str] = []
    address = ""
    for line in fib_trie.splitlines():
        text = line.strip()
        if text.startswith("|--"):
            address = text.split()[1]
        elif text == "/32 host LOCAL" and address not in found:
            found.append(address)
    return found
