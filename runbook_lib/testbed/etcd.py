"""The article's etcd: containers etcd1 to etcd3 on the first nodes, created but not started."""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib.errors import EngineNotFound
from runbook_lib.testbed.images import ETCD_IMAGE
from runbook_lib.testbed.layout import Layout, NodeLayout
from runbook_lib.transport.engine import Engine

_CLIENT_PORT = 2379
_PEER_PORT = 2380
_STOP_SECONDS = 2


def member_name(node: NodeLayout) -> str:
    """The name of the node's member and of its container."""
    return f"etcd{node.index}"


def command(layout: Layout, node: NodeLayout) -> Sequence[str]:
    """How the node's member is started; it advertises the address that the node should have."""
    cluster = ",".join(
        f"{member_name(member)}=http://{member.cluster_address}:{_PEER_PORT}" for member in layout.etcd_nodes
    )
    return [
        "etcd",
        f"--name={member_name(node)}",
        "--data-dir=/var/lib/etcd",
        # Docker's store client speaks nothing newer.
        "--enable-v2=true",
        f"--listen-client-urls=http://0.0.0.0:{_CLIENT_PORT}",
        f"--advertise-client-urls=http://{node.cluster_address}:{_CLIENT_PORT}",
        f"--listen-peer-urls=http://0.0.0.0:{_PEER_PORT}",
        f"--initial-advertise-peer-urls=http://{node.cluster_address}:{_PEER_PORT}",
        f"--initial-cluster={cluster}",
        f"--initial-cluster-token={layout.name}",
        "--initial-cluster-state=new",
    ]


def ensure_container(engine: Engine, layout: Layout, node: NodeLayout) -> bool:
    """Create the node's member unless it is there already; True when it was created."""
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
