"""An engine's version and mode, its swarm state, what starts it at boot, and the last line of its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runbook_lib.cluster import Node
from runbook_lib.errors import DeadlineError, EngineError, NodeError
from runbook_lib.facts.sections import Section, read_sections, reading

MANAGER_PORT = 2377
DATA_PATH_PORT = 4789


@dataclass(frozen=True)
class SwarmState:
    """An engine's swarm state as it reports it.

    ``state`` is inactive, pending, active, error or locked; ``error`` is why a manager has no quorum. ``address`` is
    the advertised one. ``managers`` are (node ID, ``address:port``). ``cluster_id``,
    ``data_path_port``, ``autolock`` (a starting manager waits for the unlock key) and ``made_at`` (when the swarm was
    created, as Docker writes it) are known only to a manager with a quorum.
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
                return "the engine is not in a swarm"
            case "locked":
                return "the engine's swarm is locked: enter the unlock key (docker swarm unlock)"
        return f"the engine has not joined its swarm yet ({first_sentence(self.error) or self.state})"


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
    """``Swarm`` of ``GET /info``. An engine without Swarm mode (before 1.12) is inactive."""
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
    """The swarm state of a node's engine. Raises ``UnreachableError`` or ``EngineError``."""
    info = node.engine.swarm_info()
    with reading(node.name, "engine's swarm state"):
        return parse_swarm(info)


def read_swarm_nodes(managers: Sequence[Node]) -> tuple[SwarmNode, ...]:
    """Every node of the swarm, from the first manager that answers; empty if none has a quorum.

    Raises:
        NodeError: the answer is not that of Swarm mode.
    """
    for node in managers:
        try:
            found = node.engine.swarm_nodes()
        except EngineError:
            continue  # no quorum: its own swarm state reports that
        with reading(node.name, "list of the swarm's nodes"):
            return parse_swarm_nodes(found)
    return ()


def first_sentence(text: str) -> str:
    """The first sentence of a manager's error, without the RPC layers' prefixes.

    ``rpc error: code = Unknown desc = The swarm does not have a leader. It's possible …`` is cut to its sentence.
    """
    said = text.rpartition("desc = ")[2].strip()
    sentence, dot, _ = said.partition(". ")
    return f"{sentence}." if dot else said


Mode = Literal["etcd", "swarm", "other", "none"]


@dataclass(frozen=True)
class EngineFacts:
    """One engine.

    ``mode`` is where it keeps a multi-host network's state: ``etcd`` (an etcd cluster store is configured,
    reachable or not), ``swarm`` (it is part of a swarm), ``other`` (another kind of store), ``none``.
    """

    node: str
    version: str
    api_version: str
    engine_id: str
    mode: Mode
    cluster_store: str
    cluster_advertise: str
    storage_driver: str
    kernel: str
    operating_system: str
    containers_running: int
    swarm: SwarmState = NO_SWARM


def read_engine(node: Node) -> EngineFacts:
    """Ask a node's engine. Raises ``UnreachableError`` or ``EngineError``."""
    info, version = node.engine.info(), node.engine.version()
    with reading(node.name, "engine's answer"):
        return parse_engine(node.name, info, version)


def parse_engine(node: str, info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """Facts from ``GET /info`` and ``GET /version``. Raises ``ValueError`` when an essential key is missing."""
    missing = [key for key in ("ID", "ServerVersion", "Driver") if key not in info]
    if missing or "ApiVersion" not in version:
        raise ValueError(f"no {', '.join(missing) or 'ApiVersion'} in the answer")
    store = str(info.get("ClusterStore") or "")
    swarm = parse_swarm(info.get("Swarm") or {})
    return EngineFacts(
        node=node,
        version=str(info["ServerVersion"]),
        api_version=str(version["ApiVersion"]),
        engine_id=str(info["ID"]),
        mode=_mode(store, swarm.state),
        cluster_store=store,
        cluster_advertise=str(info.get("ClusterAdvertise") or swarm.address),
        storage_driver=str(info["Driver"]),
        kernel=str(info.get("KernelVersion") or ""),
        operating_system=str(info.get("OperatingSystem") or ""),
        containers_running=int(info.get("ContainersRunning") or 0),
        swarm=swarm,
    )


def parse_version(version: str) -> tuple[int, ...]:
    """``20.10.24+dfsg1`` as ``(20, 10, 24)``."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _mode(store: str, swarm: str) -> Mode:
    if swarm != "inactive":
        return "swarm"
    if not store:
        return "none"
    return "etcd" if store.startswith("etcd://") else "other"


# boot2docker's boot script calls this file; elsewhere an init script counts if a runlevel links to it.
_SCRIPT = """\
if [ -d /run/systemd/system ]; then
    section docker.service systemctl is-enabled docker.service
    section docker.socket systemctl is-enabled docker.socket
elif [ -d /var/lib/boot2docker ]; then
    section boot2docker ls /etc/init.d/docker
else
    section runlevels sh -c 'ls /etc/rc[2-5].d/S*docker'
fi
"""


@dataclass(frozen=True)
class EngineStart:
    """What starts dockerd at boot (``by``, in words); empty if nothing does, and ``remedy`` says what would."""

    by: str
    remedy: str = ""


def read_engine_start(node: Node) -> EngineStart:
    """What starts the node's engine at boot.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: the output is not understood.
    """
    return parse_engine_start(read_sections(node, _SCRIPT))


def parse_engine_start(sections: Mapping[str, Section]) -> EngineStart:
    """From the sections docker.service and docker.socket, or boot2docker, or runlevels."""
    if "docker.service" in sections:
        enabled = [unit for unit, section in sections.items() if section.text.strip() == "enabled"]
        return EngineStart(f"{' and '.join(enabled)} enabled" if enabled else "", "systemctl enable docker")
    if "boot2docker" in sections:
        there = sections["boot2docker"].exit_status == 0
        return EngineStart("boot2docker's boot script" if there else "", "boot a boot2docker that has Docker")
    linked = sections["runlevels"].exit_status == 0
    return EngineStart("the runlevels' init scripts" if linked else "", "update-rc.d docker defaults")


_LONGEST = 300

# boot2docker and the testbed write dockerd's log to a file; systemd hosts keep it in the journal.
_LOG_SCRIPT = """\
unit=$1
shift
if [ -d /run/systemd/system ]; then
    section log journalctl --unit "$unit" --lines 3 --output cat --no-pager --quiet
    exit 0
fi
for file in "$@"; do
    if [ -f "$file" ]; then
        section log tail -n 3 "$file"
        exit 0
    fi
done
"""
_ENGINE_LOGS = ("/var/lib/boot2docker/log/docker.log", "/var/lib/boot2docker/docker.log", "/var/log/docker.log")


def container_last_line(node: Node, container: str) -> str:
    """The last line of a container's log, or why it cannot be read."""
    try:
        return last_line(node.engine.logs(container, tail=3))
    except (NodeError, DeadlineError) as error:
        return f"(the log cannot be read: {error.message})"


def unit_last_line(node: Node, unit: str) -> str:
    """The last line of a systemd unit's log, or why it cannot be read."""
    return _read(node, unit)


def engine_last_line(node: Node) -> str:
    """The last line of dockerd's log, from the journal or a boot2docker host's file, or why it cannot be read."""
    return _read(node, "docker.service", *_ENGINE_LOGS)


def last_line(text: str) -> str:
    """The last line that is not empty, cut where it is very long; ``(the log is empty)`` without one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "(the log is empty)"
    return lines[-1] if len(lines[-1]) <= _LONGEST else f"{lines[-1][:_LONGEST]} …"


def _read(node: Node, unit: str, *files: str) -> str:
    try:
        sections = read_sections(node, _LOG_SCRIPT, unit, *files, sudo=True)
    except (NodeError, DeadlineError) as error:
        return f"(the log cannot be read: {error.message})"
    if "log" not in sections:
        return "(the log was not found)"
    return last_line(sections["log"].text)
