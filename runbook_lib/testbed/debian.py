"""A Debian node's own layer over the shared tree: everything in which its disk differs from a fresh host's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from runbook_lib.testbed import etcd, host
from runbook_lib.testbed.certificates import Authority, ssh_key_pair
from runbook_lib.testbed.layout import ENGINE_PORT, ETCD_CLIENT_PORT, Layout, NodeLayout
from runbook_lib.testbed.managers import manager

_CERTIFICATES = "etc/docker"


def prepare(layout: Layout, node: NodeLayout, authority: Authority, authorized_key: str) -> str:
    """Make the node's disk as a fresh host has it before its first boot. Returns its known_hosts line."""
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
            # Its lease and its journal go by this: two nodes must not have the same.
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
    """What ``/etc/docker/daemon.json`` says: TLS and, with etcd, the article's store and advertised interface.

    The heartbeat and the timeout are those of a boot2docker node, for the same reasons.
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
    """Give the node the files of its manager, and what enables it: the other managers stay as they are, off."""
    own = manager(node.platform)
    _write(node, own.files, own.mode)
    for path, target in own.links.items():
        link = _place(node, path)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _write(node: NodeLayout, files: Mapping[str, str], mode: int = 0o644) -> None:
    for path, text in files.items():
        host.write_atomically(_place(node, path), text, mode)


def _place(node: NodeLayout, path: str) -> Path:
    """Where a file of the node's root is; its folders are made here, for their modes hide those of the tree's."""
    root = node.folder / "root"
    place = root / path
    for folder in reversed([parent for parent in place.parents if parent.is_relative_to(root)]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
    return place
