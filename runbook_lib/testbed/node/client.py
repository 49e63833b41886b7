"""The client's files: keys, certificates, known hosts and the inventory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from runbook_lib.files import write_whole
from runbook_lib.model.inventory import ClusterNetwork, DockerAccess, Inventory, NodeSpec, SshAccess
from runbook_lib.testbed.machine.layout import ENGINE_PORT, Layout, NodeLayout
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.node.certificates import Authority, ssh_key_pair


def make_keys(layout: Layout) -> None:
    """Make the authority, the client's certificate and SSH key, every node's disk, and known_hosts."""
    for folder in (layout.certificates, layout.key_file.parent, layout.folder / "nodes"):
        folder.mkdir(mode=0o755, exist_ok=True)
    private_folder = layout.folder / "private"
    private_folder.mkdir(mode=0o700, exist_ok=True)
    authority = Authority.create(layout.name)
    authority.save(layout.certificates / "ca.pem", private_folder / "ca-key.pem")
    certificate, key = authority.issue(f"{layout.name} client")
    write_whole(layout.certificates / "cert.pem", certificate, exact=True)
    write_whole(layout.certificates / "key.pem", key, mode=0o600, exact=True)
    private, public = ssh_key_pair(f"{layout.name} testbed")
    write_whole(layout.key_file, private, mode=0o600, exact=True)
    write_whole(layout.key_file.with_suffix(".pub"), public, exact=True)
    known = [nodes.prepare(layout, node, authority, public) for node in layout.nodes]
    # Written last: it exists only if all other files exist.
    write_whole(layout.known_hosts, "".join(known), exact=True)


def keys_exist(layout: Layout) -> bool:
    """Whether ``make_keys`` has finished."""
    return layout.known_hosts.is_file()


def node_spec(layout: Layout, node: NodeLayout) -> NodeSpec:
    """A node's description in the inventory."""
    certificates = layout.certificates
    return NodeSpec(
        name=node.name,
        cluster_address=node.cluster_address,
        ssh=SshAccess(
            host=node.management_address,
            user="docker",
            key_file=str(layout.key_file),
            known_hosts=str(layout.known_hosts),
        ),
        docker=DockerAccess(
            via="tls",
            host=node.management_address,
            port=ENGINE_PORT,
            ca=str(certificates / "ca.pem"),
            cert=str(certificates / "cert.pem"),
            key=str(certificates / "key.pem"),
        ),
        platform=node.platform,
    )


def inventory(layout: Layout) -> Inventory:
    """The testbed's inventory."""
    return Inventory(
        name=layout.name,
        network=ClusterNetwork(
            interface="eth1",
            subnet=str(layout.cluster),
            gateway=layout.gateway,
            dhcp_pool="-".join(layout.pool),
        ),
        nodes=tuple(node_spec(layout, node) for node in layout.nodes),
    )


def write_inventory(layout: Layout) -> None:
    """Write ``inventory.yaml``."""
    text = yaml.safe_dump(inventory(layout).model_dump(mode="json"), sort_keys=False)
    write_whole(layout.inventory_file, text, exact=True)


def chown_to_sudo_user(layout: Layout) -> None:
    """Give the client's files to the user who called sudo, who needs to read the keys."""
    owner, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if owner is None or group is None or os.geteuid() != 0:
        return
    for path in _client_files(layout):
        os.chown(path, int(owner), int(group))


def _client_files(layout: Layout) -> Sequence[Path]:
    return [
        layout.key_file,
        layout.key_file.with_suffix(".pub"),
        layout.known_hosts,
        *(layout.certificates / name for name in ("ca.pem", "cert.pem", "key.pem")),
    ]
