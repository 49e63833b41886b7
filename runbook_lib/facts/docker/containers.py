"""Containers of a node and of the cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook_lib.cluster import Cluster, Node
from runbook_lib.errors import EngineNotFound
from runbook_lib.facts.sections import reading

#: The restart policies with which an engine that starts takes its containers along.
RESTARTING = ("always", "unless-stopped")


@dataclass(frozen=True)
class ContainerFacts:
    """One container.

    ``state`` is Docker's word (``running``, ``exited``, ``created``, …), ``status`` adds the time or exit code.
    ``addresses``, ``macs``, ``endpoint_ids`` and ``network_ids`` map network names to values; a stopped container has
    no addresses.
    ``networks`` are all that it is attached to. ``pid`` is 0 unless it runs. ``fixed_addresses`` (by network) are those
    that were requested (a restart keeps them); ``published`` maps its ports (``8080/tcp``) to the node's.
    ``gateways`` are by network (an overlay has none). ``created_at`` is Docker's own text.
    """

    node: str
    id: str
    name: str
    image: str
    image_id: str
    command: str
    state: str
    status: str
    restart_policy: str
    pid: int = 0
    sandbox_key: str = ""
    network_mode: str = ""
    networks: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)
    endpoint_ids: Mapping[str, str] = field(default_factory=dict)
    network_ids: Mapping[str, str] = field(default_factory=dict)
    fixed_addresses: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def running(self) -> bool:
        """True while its process runs (a paused one does not)."""
        return self.state == "running"

    @property
    def restarts(self) -> bool:
        """True when its engine starts it again, at a boot too."""
        return self.restart_policy in RESTARTING

    @property
    def full_name(self) -> str:
        """``node3/alpine1``, as a classic Swarm manager shows it."""
        return f"{self.node}/{self.name}"


def read_containers(node: Node, every: bool = True) -> tuple[ContainerFacts, ...]:
    """The containers of a node by name; running ones only unless ``every``. One that is removed meanwhile is left out.

    Raises:
        UnreachableError, EngineError: the engine does not answer or refuses.
    """
    found = []
    for summary in node.engine.containers(every=every):
        try:
            details = node.engine.container(summary["Id"])
        except EngineNotFound:
            continue
        with reading(node.name, "container's answer"):
            found.append(parse_container(node.name, details))
    return tuple(sorted(found, key=lambda item: item.name))


def read_container(node: Node, name: str) -> ContainerFacts | None:
    """One container of a node, or ``None`` if it has none of that name."""
    try:
        details = node.engine.container(name)
    except EngineNotFound:
        return None
    with reading(node.name, f"container {name}"):
        return parse_container(node.name, details)


def find_container(cluster: Cluster, name: str) -> ContainerFacts | None:
    """The container of that name on whichever node has it (the first in the inventory's order), or ``None``.

    Raises:
        RunbookError: no node has it, and at least one node did not answer.
    """
    outcomes = cluster.each(lambda node: read_container(node, name))
    for outcome in outcomes:
        if outcome.error is None and outcome.value is not None:
            return outcome.value
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return None


def parse_container(node: str, data: Mapping[str, Any]) -> ContainerFacts:
    """Facts from ``GET /containers/{name}/json``.

    Raises:
        ValueError: an essential key is missing.
    """
    missing = [key for key in ("Id", "Name", "State", "Config", "NetworkSettings") if not data.get(key)]
    if missing:
        raise ValueError(f"no {', '.join(missing)} in the container")
    state, config, host = data["State"], data["Config"], data.get("HostConfig") or {}
    networks: dict[str, Mapping[str, Any]] = {
        name: value or {} for name, value in (data["NetworkSettings"].get("Networks") or {}).items()
    }

    def pick(key: str) -> dict[str, str]:
        return {name: str(value[key]) for name, value in networks.items() if value.get(key)}

    policy = host.get("RestartPolicy") or {}
    return ContainerFacts(
        node=node,
        id=data["Id"],
        # a classic Swarm manager puts the node before the name
        name=data["Name"].rpartition("/")[2],
        image=str(config.get("Image") or ""),
        image_id=str(data.get("Image") or ""),
        command=shlex.join([word for word in (data.get("Path"), *(data.get("Args") or [])) if word is not None]),
        state=str(state["Status"]),
        status=_status(state),
        restart_policy=str(policy.get("Name") or "no"),
        created_at=str(data.get("Created") or ""),
        pid=int(state.get("Pid") or 0),
        sandbox_key=str(data["NetworkSettings"].get("SandboxKey") or ""),
        network_mode=str(host.get("NetworkMode") or ""),
        networks=tuple(sorted(networks)),
        labels=dict(config.get("Labels") or {}),
        addresses=pick("IPAddress"),
        macs=pick("MacAddress"),
        endpoint_ids=pick("EndpointID"),
        gateways=pick("Gateway"),
        network_ids=pick("NetworkID"),
        fixed_addresses={
            name: str(address)
            for name, value in networks.items()
            if (address := (value.get("IPAMConfig") or {}).get("IPv4Address"))
        },
        published={
            str(port): str(bindings[0].get("HostPort") or "")
            for port, bindings in (host.get("PortBindings") or {}).items()
            if bindings
        },
    )


def _status(state: Mapping[str, Any]) -> str:
    word = str(state["Status"])
    if word in ("running", "paused", "restarting"):
        return f"{word} since {_second(state.get('StartedAt'))}"
    if word in ("exited", "dead"):
        reason = f": {state['Error']}" if state.get("Error") else ""
        return f"{word} with {state.get('ExitCode')} at {_second(state.get('FinishedAt'))}{reason}"
    reason = f": {state['Error']}" if state.get("Error") else ""
    return word + reason


def _second(time: Any) -> str:
    return str(time or "").partition(".")[0].removesuffix("Z").replace("T", " ") + " UTC"
