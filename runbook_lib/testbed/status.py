"""How a testbed stands at this moment."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from runbook_lib.errors import InputError, RunbookError
from runbook_lib.model.parameters import Timeouts
from runbook_lib.model.platforms import PlatformName
from runbook_lib.testbed import client, readiness, swarm
from runbook_lib.testbed import node as nodes
from runbook_lib.testbed.layout import Layout, NodeLayout
from runbook_lib.transport.engine import Engine
from runbook_lib.transport.ssh import SshConnection

NodeState = Literal["running", "booting", "no engine", "off"]
_TIMEOUTS = Timeouts(connect=3, command=5)


@dataclass(frozen=True)
class NodeStatus:
    """One node: ``cluster_address`` is the one it has now, ``inventory_address`` the one it should have.

    ``swarm`` is what it is in the swarm of a testbed in Swarm mode: leader, manager, worker, with what is wrong.
    ``platform`` is boot2docker, or the network manager that a Debian node is under.
    """

    name: str
    platform: PlatformName
    state: NodeState
    management_address: str
    cluster_address: str | None
    inventory_address: str
    engine_version: str | None
    pid: int | None
    swarm: str | None = None


@dataclass(frozen=True)
class TestbedStatus:
    """A testbed and all of its nodes; ``kind`` says in words what it is made of."""

    __test__: ClassVar[bool] = False  # pytest would otherwise collect a class whose name begins with Test

    name: str
    kind: str
    cluster_subnet: str
    management_subnet: str
    inventory: str
    nodes: tuple[NodeStatus, ...]

    @property
    def running(self) -> bool:
        """Whether every node is up and its engine answers."""
        return all(node.state == "running" for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return dataclasses.asdict(self)


def read(layout: Layout) -> TestbedStatus:
    """Ask every node, all at once; nothing is changed and no root is needed.

    Raises:
        InputError: the client's key cannot be read by this user.
    """
    key = layout.certificates / "key.pem"
    try:
        key.read_bytes()
    except PermissionError as error:
        raise InputError(
            f"the key {key} belongs to somebody else", place=layout.name, remedy="ask as the user who brought it up"
        ) from error
    except FileNotFoundError:
        pass  # an `up` that has not come that far: no engine can be asked
    with ThreadPoolExecutor(max_workers=len(layout.nodes)) as pool:
        rows = tuple(pool.map(lambda node: _node(layout, node), layout.nodes))
    return TestbedStatus(
        name=layout.name,
        kind=str(layout.kind),
        cluster_subnet=str(layout.cluster),
        management_subnet=str(layout.management),
        inventory=str(layout.inventory_file),
        nodes=rows,
    )


def _node(layout: Layout, node: NodeLayout) -> NodeStatus:
    process = nodes.init(node)
    version, standing = _engine(layout, node) if process is not None else (None, None)
    addresses = nodes.cluster_addresses(layout, node)
    return NodeStatus(
        name=node.name,
        platform=node.platform,
        state=_state(node, alive=process is not None, engine=version is not None),
        management_address=node.management_address,
        cluster_address=addresses[0] if addresses else None,
        inventory_address=node.cluster_address,
        engine_version=version,
        pid=process.pid if process is not None else None,
        swarm=standing,
    )


def _state(node: NodeLayout, *, alive: bool, engine: bool) -> NodeState:
    if not alive:
        return "off"
    if not readiness.boot_finished(node):
        return "booting"
    return "running" if engine else "no engine"


def _engine(layout: Layout, node: NodeLayout) -> tuple[str | None, str | None]:
    """The version that the node's engine says it has, and what it is in its swarm; None where it says nothing."""
    spec = client.node_spec(layout, node)
    version = None
    with SshConnection(spec, _TIMEOUTS) as ssh, Engine(spec, ssh, _TIMEOUTS) as engine:
        try:
            version = str(engine.version()["Version"])
            in_swarm = layout.kind.control_plane == "swarm-mode"
            return version, swarm.standing(layout, node, engine) if in_swarm else None
        except RunbookError:
            return version, None
