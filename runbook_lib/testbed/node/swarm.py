"""The swarm of a testbed in Swarm mode: three managers, and every further node a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from pydantic import SecretStr

from runbook_lib.errors import EngineError, TestbedError
from runbook_lib.model.commands import command_on_testbed
from runbook_lib.testbed.machine import host
from runbook_lib.testbed.machine.layout import Layout, NodeLayout
from runbook_lib.testbed.node import client
from runbook_lib.testbed.progress import Report, step
from runbook_lib.transport.docker.engine import Engine, Role
from runbook_lib.transport.ssh import SshConnection
from runbook_lib.waiting import wait_until

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
    if not wait_until(reached, _PATIENCE, pause=_POLL):
        raise TestbedError(
            f"the swarm is not complete after {_PATIENCE:.0f} s; the end of {node.docker_log}:",
            place=node.name,
            log_tail=host.tail_of(node.docker_log),
            remedy=f"remove the testbed and create it again: {command_on_testbed('down', layout.name)}",
        )


def _engine(layout: Layout, node: NodeLayout, stack: ExitStack) -> Engine:
    spec = client.node_spec(layout, node)
    return stack.enter_context(Engine(spec, stack.enter_context(SshConnection(spec))))
