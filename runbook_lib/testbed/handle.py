"""The testbed's API for the layers above: one object for its whole life cycle, and its current status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from runbook_lib.errors import InputError, RunbookError
from runbook_lib.model.base import PlatformName
from runbook_lib.model.parameters import Timeouts
from runbook_lib.testbed import lifecycle, privilege, requirements, state
from runbook_lib.testbed.machine import network
from runbook_lib.testbed.machine.kind import Kind
from runbook_lib.testbed.machine.layout import DEFAULT_NAME, Layout, NodeLayout
from runbook_lib.testbed.node import client, readiness, swarm
from runbook_lib.testbed.node import node as nodes
from runbook_lib.testbed.progress import Report, silent
from runbook_lib.transport.docker.engine import Engine
from runbook_lib.transport.ssh import SshConnection

NodeState = Literal["running", "booting", "no engine", "off"]
_TIMEOUTS = Timeouts(connect=3, command=5)


@dataclass(frozen=True)
class NodeStatus:
    """One node: ``cluster_address`` is its current address, ``inventory_address`` the one it should have.

    ``swarm`` is its role in Swarm mode (leader, manager or worker), with any fault. ``platform`` is boot2docker, or the
    network manager of a Debian node.
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
    """A testbed and all of its nodes; ``kind`` is a description of its kind."""

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
    """Read all nodes in parallel; needs no root.

    Raises:
        InputError: the client's key cannot be read by this user.
    """
    key = layout.certificates / "key.pem"
    try:
        key.read_bytes()
    except PermissionError as error:
        raise InputError(
            f"the key {key} belongs to another user",
            place=layout.name,
            remedy="run this as the user who started the testbed",
        ) from error
    except FileNotFoundError:
        pass  # an unfinished `up`: no engine can be read yet
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
    """The version of the node's engine, and its role in the swarm; None if it does not answer."""
    spec = client.node_spec(layout, node)
    version = None
    with SshConnection(spec, _TIMEOUTS) as ssh, Engine(spec, ssh, _TIMEOUTS) as engine:
        try:
            version = str(engine.version()["Version"])
            in_swarm = layout.kind.control_plane == "swarm-mode"
            return version, swarm.standing(layout, node, engine) if in_swarm else None
        except RunbookError:
            return version, None


class Testbed:
    """An existing testbed. Every method that changes it holds its lock and, for a normal user, runs through sudo.

    ``nodes`` arguments take node names; None means every node. ``report`` is called for every step.
    """

    __test__: ClassVar[bool] = False  # pytest would otherwise collect a class whose name begins with Test

    def __init__(self, layout: Layout, report: Report = silent) -> None:
        self.layout = layout
        self.report = report

    @classmethod
    def load(cls, name: str = DEFAULT_NAME, report: Report = silent) -> Testbed:
        """The testbed of that name.

        Raises:
            InputError: there is none.
        """
        requirements.check_name(name)
        return cls(state.require(name).layout, report)

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        *,
        nodes: int | None = None,
        subnet: str | None = None,
        kind: Kind | None = None,
        report: Report = silent,
    ) -> Testbed:
        """Create the testbed, or start what is down; a second call changes nothing.

        Args:
            nodes: how many, 1 to 32; None keeps what exists, or makes four.
            subnet: the cluster's subnet in CIDR notation, or "auto"; None keeps what exists, or
                takes 192.168.99.0/24.
            kind: how nodes boot, their engine and control plane; None keeps what exists, or takes the article's.

        Raises:
            InputError: bad arguments, or a machine without the requirements; nothing was changed.
            TestbedError: it failed; a new testbed is removed again.
        """
        if privilege.is_root():
            return cls(lifecycle.up(name, nodes, subnet, report, kind), report)
        options = ["--nodes", str(nodes)] if nodes is not None else []
        options += ["--subnet", subnet] if subnet is not None else []
        for key, value in kind.to_json().items() if kind is not None else ():
            options += [f"--{key.replace('_', '-')}", value]
        privilege.call_as_root(["up", "--name", name, *options], report)
        return cls.load(name, report)

    @property
    def name(self) -> str:
        """The testbed's name."""
        return self.layout.name

    @property
    def inventory_file(self) -> Path:
        """The testbed's inventory file."""
        return self.layout.inventory_file

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes' names, node1 first."""
        return tuple(node.name for node in self.layout.nodes)

    def node(self, name: str) -> NodeLayout:
        """A node's folder, logs and addresses.

        Raises:
            InputError: unknown node.
        """
        return lifecycle.chosen(self.layout, [name])[0]

    def status(self) -> TestbedStatus:
        """The current status of every node; needs no root."""
        return read(self.layout)

    def start(self, nodes: Sequence[str] | None = None) -> None:
        """Switch on nodes that are off and wait until they are ready.

        Raises:
            TestbedError: a node did not become ready; with the readiness stage and the end of the log.
        """
        if privilege.is_root():
            lifecycle.start(self.name, nodes or (), self.report)
        else:
            self._as_root("start", nodes)

    def reboot(self, nodes: Sequence[str] | None = None, *, shuffle: bool = False, hard: bool = False) -> None:
        """Switch nodes off and on again, and wait until they are ready.

        Args:
            shuffle: delete the DHCP leases, and boot the nodes in an order in which none of them gets its previous
                address. Nodes that are not rebooted keep theirs.
            hard: cut the power instead of shutting down.

        Raises:
            TestbedError: a node did not go down, or did not become ready.
        """
        if privilege.is_root():
            lifecycle.reboot(self.name, nodes or (), self.report, shuffle=shuffle, hard=hard)
        else:
            self._as_root("reboot", nodes, shuffle=shuffle, hard=hard)

    def poweroff(self, nodes: Sequence[str] | None = None, *, hard: bool = False) -> None:
        """Shut nodes down, or (``hard``) cut their power.

        Raises:
            TestbedError: a node did not go down.
        """
        if privilege.is_root():
            lifecycle.poweroff(self.name, nodes or (), self.report, hard=hard)
        else:
            self._as_root("poweroff", nodes, hard=hard)

    def cut(self, node: str, *, management: bool = False) -> None:
        """Unplug a node from the cluster network (and the management network); it stays unplugged over reboots."""
        self._plug(node, up=False, management=management)

    def restore(self, node: str) -> None:
        """Plug in both of a node's cables again."""
        self._plug(node, up=True, management=True)

    def down(self) -> None:
        """Remove the testbed and everything that it owns.

        Raises:
            TestbedError: something is left; the message lists it.
        """
        self.remove(self.name, self.report)

    @staticmethod
    def remove(name: str = DEFAULT_NAME, report: Report = silent) -> bool:
        """Remove a testbed by its name, also an incomplete one after a crash; False if there is none.

        Raises:
            TestbedError: something is left; the message lists it.
        """
        requirements.check_name(name)
        if privilege.is_root():
            return lifecycle.down(name, report)
        if name not in state.names():
            return False
        privilege.call_as_root(["down", "--name", name], report)
        return True

    def _plug(self, node: str, *, up: bool, management: bool) -> None:
        layout = self.node(node)
        if privilege.is_root():
            with state.locked(self.name):
                network.set_port(self.layout, layout, up=up, management=management)
        elif up:
            self._as_root("restore", [node])
        else:
            self._as_root("cut", [node], management=management)

    def _as_root(self, command: str, nodes: Sequence[str] | None, **flags: bool) -> None:
        options = [f"--{flag}" for flag, wanted in flags.items() if wanted]
        privilege.call_as_root([command, "--name", self.name, *options, *(nodes or ())], self.report)
