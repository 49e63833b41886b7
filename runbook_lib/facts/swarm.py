"""Swarm mode: what an engine says of its own membership, and what a manager says of every member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook_lib.cluster import Node
from runbook_lib.errors import EngineError
from runbook_lib.facts.reading import reading

MANAGER_PORT = 2377
DATA_PATH_PORT = 4789


@dataclass(frozen=True)
class SwarmState:
    """An engine's own word.

    ``state`` is inactive, pending, active, error or locked; ``error`` is why a manager has no quorum. ``address`` is
    what it advertises. ``managers`` are the managers that it knows, node ID to ``address:port``. ``cluster_id``,
    ``data_path_port``, ``autolock`` (managers that start wait for the unlock key) and ``made_at`` (when the swarm was
    made, as Docker writes it) are known to a manager of a quorum only.
    """

    state: str = "inactive"
    node_id: str = ""
    address: str = ""
    manager: bool = False
    error: str = ""
    cluster_id: str = ""
    managers: tuple[tuple[str, str], ...] = ()
    data_path_port: int | None = None
    autolock: bool = False
    made_at: str = ""

    @property
    def trouble(self) -> str:
        """Why the engine cannot take part in its swarm now; empty when it can."""
        match self.state:
            case "active":
                said = first_sentence(self.error)
                return f"the swarm's managers do not answer in time ({said})" if "deadline" in said else said
            case "inactive":
                return "the engine is in no swarm"
            case "locked":
                return "the engine is locked out of its swarm until somebody types the unlock key: docker swarm unlock"
        return f"the engine is not part of its swarm yet ({first_sentence(self.error) or self.state})"


NO_SWARM = SwarmState()


@dataclass(frozen=True)
class SwarmNode:
    """A member of a swarm, as a manager knows it: ``state`` is ready, down, unknown or disconnected.

    ``reachability`` (reachable, unreachable, unknown) and ``manager_address`` are those of a manager, else empty.
    """

    node_id: str
    host_name: str
    state: str
    address: str
    manager: bool = False
    leader: bool = False
    reachability: str = ""
    manager_address: str = ""
    message: str = ""


def parse_swarm(info: Mapping[str, Any]) -> SwarmState:
    """``Swarm`` of ``GET /info``. An engine that knows no Swarm mode (before 1.12) is in none."""
    cluster = info.get("Cluster") or {}
    encryption = (cluster.get("Spec") or {}).get("EncryptionConfig") or {}
    return SwarmState(
        state=str(info.get("LocalNodeState") or "inactive"),
        node_id=str(info.get("NodeID") or ""),
        address=str(info.get("NodeAddr") or ""),
        manager=bool(info.get("ControlAvailable")),
        error=str(info.get("Error") or ""),
        cluster_id=str(cluster.get("ID") or ""),
        managers=tuple((str(item["NodeID"]), str(item["Addr"])) for item in info.get("RemoteManagers") or ()),
        data_path_port=int(cluster.get("DataPathPort") or 0) or None,
        autolock=bool(encryption.get("AutoLockManagers")),
        made_at=str(cluster.get("CreatedAt") or ""),
    )


def parse_swarm_nodes(data: Iterable[Mapping[str, Any]]) -> tuple[SwarmNode, ...]:
    """``GET /nodes`` of a manager, by host name. Raises ``KeyError`` for another answer."""
    nodes = []
    for item in data:
        status, manager = item["Status"], item.get("ManagerStatus") or {}
        nodes.append(
            SwarmNode(
                node_id=str(item["ID"]),
                host_name=str(item["Description"].get("Hostname") or ""),
                state=str(status["State"]),
                address=str(status.get("Addr") or ""),
                manager=item["Spec"]["Role"] == "manager",
                leader=bool(manager.get("Leader")),
                reachability=str(manager.get("Reachability") or ""),
                manager_address=str(manager.get("Addr") or ""),
                message=str(status.get("Message") or ""),
            )
        )
    return tuple(sorted(nodes, key=lambda item: item.host_name))


def read_swarm(node: Node) -> SwarmState:
    """What a node's engine says. Raises ``UnreachableError`` or ``EngineError``."""
    info = node.engine.swarm_info()
    with reading(node.name, "engine's word on its swarm"):
        return parse_swarm(info)


def read_swarm_nodes(managers: Sequence[Node]) -> tuple[SwarmNode, ...]:
    """Every member of the swarm, asked of the first manager that can tell; empty when none has a quorum.

    Raises:
        NodeError: an answer that is none of Swarm mode.
    """
    for node in managers:
        try:
            found = node.engine.swarm_nodes()
        except EngineError:
            continue  # it has no quorum, which its own word says
        with reading(node.name, "list of the swarm's members"):
            return parse_swarm_nodes(found)
    return ()


def first_sentence(text: str) -> str:
    """The telling part of what a manager says, without the layers that passed it on.

    ``rpc error: code = Unknown desc = The swarm does not have a leader. It's possible …`` is cut to its sentence.
    """
    said = text.rpartition("desc = ")[2].strip()
    sentence, dot, _ = said.partition(". ")
    return f"{sentence}." if dot else said
