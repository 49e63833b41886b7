"""The article's etcd: containers etcd1 to etcd3 on the first nodes, created but not started.

On Debian nodes only the first member is a container; the others are Debian's service, so that one cluster tests both
kinds of autostart. There are two services because they have a quorum without any engine: with one service and two
containers a reboot of all nodes took 14 to 27 s (measured), because engines wait for the store before they start
containers; with two services 6 s.
"""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.errors import EngineNotFound
from runbook_lib.testbed.image.images import ETCD_IMAGE
from runbook_lib.testbed.machine.layout import ETCD_CLIENT_PORT, ETCD_MEMBERS, Layout, NodeLayout
from runbook_lib.transport.docker.engine import Engine

_PEER_PORT = 2380


_STOP_SECONDS = 2


def member_name(node: NodeLayout) -> str:
    """The name of the node's member and its container."""
    return f"etcd{node.index}"


def is_native(layout: Layout, node: NodeLayout) -> bool:
    """Whether the node's member is the service of Debian's package: all but the first of three, on systemd nodes."""
    members = layout.etcd_nodes
    return node.boots_systemd and len(members) == ETCD_MEMBERS and node in members[1:]


def _initial_cluster(layout: Layout) -> str:
    return ",".join(
        f"{member_name(member)}=http://{member.cluster_address}:{_PEER_PORT}" for member in layout.etcd_nodes
    )


def unit_settings(layout: Layout, node: NodeLayout) -> str:
    """``/etc/default/etcd`` of a native member: the options of ``command`` as the unit's variables."""
    settings = {
        "ETCD_NAME": member_name(node),
        "ETCD_DATA_DIR": "/var/lib/etcd/default",
        "ETCD_ENABLE_V2": "true",
        "ETCD_LISTEN_CLIENT_URLS": f"http://0.0.0.0:{ETCD_CLIENT_PORT}",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{node.cluster_address}:{ETCD_CLIENT_PORT}",
        "ETCD_LISTEN_PEER_URLS": f"http://0.0.0.0:{_PEER_PORT}",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{node.cluster_address}:{_PEER_PORT}",
        "ETCD_INITIAL_CLUSTER": _initial_cluster(layout),
        "ETCD_INITIAL_CLUSTER_TOKEN": layout.name,
        "ETCD_INITIAL_CLUSTER_STATE": "new",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def command(layout: Layout, node: NodeLayout) -> Sequence[str]:
    """The command of the node's member; it advertises the node's address in the inventory."""
    return [
        "etcd",
        f"--name={member_name(node)}",
        "--data-dir=/var/lib/etcd",
        # Docker's store client speaks nothing newer.
        "--enable-v2=true",
        f"--listen-client-urls=http://0.0.0.0:{ETCD_CLIENT_PORT}",
        f"--advertise-client-urls=http://{node.cluster_address}:{ETCD_CLIENT_PORT}",
        f"--listen-peer-urls=http://0.0.0.0:{_PEER_PORT}",
        f"--initial-advertise-peer-urls=http://{node.cluster_address}:{_PEER_PORT}",
        f"--initial-cluster={_initial_cluster(layout)}",
        f"--initial-cluster-token={layout.name}",
        "--initial-cluster-state=new",
    ]


def ensure_container(engine: Engine, layout: Layout, node: NodeLayout) -> bool:
    """Create the node's member unless it exists; True if it was created."""
    try:
        engine.container(member_name(node))
    except EngineNotFound:
        engine.create_container(
            member_name(node),
            ETCD_IMAGE,
            command=command(layout, node),
            network="host",
            # A named volume: the member keeps its identity when its container is made again.
            binds=[f"{member_name(node)}:/var/lib/etcd"],
            restart_policy="no",
            # It needs a moment. An engine going down waits for its slowest container, and for a store that went with
            # the other nodes: by default 15 s, after which it gives up all the same.
            stop_timeout=_STOP_SECONDS,
        )
        return True
    return False
