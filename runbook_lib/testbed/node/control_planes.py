"""The testbed's control planes: a swarm, or the article's etcd.

The article's members are the containers etcd1 to etcd3 on the first nodes, created but not started. On Debian nodes
only the first member is a container; the others are Debian's service, so that one cluster tests both kinds of
autostart. There are two services because they have a quorum without any engine: with one service and two containers a
reboot of all nodes took 14 to 27 s (measured), because engines wait for the store before they start containers, with
two services 6 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from pydantic import SecretStr

from runbook_lib.errors import EngineError, EngineNotFound, TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed.image.images import ETCD_IMAGE
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.layout import ETCD_CLIENT_PORT, ETCD_MEMBERS, Layout, NodeLayout
from runbook_lib.testbed.node import client
from runbook_lib.testbed.progress import Report, step
from runbook_lib.transport.docker.engine import Engine, Role
from runbook_lib.transport.ssh import SshConnection

PORT = 2377
# After a start of all managers the election takes 10 to 20 s; a busy machine takes longer.
_PATIENCE = 90.0
_POLL = 0.1
_UNAVAILABLE = 503
_NO_LEADER = "does not have a leader"
_NO_MEMBER = "inactive"
# The engine continues to join after this message.
_STILL_JOINING = "Timeout was reached before node joined"


def role_of(layout: Layout, node: NodeLayout) -> Role:
    """The node's intended role in the swarm."""
    return "manager" if node in layout.swarm_managers else "worker"


def ensure(layout: Layout, report: Report) -> None:
    """Join the engines into one swarm, unless they are: node1 creates it, the others join one after the other.

    Every member permanently advertises its address in the inventory. A node has that address in a new testbed, and
    again when its addresses are fixed; with another address it cannot take part in the swarm.

    Raises:
        EngineError: an engine refused.
        TestbedError: the swarm was not ready in time.
    """
    with ExitStack() as stack:
        engines = {node: _engine(layout, node, stack) for node in layout.nodes}
        with ThreadPoolExecutor(max_workers=len(engines)) as pool:
            infos = dict(zip(engines, pool.map(Engine.swarm_info, engines.values()), strict=True))
        missing = [node for node, info in infos.items() if info.get("LocalNodeState", _NO_MEMBER) == _NO_MEMBER]
        if missing:
            with step(report, "swarm") as now:
                _join_all(layout, engines, missing)
                managers = len(layout.swarm_managers)
                now.detail = f"managers: {managers}, workers: {len(engines) - managers}"


def _join_all(layout: Layout, engines: Mapping[NodeLayout, Engine], missing: Sequence[NodeLayout]) -> None:
    first = layout.nodes[0]
    manager = engines[first]
    if first in missing:
        manager.swarm_init(first.cluster_address)
    _await(lambda: _ready(manager) > 0, layout, first)
    for node in missing:
        if node is not first:
            _join(engines[node], node, manager.swarm_join_token(role_of(layout, node)), first)
    _await(lambda: _ready(manager) == len(engines), layout, first)


def _join(engine: Engine, node: NodeLayout, token: SecretStr, first: NodeLayout) -> None:
    try:
        engine.swarm_join([f"{first.cluster_address}:{PORT}"], token, node.cluster_address)
    except EngineError as error:
        if _STILL_JOINING not in error.explanation:
            raise


def _ready(manager: Engine) -> int:
    """How many members are ready by a manager's answer; 0 without a leader."""
    return sum(member["Status"]["State"] == "ready" for member in _members(manager))


def _members(manager: Engine) -> list[dict[str, Any]]:
    """A manager's list of all members; empty without a leader."""
    try:
        return manager.swarm_nodes()
    except EngineError as error:
        # Status 500 with this text; 503 while the manager itself is starting.
        if error.status == _UNAVAILABLE or _NO_LEADER in error.explanation:
            return []
        raise


def standing(layout: Layout, node: NodeLayout, engine: Engine) -> str:
    """The node's current role in the swarm, as text.

    It is ``leader``, ``manager``, ``worker`` or ``no member``; after a comma a fault, such as ``no quorum``.

    Raises:
        EngineError: the engine refuses to answer.
        UnreachableError: it does not answer.
    """
    info = engine.swarm_info()
    members = _members(engine) if info.get("ControlAvailable") else []
    return describe(role_of(layout, node), info, members)


def describe(role: Role, info: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> str:
    """The text of ``standing``, from ``Swarm`` of ``GET /info`` and from ``GET /nodes``, which may be empty.

    ``role`` is the node's intended role, which an engine does not know without a manager's answer.
    """
    state = info.get("LocalNodeState") or _NO_MEMBER
    if state == _NO_MEMBER:
        return "no member"
    if info.get("ControlAvailable"):
        if not members:
            return "manager, no quorum"
        leads = any(
            member["ID"] == info["NodeID"] and (member.get("ManagerStatus") or {}).get("Leader") for member in members
        )
        return "leader" if leads else "manager"
    return role if state == "active" else f"{role}, {state}"


def _await(reached: Callable[[], bool], layout: Layout, node: NodeLayout) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() >= deadline:
            raise TestbedError(
                f"the swarm is not complete after {_PATIENCE:.0f} s; the end of {node.docker_log}:",
                place=node.name,
                log_tail=host.tail_of(node.docker_log),
                remedy=f"remove the testbed and create it again: {command_on_testbed('down', layout.name)}",
            )
        time.sleep(_POLL)


def _engine(layout: Layout, node: NodeLayout, stack: ExitStack) -> Engine:
    spec = client.node_spec(layout, node)
    return stack.enter_context(Engine(spec, stack.enter_context(SshConnection(spec))))


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
        # Docker's store client supports no newer API.
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
            # A named volume: the member keeps its identity when its container is recreated.
            binds=[f"{member_name(node)}:/var/lib/etcd"],
            restart_policy="no",
            # It needs a moment. An engine that stops waits for its slowest container, and for a store that stopped with
            # the other nodes: by default 15 s.
            stop_timeout=_STOP_SECONDS,
        )
        return True
    return False
