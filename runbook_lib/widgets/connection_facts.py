"""Which container is, or could be, on which network, and which pairs reach each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.control_planes import control_plane_of
from runbook_lib.facts.docker.containers import ContainerFacts, read_containers
from runbook_lib.facts.docker.networks import NetworkFacts, read_networks
from runbook_lib.model.parameters import Parameters
from runbook_lib.model.results import By, Probe
from runbook_lib.session.claim import answers
from runbook_lib.steps.base import OWNER_LABEL
from runbook_lib.tables.frame import FLAG, Column, Table, document_columns, grouped


@dataclass(frozen=True)
class Connection:
    """One of our containers and a network. ``switchable``: an overlay can be left and joined again without loss.

    A network with another driver is only shown: there a container may have an address that ``docker network connect``
    would not restore. So is a foreign overlay (not ``own``).
    """

    container: str
    node: str
    state: str
    network: str
    driver: str
    connected: bool
    address: str = ""
    own: bool = True

    @property
    def name(self) -> str:
        """``alpine1 on ovr0``."""
        return f"{self.container} on {self.network}"

    @property
    def switchable(self) -> bool:
        """Whether it can be switched."""
        return self.driver == "overlay" and self.own and self.state == "running"


CONNECTIONS = Table[Connection](
    "One row per container and network.",
    Column("container", lambda row: row.container),
    Column("node", lambda row: row.node),
    Column("state", lambda row: row.state),
    Column("network", lambda row: row.network),
    Column("driver", lambda row: row.driver),
    Column("connected", lambda row: row.connected, FLAG),
    Column("address", lambda row: row.address),
)


@dataclass(frozen=True)
class Connections:
    """All connections at one moment; ``silent`` has the reason for each node that did not answer."""

    rows: tuple[Connection, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    @document_columns(CONNECTIONS)
    def table(self) -> pd.DataFrame:
        """Which container is, or could be, on which network."""
        return CONNECTIONS(self.rows)


def read_connections(cluster: Cluster, parameters: Parameters) -> Connections:
    """Read all nodes' containers and networks.

    Raises:
        RunbookError: no node answers.
    """

    def ask(node: Node) -> tuple[tuple[ContainerFacts, ...], tuple[NetworkFacts, ...]]:
        return read_containers(node), read_networks(node)

    outcomes = cluster.each(ask)
    if all(outcome.error is not None for outcome in outcomes):
        answers(outcomes)
    found = [outcome.value for outcome in outcomes if outcome.value is not None]
    containers = [item for items, _ in found for item in items]
    networks = [item for _, items in found for item in items]
    silent = tuple(f"{outcome.node} does not answer: {outcome.error.message}" for outcome in outcomes if outcome.error)
    return Connections(join(containers, networks, parameters), silent)


def join(
    containers: Sequence[ContainerFacts], networks: Sequence[NetworkFacts], parameters: Parameters
) -> tuple[Connection, ...]:
    """One row per container of the runbook and overlay of ours, and per other network that it is on."""
    drivers = {(item.node, item.name): item.driver for item in networks}
    overlays = list(dict.fromkeys(item.name for item in networks if _is_own(item, parameters)))
    return tuple(
        Connection(
            container.name,
            container.node,
            container.state,
            network,
            "overlay" if network in overlays else drivers.get((container.node, network), ""),
            network in container.networks,
            container.addresses.get(network, ""),
            network in overlays,
        )
        for container in sorted(containers, key=lambda item: item.name)
        if _belongs(container, parameters)
        for network in [*overlays, *(name for name in container.networks if name not in overlays)]
    )


def _is_own(network: NetworkFacts, parameters: Parameters) -> bool:
    ours = network.name == parameters.overlay.name or network.labels.get(OWNER_LABEL) == parameters.name
    return network.driver == "overlay" and not network.ingress and ours


def _belongs(container: ContainerFacts, parameters: Parameters) -> bool:
    wanted = {item.name for item in parameters.containers}
    ours = container.labels.get(OWNER_LABEL) == parameters.name
    return container.name not in control_plane_of(parameters).member_containers and (container.name in wanted or ours)


def _by(way: By, pair: Sequence[Probe]) -> str:
    return next((_words(probe) for probe in reversed(pair) if probe.by == way), "")


REACH = Table[Sequence[Probe]](
    "One row per ordered pair of containers.",
    Column("from", lambda pair: pair[0].source),
    Column("to", lambda pair: pair[0].target),
    Column("by name", lambda pair: _by("name", pair), meaning="``answers in 0.15 ms``"),
    Column("by address", lambda pair: _by("address", pair)),
)


@document_columns(REACH)
def reach_matrix(probes: Sequence[Probe]) -> pd.DataFrame:
    """Which pairs reach each other; empty if there is nothing to ping."""
    return REACH(grouped(probes, lambda probe: (probe.source, probe.target)).values())


def _words(probe: Probe) -> str:
    if probe.received:
        took = probe.avg_ms if probe.avg_ms is not None else probe.first_ms
        answers = "answers" if took is None else f"answers in {took:.2f} ms"
        return answers if probe.expected == "reachable" else f"✗ still {answers}"
    if probe.expected == "unreachable":
        return "– silent, as expected"
    return f"✗ no answer{f': {probe.detail}' if probe.detail else ''}"
